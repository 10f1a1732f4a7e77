"""For every type of meter: order, batching and retries never change a measure, and a slow second way
agrees.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.models import Customer
from metering.incoming import event_id
from metering.ledger import place_batches
from metering.measuring import Measure, measure, measure_series
from metering.models import Meter
from metering.periods import Interval
from metering.quantities import divide
from metering.recounting import recount
from metering.spans import Span
from tests.factories import make_customer, make_meter, send
from tests.metering.reference import Fact, by_dimension, slow_total

pytestmark = pytest.mark.django_db
SERIAL = itertools.count()
KEEP_DATABASE = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Both of the year's clock changes of these zones lie inside; half an hour and three quarters are among the
# offsets.
ZONES = (
    "UTC",
    "America/Los_Angeles",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
)
FIRST, LAST = datetime(2026, 2, 20, tzinfo=UTC), datetime(2026, 11, 12, tzinfo=UTC)
DEFINITIONS: tuple[dict[str, Any], ...] = (
    {"type": "count"},
    {"type": "count", "filters": {"channel": ["email", "chat"]}},
    {"type": "sum"},
    {"type": "max"},
    {"type": "max", "window": "hour"},
    {"type": "max", "window": "day", "filters": {"channel": ["email"]}},
    {"type": "min"},
    {"type": "latest"},
    {"type": "average"},
    {"type": "unique"},
    {"type": "unique", "value_dimension": "channel"},
    {"type": "percentile", "percentile": Decimal(95)},
    {"type": "percentile", "percentile": Decimal("7")},
    {"type": "weighted_sum"},
    {"type": "weighted_sum", "timeout_hours": Decimal(36)},
)

# A handful of instants, so that ties, full hours and gaps of exactly the time-out are common.
instants = st.builds(
    lambda start, hours, micros: start + timedelta(hours=hours, microseconds=micros),
    st.sampled_from(
        [
            datetime(2026, 3, 8, 8, tzinfo=UTC),
            datetime(2026, 4, 4, 13, tzinfo=UTC),
            datetime(2026, 10, 3, 14, tzinfo=UTC),
            datetime(2026, 11, 1, 7, tzinfo=UTC),
        ]
    ),
    # Small steps within a day for windows; 36 is the time-out of the levels below.
    st.one_of(st.sampled_from([0, 0, 1, 8, 12, 36, -36]), st.integers(-40, 40)),
    st.sampled_from([0, 0, 0, 1, -1, 1_800_000_000]),
)
values = st.decimals(min_value=-1000, max_value=1000, places=3, allow_nan=False)
facts = st.lists(
    st.tuples(
        instants,
        st.one_of(values, st.sampled_from([Decimal(0), Decimal(1), Decimal("-0.5")])),
        st.sampled_from(["ticket-1", "ticket-2", "Ticket-1", None]),
        st.sampled_from(["email", "chat", "phone", "", None]),
    ),
    max_size=20,
)


def facts_of(drawn: Sequence[tuple[datetime, Decimal, str | None, str | None]], meter: Meter) -> list[Fact]:
    """Facts with what the meter asks of them; the key of a fact is its id's text."""
    return [
        Fact(
            f"key-{next(SERIAL)}",
            instant,
            # Counts carry no negative values; each third one carries none.
            value if meter.type != "count" else (None if place % 3 == 0 else abs(value)),
            subject or (None if meter.type != "unique" or meter.value_dimension else "ticket-0"),
            (("channel", channel or ("fax" if meter.value_dimension else "")),)
            if channel is not None or meter.value_dimension
            else (),
        )
        for place, (instant, value, subject, channel) in enumerate(drawn)
    ]


def sent(fact: Fact, meter: Meter, customer: Customer) -> dict[str, Any]:
    event = {
        "key": fact.id,
        "meter": meter.code,
        "customer": customer.code,
        "occurred_at": fact.occurred_at.isoformat(),
    }
    if fact.value is not None:
        event["value"] = str(fact.value)
    if fact.subject is not None:
        event["subject"] = fact.subject
    if fact.dimensions:
        event["dimensions"] = dict(fact.dimensions)
    return event


