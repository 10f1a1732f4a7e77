"""What comes after outcomes were settled ahead changes the count as it changes the events: each rule by itself.

Each case settles ahead, lets something come, and counts from notes and events: at once, as of before it came, and when
that is settled ahead too. The properties in test_settling_ahead draw such histories; these are the ones that decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from customers.models import Customer
from metering.auditing import outcomes_settled_right
from metering.correcting import amend_event, void_event
from metering.folding import fold_usage
from metering.ledger import place_batches
from metering.measuring import Measure
from metering.models import Event, Meter
from metering.releasing import release_unmatched
from metering.settling_ahead import resettle_outcomes, settle_outcomes
from metering.spans import Span
from tests.factories import BOUNDS, NOW, event, make_customer, make_meter, send
from tests.metering.test_settling_ahead import from_events, from_notes, settle_all

pytestmark = pytest.mark.django_db
DAY = {"verification_hours": Decimal(24)}
EVER = {"once_per_subject": "ever"}
PERIOD = {"once_per_subject": "period"}
BOUNDARY = datetime(2026, 10, 5, tzinfo=UTC)
Step = Callable[[], object]


def at(day: int, hour: int = 10) -> str:
    return f"2026-10-{day:02d}T{hour:02d}:00:00Z"


def resolved(key: str, subject: str | None = None, when: str = at(3), **fields: Any) -> dict[str, Any]:
    return event(key, occurred_at=when, **({} if subject is None else {"subject": subject}), **fields)


def said(key: str, when: str, **about: Any) -> Step:
    return lambda: send(event(key, occurred_at=when, **about))


def amended(key: str, **changes: Any) -> Step:
    return lambda: amend_event(
        Event.objects.get(key=key), changes, reason="wrong", by="staff", now=NOW, bounds=BOUNDS
    )


def voided(key: str) -> Step:
    return lambda: void_event(Event.objects.get(key=key), reason="wrong", by="staff", now=NOW)


def unknown_customer_comes() -> None:
    make_customer("later")
    release_unmatched(now=NOW)


@dataclass(frozen=True)
class Case:
    """`counts` are those of 1 to 5 October and of 5 October on, of all customers, once everything came."""

    name: str
    meter: dict[str, Any]
    first: list[dict[str, Any]]
    then: list[Step]
    counts: tuple[int, int]
    between: list[Step] = field(default_factory=list)

    def __repr__(self) -> str:
        return self.name


CASES = [
    Case("reversed by subject", EVER, [resolved("a", "t1"), resolved("b", "t2")],
         [said("back", at(6), reverses={"subject": "t1"})], (1, 0)),
    Case("reversed by subject where each counts", DAY, [resolved("a", "t1"), resolved("b", "t1"), resolved("c", "t2")],
         [said("back", at(3, 12), reverses={"subject": "t1"})], (1, 0)),
    Case("reversed at the very instant it happened", EVER, [resolved("a", "t1")],
         [said("back", at(3), reverses={"subject": "t1"})], (0, 0)),
    Case("of a subject resolved again only the earlier is reversed", EVER,
         [resolved("a", "t1"), resolved("b", "t1", at(6))],
         [said("back", at(5, 12), reverses={"subject": "t1"})], (0, 1)),
    Case("reversed by key", PERIOD, [resolved("a", "t1"), resolved("b", "t2")],
         [said("back", at(6), reverses={"key": "a"})], (1, 0)),
    Case("a signal about what was amended is about what replaced it", DAY, [resolved("a"), resolved("b")],
         [said("back", at(3, 12), reverses={"key": "a"})], (1, 0), [amended("a", value="5")]),
    Case("what was said before an amendment holds after it", DAY, [resolved("a"), resolved("b")],
         [amended("a", value="5")], (1, 0), [said("back", at(3, 12), reverses={"key": "a"})]),
    Case("amended twice", DAY, [resolved("a"), resolved("b")],
         [amended("a#2", value="6")], (1, 0),
         [said("back", at(3, 12), reverses={"key": "a"}), amended("a", value="5")]),
    Case("a signal about an outcome that came later", DAY, [resolved("b")],
         [lambda: send(resolved("a"))], (1, 0), [said("back", at(3, 12), reverses={"key": "a"})]),
    Case("confirmed, so that it settles sooner", DAY, [resolved("a", "t1", at(4, 20))],
         [said("yes", at(4, 22), confirms={"subject": "t1"})], (1, 0)),
    Case("confirmed by key, so that it settles sooner", DAY, [resolved("a", when=at(4, 20))],
         [said("yes", at(4, 22), confirms={"key": "a"})], (1, 0)),
    Case("the one that was confirmed settles first and counts for its subject", EVER | DAY,
         [resolved("a", "t1", at(4, 8)), resolved("b", "t1", at(4, 12))],
         [said("yes", at(4, 14), confirms={"key": "b"})], (1, 0)),
    Case("a window that ends at the end of a time is of the next", DAY,
         [resolved("a", "t1", at(4, 0)), resolved("b", "t2", at(3, 0))], [lambda: send(resolved("c", "t3", at(4, 0)))],
         (1, 2)),
    Case("an earlier one of the subject comes late", EVER, [resolved("a", "t1", at(6))],
         [lambda: send(resolved("b", "t1", at(2)))], (1, 0)),
    Case("once in a period, and another comes", PERIOD,
         [resolved("a", "t1"), resolved("b", "t1", at(4)), resolved("e", "t3"), resolved("f", "t3", at(4))],
         [lambda: send(resolved("c", "t1", at(4, 12)), resolved("d", "t2"))], (3, 0)),
    Case("once in a period, of two the first is reversed", PERIOD,
         [resolved("a", "t1"), resolved("b", "t1", at(4)), resolved("c", "t1", at(6)), resolved("d", "t1", at(7))],
         [said("back", at(4, 9), reverses={"key": "a"})], (1, 1)),
    Case("voided", EVER, [resolved("a", "t1"), resolved("b", "t1", at(6))], [voided("a")], (0, 1)),
    Case("a reversal that is voided takes nothing back", EVER, [resolved("a", "t1")],
         [voided("back")], (1, 0), [said("back", at(3, 12), reverses={"subject": "t1"})]),
    Case("a reversal by key that is voided takes nothing back", DAY, [resolved("a")],
         [voided("back")], (1, 0), [said("back", at(3, 12), reverses={"key": "a"})]),
    Case("released", EVER, [resolved("a", "t1"), resolved("b", "t1", customer="later")],
         [unknown_customer_comes], (2, 0)),
    Case("what is said for another customer is about its outcomes alone", DAY,
         [resolved("a", "t1"), resolved("b", "t1", customer="later")],
         [said("back", at(3, 12), customer="later", reverses={"subject": "t1"}),
          said("back-too", at(3, 12), customer="later", reverses={"key": "a"})], (1, 0), [unknown_customer_comes]),
    Case("everything of a kind is reversed", EVER,
         [resolved("a", "t1", dimensions={"kind": "easy"}), resolved("b", "t2")],
         [said("back", at(6), reverses={"subject": "t1"})], (1, 0)),
]  # fmt: skip


def counted(count: Callable[..., dict[int, Measure]], meter: Meter, as_of: int | None) -> list[Any]:
    edges = [datetime(2026, 10, 1, tzinfo=UTC), BOUNDARY, datetime(2026, 11, 1, tzinfo=UTC)]
    spans = [
        Span(customer * 2 + slot, customer, *edge, zone="UTC")
        for customer in Customer.objects.values_list("pk", flat=True)
        for slot, edge in enumerate(pairwise(edges))
    ]
    found = count(meter, spans, as_of=as_of)
    sums = tuple(sum(found[span.slot].quantity for span in spans[slot::2]) for slot in (0, 1))
    return [sums, found, count(meter, spans, as_of=as_of, group_by=["kind"])]


@pytest.mark.parametrize(
    ("case", "settled_between"),
    [(case, settled) for case in CASES for settled in (False, True)[: 1 + bool(case.between)]],
    ids=str,
)
def test_what_comes_later_counts_as_the_events_say(case: Case, settled_between: bool) -> None:
    make_customer()
    meter = make_meter(dimensions=["kind"], **case.meter)
    send(*case.first)
    positions = [place_batches()]
    settle_all()
    for step in case.between:
        step()
        positions.append(place_batches())
        if settled_between:
            settle_all()
    for step in case.then:
        step()
    # What came has no place in the ledger yet, then a place, then notes of its own; last, notes of all made anew.
    assert counted(from_notes, meter, None)[0] == case.counts
    positions.append(place_batches())
    for settle in (lambda: None, fold_usage, settle_outcomes, resettle_outcomes):
        settle()
        for as_of in (None, *positions):
            assert counted(from_notes, meter, as_of) == counted(from_events, meter, as_of)
        assert counted(from_notes, meter, None)[0] == case.counts
    assert list(outcomes_settled_right()) == []


def test_settling_in_small_steps_notes_what_stood_at_each() -> None:
    """Settled up to the outcome alone, the reversal that came next is not in its note, and counts as of its place."""
    make_customer()
    meter = make_meter(dimensions=["kind"], **EVER)
    send(resolved("a", "t1"))
    before = place_batches()
    said("back", at(6), reverses={"subject": "t1"})()
    voided("back")()
    after = place_batches()
    fold_usage()
    for _ in range(3):
        settle_outcomes(at_most=1)
        assert list(outcomes_settled_right()) == []
        for as_of, count in ((before, 1), (before + 1, 0), (after, 1), (None, 1)):
            assert counted(from_notes, meter, as_of)[0] == (count, 0)
            assert counted(from_events, meter, as_of)[0] == (count, 0)
