"""Outcomes settled ahead are what the events say: as of every position, in every order, whatever came since."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.auditing import outcomes_settled_right
from metering.correcting import amend_event, void_event
from metering.folding import fold_usage
from metering.ledger import place_batches
from metering.measuring import Measure, measure
from metering.meter_types import OncePerSubject
from metering.models import Event, Meter, Rollup, SettledOutcome
from metering.releasing import release_unmatched
from metering.settling_ahead import resettle_outcomes, settle_outcomes
from metering.spans import Span
from metering.tasks import fold_usage_by_day
from tests.at_once import SECONDS, Running
from tests.factories import BOUNDS, NOW, event, make_customer, make_meter, send
from tests.stories.processes import killed_at

pytestmark = pytest.mark.django_db
SERIAL = itertools.count()
START = datetime(2026, 10, 1, tzinfo=UTC)
SPANS = [(START + timedelta(hours=hours), START + timedelta(hours=hours + 48)) for hours in (0, 48, 96)]


def from_notes(meter: Meter, spans: list[Span], **asked: Any) -> dict[int, Measure]:
    """Measure by the notes, however few outcomes there are."""
    with mock.patch("metering.settled_counts.WORTH_IT", 0), CaptureQueriesContext(connection) as queries:
        found = measure(meter, spans, **asked)
    assert any("metering_settledoutcome e" in query["sql"] for query in queries), "not from the notes"
    return found


def from_events(meter: Meter, spans: list[Span], **asked: Any) -> dict[int, Measure]:
    with CaptureQueriesContext(connection) as queries:
        found = measure(meter, spans, **asked)
    assert not any("metering_settledoutcome e" in query["sql"] for query in queries), "not from the events"
    return found


def settle_all() -> None:
    fold_usage()
    settle_outcomes()


drawn_fact = st.tuples(
    st.sampled_from(["outcome", "outcome", "outcome", "reverses", "confirms"]),
    # Twice a day, and windows of whole days, so that ties are common; one in five instants is its own.
    st.one_of(*[st.integers(0, 12).map(lambda half_days: half_days * 12)] * 4, st.integers(0, 140)),
    st.sampled_from(["ticket-1", "ticket-2", None]),
    st.one_of(st.none(), st.integers(0, 9)),
    st.sampled_from(["acme", "acme", "later"]),
    st.sampled_from(["easy", "hard", None]),
)
drawn_step = st.one_of(
    st.tuples(st.just("send"), st.lists(drawn_fact, min_size=1, max_size=4)),
    st.tuples(st.just("send"), st.lists(drawn_fact, min_size=1, max_size=4)),
    st.tuples(st.just("void"), st.integers(0, 9)),
    st.tuples(st.just("amend"), st.integers(0, 9)),
    st.tuples(st.just("arrive"), st.none()),
    st.tuples(st.just("settle"), st.one_of(st.none(), st.integers(1, 2))),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(drawn_step, min_size=2, max_size=12),
    once=st.sampled_from(OncePerSubject),
    hours=st.sampled_from([0, 24, 48]),
    filtered=st.booleans(),
)
def test_counts_from_notes_are_those_from_events_as_of_every_position(
    steps: list[tuple[str, Any]], once: OncePerSubject, hours: int, filtered: bool
) -> None:
    serial = next(SERIAL)
    customers = {"acme": make_customer(f"acme-{serial}")}
    meter = make_meter(
        f"m{serial}",
        once_per_subject=once,
        verification_hours=Decimal(hours) or (None if once != OncePerSubject.NEVER else Decimal(1)),
        dimensions=["kind"],
        filters={"kind": ["easy", "hard"]} if filtered else {},
    )
    keys = [f"{serial}-{place}" for place in range(60)]
    sent = 0
    settle_all()
    positions = [place_batches()]
    for kind, asked in steps:
        match kind:
            case "send":
                bodies = [
                    body(keys[sent + place], meter, serial, once, fact) for place, fact in enumerate(asked)
                ]
                sent += len(bodies)
                send(*bodies)
            case "void" | "amend":
                stored = Event.objects.filter(
                    source="api", key=keys[asked], voided_batch_id=None, meter=meter, customer__isnull=False
                ).first()
                if stored is not None and kind == "void":
                    void_event(stored, reason="wrong", by="staff", now=NOW)
                elif stored is not None and stored.signal is None:
                    amend_event(stored, {"value": "5"}, reason="five", by="staff", now=NOW, bounds=BOUNDS)
            case "arrive" if "later" not in customers:
                customers["later"] = make_customer(f"later-{serial}")
                release_unmatched(now=NOW)
            case "settle":
                fold_usage()
                settle_outcomes(at_most=asked)
        positions.append(place_batches())

    spans = [
        Span(place * 3 + slot, customer.pk, *span, zone="UTC")
        for place, customer in enumerate(customers.values())
        for slot, span in enumerate(SPANS)
    ]
    for as_of in [None, *dict.fromkeys(positions)]:
        for group_by in ([], ["kind"]):
            expected = from_events(meter, spans, as_of=as_of, group_by=group_by)
            assert from_notes(meter, spans, as_of=as_of, group_by=group_by) == expected
    settle_all()
    assert from_notes(meter, spans) == from_events(meter, spans)
    noted = notes(meter)
    resettle_outcomes()
    assert notes(meter) == noted


def notes(meter: Meter) -> list[tuple[Any, ...]]:
    return list(
        SettledOutcome.objects.filter(meter=meter)
        .order_by("event_id")
        .values_list("event_id", "customer_id", "subject", "settles_at", "value", "standing")
    )


def body(key: str, meter: Meter, serial: int, once: OncePerSubject, fact: Any) -> dict[str, Any]:
    kind, hour, subject, target, customer, difficulty = fact
    made = event(
        key,
        meter=meter.code,
        customer=f"{customer}-{serial}",
        occurred_at=(START + timedelta(hours=hour)).isoformat(),
    )
    if kind == "outcome":
        if subject is not None or once != OncePerSubject.NEVER:
            made["subject"] = subject or "ticket-1"
        return made | ({} if difficulty is None else {"dimensions": {"kind": difficulty}})
    if target is None:
        return made | {kind: {"subject": subject or "ticket-2"}}
    return made | {kind: {"key": f"{serial}-{target}"}}


def outcomes(count: int, *, first: int = 0, **fields: Any) -> list[dict[str, Any]]:
    return [
        event(f"evt-{n}", occurred_at=f"2026-10-03T{n % 24:02d}:00:00Z", subject=f"ticket-{n % 7}", **fields)
        for n in range(first, first + count)
    ]


def october(customer: Any) -> list[Span]:
    return [Span(0, customer.pk, START, datetime(2026, 11, 1, tzinfo=UTC), zone="UTC")]


def test_few_outcomes_are_counted_from_the_events_and_many_from_the_notes() -> None:
    customer = make_customer()
    meter = make_meter(once_per_subject="period")
    send(*outcomes(20))
    settle_all()
    assert from_events(meter, october(customer))[0].quantity == 7
    with mock.patch("metering.settled_counts.WORTH_IT", 21), pytest.raises(AssertionError):
        from_notes_as_they_are(meter, october(customer))
    with mock.patch("metering.settled_counts.WORTH_IT", 20):
        assert from_notes_as_they_are(meter, october(customer))[0].quantity == 7


def from_notes_as_they_are(meter: Meter, spans: list[Span]) -> dict[int, Measure]:
    with CaptureQueriesContext(connection) as queries:
        found = measure(meter, spans)
    assert any("metering_settledoutcome e" in query["sql"] for query in queries), "not from the notes"
    return found


@mock.patch("metering.settled_counts.WORTH_IT", 0)
def test_notes_are_left_alone_where_they_cannot_be_right_or_quick() -> None:
    customer = make_customer()
    meter = make_meter(once_per_subject="period")
    send(*outcomes(20))
    from_events(meter, october(customer))  # nobody has made notes yet
    settle_all()
    from_notes_as_they_are(meter, october(customer))
    meter.once_per_subject = "ever"  # not the meter that the notes are of
    from_events(meter, october(customer))
    meter.once_per_subject = "period"
    send(*outcomes(5, first=20))
    with mock.patch("metering.settled_counts.TOO_MUCH_SINCE", 5):
        from_events(meter, october(customer))
    with mock.patch("metering.settled_counts.TOO_MUCH_SINCE", 6):
        from_notes_as_they_are(meter, october(customer))


def test_outcomes_that_need_evidence_are_not_settled_ahead() -> None:
    customer = make_customer()
    meter = make_meter(once_per_subject="period", evidence_meter=make_meter("calls"))
    send(*outcomes(3))
    settle_all()
    assert not SettledOutcome.objects.exists()
    with mock.patch("metering.settled_counts.WORTH_IT", 0):
        assert from_events(meter, october(customer))[0].quantity == 0


def test_settling_goes_on_where_it_stopped_and_never_beyond_usage_by_day() -> None:
    make_customer()
    make_meter(once_per_subject="period")
    for n in range(4):
        send(*outcomes(1, first=n))
    assert settle_outcomes() == 0  # usage by day has checked nothing yet
    fold_usage()
    assert settle_outcomes(at_most=3) == 3
    assert SettledOutcome.objects.count() == 3
    assert settle_outcomes() == 4
    assert settle_outcomes() == 4
    assert SettledOutcome.objects.count() == 4


def test_the_worker_and_the_command_settle_ahead() -> None:
    make_customer()
    make_meter(once_per_subject="period")
    send(*outcomes(2))
    fold_usage_by_day(timestamp=0)
    assert SettledOutcome.objects.count() == 2
    SettledOutcome.objects.update(standing=0)
    send(*outcomes(1, first=2))
    call_command("fold_usage", stdout=StringIO())
    assert sorted(SettledOutcome.objects.values_list("standing", flat=True)) == [0, 0, 1]
    call_command("fold_usage", "--rebuild", stdout=StringIO())
    assert list(SettledOutcome.objects.values_list("standing", flat=True)) == [1, 1, 1]


def test_the_audit_names_a_note_that_is_not_what_the_events_say() -> None:
    make_customer()
    make_meter(once_per_subject="ever")
    send(*outcomes(8))
    settle_all()
    assert list(outcomes_settled_right()) == []
    repeated = Event.objects.get(key="evt-7").pk
    SettledOutcome.objects.filter(event_id=repeated).update(standing=1)
    [wrong] = outcomes_settled_right()
    assert wrong.startswith(f"outcome {repeated} of meter tickets_resolved: noted as 1")
    SettledOutcome.objects.filter(event_id=repeated).update(standing=0)
    SettledOutcome.objects.filter(standing=1).first().delete()  # type: ignore[union-attr]
    assert len(list(outcomes_settled_right())) == 1
    resettle_outcomes()
    void_event(Event.objects.get(key="evt-0"), reason="wrong", by="staff", now=NOW)
    assert list(outcomes_settled_right()) == []  # what came after the notes says nothing about them


@pytest.mark.django_db(transaction=True)
@mock.patch("metering.settled_counts.WORTH_IT", 0)
def test_notes_made_while_others_write_reverse_and_void_are_what_the_events_say() -> None:
    customer = make_customer()
    meter = make_meter(once_per_subject="period", verification_hours=Decimal(24))
    stop = threading.Event()

    def write(seed: int) -> None:
        for step in range(12):
            first = seed * 1000 + step * 5
            send(*outcomes(5, first=first))
            send(
                event(
                    f"back-{first}",
                    occurred_at="2026-10-03T12:00:00Z",
                    reverses={"key": f"evt-{first + step % 5}"},
                )
            )

    def void() -> None:
        for _ in range(10):
            stored = Event.objects.filter(voided_batch_id=None).order_by("?").first()
            if stored is not None:
                void_event(stored, reason="wrong", by="staff", now=NOW)

    def settle() -> None:
        while not stop.is_set():
            fold_usage(at_most=3)
            settle_outcomes(at_most=2)
            if Rollup.objects.filter(settled_position__gt=0).exists():
                from_notes_as_they_are(meter, october(customer))

    settlers = [Running(settle), Running(settle)]
    writers = [Running(write, 1), Running(write, 2), Running(void)]
    for each in writers:
        each.join(timeout=SECONDS)
    stop.set()
    for each in (*writers, *settlers):
        each.result()
    settle_all()
    counted = from_notes_as_they_are(meter, october(customer))
    with mock.patch("metering.settled_counts.TOO_MUCH_SINCE", 0):
        assert counted == from_events(meter, october(customer))
    assert list(outcomes_settled_right()) == []


@pytest.mark.django_db(transaction=True)
def test_settling_killed_at_each_statement_goes_on_and_comes_to_what_the_events_say() -> None:
    """Killed before and after each statement in turn, until one run came to its end; each time more has arrived."""
    customer = make_customer()
    meter = make_meter(once_per_subject="ever", verification_hours=Decimal(24))
    killed = step = 0
    ended = False
    while not ended:
        send(*outcomes(3, first=step * 3))
        send(
            event(f"back-{step}", occurred_at="2026-10-03T12:00:00Z", reverses={"key": f"evt-{step * 3 + 1}"})
        )
        fold_usage()
        step += 1
        for before in (True, False):
            was_killed = killed_at(
                step, lambda: settle_outcomes(at_most=1) and settle_outcomes(), before=before
            )
            killed += was_killed
            assert list(outcomes_settled_right()) == []
            ended = not was_killed
    assert killed > 20
    settle_all()
    with mock.patch("metering.settled_counts.WORTH_IT", 0):
        counted = from_notes_as_they_are(meter, october(customer))
    assert counted == from_events(meter, october(customer))
    assert Rollup.objects.get().settled_position == step * 2
