"""The settled set is the same for every order of arrival, every batching and every moment of asking."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.aggregation import total_cells
from metering.behind import events_behind
from metering.incoming import event_id
from metering.ledger import place_batches
from metering.measuring import measure, measure_series
from metering.meter_types import OncePerSubject
from metering.outcomes import OutcomeFact, settle
from metering.periods import Interval
from metering.spans import Span
from tests.factories import event, make_customer, make_meter, send

pytestmark = pytest.mark.django_db
SERIAL = itertools.count()
DAY = timedelta(days=1)
START = datetime(2026, 10, 1, tzinfo=UTC)
SPANS = [(START + timedelta(hours=hours), START + timedelta(hours=hours + 48)) for hours in (0, 48, 96)]

# A few instants, subjects and targets, so that ties, repeats and reversals of what is reversed are common.
drawn_facts = st.lists(
    st.tuples(
        st.sampled_from(["outcome", "outcome", "outcome", "reverses", "confirms", "activity"]),
        # Twice a day, and windows of whole days: what settles at the instant of a reversal, a confirmation, another
        # outcome or the end of a span is common. One in five instants is its own.
        st.one_of(*[st.integers(0, 12).map(lambda half_days: half_days * 12)] * 4, st.integers(0, 140)),
        st.sampled_from(["ticket-1", "ticket-2", "ticket-3"]),
        st.one_of(st.none(), st.integers(0, 9)),
    ),
    max_size=16,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=drawn_facts,
    once=st.sampled_from(OncePerSubject),
    hours=st.sampled_from([0, 24, 48]),
    with_evidence=st.booleans(),
    order=st.randoms(use_true_random=False),
    cut=st.integers(0, 16),
)
def test_counted_outcomes_depend_on_times_alone(
    drawn: list[tuple[str, int, str, int | None]],
    once: OncePerSubject,
    hours: int,
    with_evidence: bool,
    order: Any,
    cut: int,
) -> None:
    serial = next(SERIAL)
    customer = make_customer(f"c{serial}")
    calls = make_meter(f"calls_{serial}")
    meter = make_meter(
        f"m{serial}",
        once_per_subject=once,
        verification_hours=Decimal(hours) or None,
        evidence_meter=calls if with_evidence else None,
    )
    bodies, facts, worked = [], [], {}
    for place, (kind, hour, subject, target) in enumerate(drawn):
        at = START + timedelta(hours=hour)
        key = f"{serial}-{place}"
        body = event(key, meter=meter.code, customer=customer.code, occurred_at=at.isoformat())
        target_id = None
        if kind == "activity":
            body |= {"meter": calls.code, "subject": subject}
            worked[customer.pk, subject] = min(at, worked.get((customer.pk, subject), at))
        elif kind == "outcome":
            body |= {"subject": subject}
        elif target is None:
            body |= {kind: {"subject": subject}}
        else:
            body |= {kind: {"key": f"{serial}-{target}"}}
            target_id = UUID(event_id("api", f"{serial}-{target}"))
        if kind != "activity":
            facts.append(
                OutcomeFact(
                    UUID(event_id("api", key)),
                    customer.pk,
                    at,
                    None if target_id is not None else subject,
                    signal=None if kind == "outcome" else kind,
                    target_id=target_id,
                )
            )
        bodies.append(body)
    if not meter.is_outcome:
        bodies = [body for body in bodies if not {"reverses", "confirms"} & body.keys()]
        facts = [fact for fact in facts if fact.signal is None]
    order.shuffle(bodies)
    early, late = bodies[:cut], bodies[cut:]
    if early:
        send(*early)
    watermark = place_batches()
    before = _counted(meter, customer, as_of=watermark)
    for body in late:
        send(body)

    for span, ids in zip(SPANS, _counted(meter, customer, as_of=None), strict=True):
        assert ids == {
            each.fact.id
            for each in settle(
                facts,
                once=once,
                window=timedelta(hours=hours),
                worked_at=worked if with_evidence else None,
                period_of=_span_of if once is OncePerSubject.PERIOD else None,
            )
            if each.counts and span[0] <= each.settles_at < span[1]
        }
    assert _by_day(meter, customer) == [
        sum(
            each.counts and start <= each.settles_at < start + DAY
            for each in settle(
                facts,
                once=once,
                window=timedelta(hours=hours),
                worked_at=worked if with_evidence else None,
                period_of=_day_of if once is OncePerSubject.PERIOD else None,
            )
        )
        for start in (START + DAY * day for day in range(6))
    ]
    # What came later changes nothing of what was counted up to the watermark.
    assert _counted(meter, customer, as_of=watermark) == before


def _span_of(customer_id: int, at: datetime) -> int:
    return (at - START) // timedelta(hours=48)


def _day_of(customer_id: int, at: datetime) -> int:
    return (at - START) // DAY


def _by_day(meter: Any, customer: Any) -> list[Decimal]:
    """The bars of a chart, and what totals over all customers say of the same days."""
    (bars,) = measure_series(
        meter, start=START, end=START + DAY * 6, interval=Interval.DAY, zone="UTC", customer_id=customer.pk
    )
    edges = [START + DAY * day for day in range(7)]
    cells = {cell.total.slot: cell.total.amount for cell in total_cells(meter, edges)}
    found = [point.value for point in bars.points]
    assert [cells.get(slot, 0) for slot in range(6)] == found
    return found


def _counted(meter: Any, customer: Any, *, as_of: int | None) -> list[set[UUID]]:
    spans = [Span(slot, customer.pk, *span, zone="UTC") for slot, span in enumerate(SPANS)]
    measured = measure(meter, spans, as_of=as_of)
    found = []
    for span in spans:
        behind = events_behind(
            meter_id=meter.pk, customer_id=customer.pk, start=span.start, end=span.end, as_of=as_of
        )
        ids = set(behind.values_list("id", flat=True))
        assert measured[span.slot].quantity == measured[span.slot].events == len(ids)
        found.append(ids)
    return found