def with_ids(each: Sequence[Fact]) -> list[Fact]:
    return [replace(fact, id=event_id("api", fact.id)) for fact in each]


def a_story(definition: dict[str, Any]) -> tuple[Meter, Customer]:
    number = next(SERIAL)
    return make_meter(f"m{number}", dimensions=["channel"], **definition), make_customer(f"c{number}")


def measured(meter: Meter, customer: Customer, zone: str, **options: Any) -> Measure:
    return measure(meter, [Span(7, customer.pk, FIRST, LAST, zone=zone)], **options)[7]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: "-".join(map(str, each.values())))
@KEEP_DATABASE
@given(drawn=facts, zone=st.sampled_from(ZONES), start=instants, length=st.integers(1, 5000))
def test_measure_equals_a_slow_second_way(
    definition: dict[str, Any], drawn: Any, zone: str, start: datetime, length: int
) -> None:
    meter, customer = a_story(definition)
    each = facts_of(drawn, meter)
    if each:
        send(*(sent(fact, meter, customer) for fact in each))
    ids = with_ids(each)
    end = start + timedelta(hours=length)

    def expected(some: Sequence[Fact]) -> Decimal:
        slow = slow_total(meter, some, start=start, end=end, zone=zone)
        return divide(Decimal(slow.numerator), Decimal(slow.denominator))

    span = Span(0, customer.pk, start, end, zone=zone)
    assert measure(meter, [span])[0].quantity == expected(ids)
    grouped = measure(meter, [span], group_by=["channel"])[0]
    assert grouped.quantity == expected(ids)
    for group in grouped.groups:
        assert group.quantity == expected(by_dimension(ids, "channel")[group.dimensions["channel"]])
    # What verifies invoices is a third way: it counts the stored rows one by one.
    counted = recount(
        meter,
        customer_id=customer.pk,
        start=start,
        end=end,
        zone=zone,
        as_of=place_batches(),
        group_by=["channel"],
    )
    assert counted.quantity == grouped.quantity
    assert {group: part.quantity for group, part in counted.groups.items() if part.quantity} == {
        (group.dimensions["channel"],): group.quantity for group in grouped.groups if group.quantity
    }


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: "-".join(map(str, each.values())))
@KEEP_DATABASE
@given(drawn=facts, zone=st.sampled_from(ZONES), data=st.data())
def test_order_batches_and_retries_never_change_a_measure(
    definition: dict[str, Any], drawn: Any, zone: str, data: st.DataObject
) -> None:
    meter, customer = a_story(definition)
    other = make_customer(f"{customer.code}-again")
    each = facts_of(drawn, meter)
    if each:
        send(*(sent(fact, meter, customer) for fact in each), source="in order")
    # The same facts in another order, in batches of any size, some of them sent again and again.
    shuffled = data.draw(st.permutations(each))
    again = data.draw(st.lists(st.sampled_from(each), max_size=10)) if each else []
    stream = [*shuffled, *again]
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        send(*(sent(fact, meter, other) for fact in stream[:size]), source="at random")
        stream = stream[size:]
    first, second = (measured(meter, who, zone, group_by=["channel"]) for who in (customer, other))
    if meter.type == "latest":  # a tie is broken by id, and another source has other ids
        tied = len({fact.occurred_at for fact in each}) < len(each)
        assert tied or first == second
    else:
        assert first == second


@KEEP_DATABASE
@given(drawn=facts, zone=st.sampled_from(ZONES), interval=st.sampled_from([Interval.HOUR, Interval.DAY]))
def test_points_of_a_sum_add_up_to_its_total(drawn: Any, zone: str, interval: Interval) -> None:
    meter, customer = a_story({"type": "sum"})
    if each := facts_of(drawn, meter):
        send(*(sent(fact, meter, customer) for fact in each))
    (series,) = measure_series(
        meter, start=FIRST, end=LAST, interval=interval, zone=zone, customer_id=customer.pk
    )
    assert (
        sum(point.value for point in series.points)
        == series.total
        == measured(meter, customer, zone).quantity
    )
