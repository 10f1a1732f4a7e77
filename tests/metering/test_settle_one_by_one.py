"""Settling outcomes in plain steps: each bound by itself. The statements are held to the same by properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from metering.meter_types import OncePerSubject
from metering.outcomes import OutcomeFact, settle

AT = datetime(2026, 10, 3, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def fact(
    n: int, at: datetime = AT, *, customer: int = 1, signal: str | None = None, target: int | None = None
) -> OutcomeFact:
    """An outcome of ticket t, or a signal about the ticket or, with a target, about one outcome."""
    about = None if target is None else UUID(int=target)
    return OutcomeFact(UUID(int=n), customer, at, None if about else "t", signal=signal, target_id=about)


def counting(*facts: OutcomeFact, once: OncePerSubject = OncePerSubject.NEVER) -> list[int]:
    return [each.fact.id.int for each in settle(facts, once=once, window=DAY) if each.counts]


def test_a_reversal_of_the_subject_takes_back_what_is_not_later_than_it() -> None:
    back = fact(9, signal="reverses")
    assert counting(fact(1, AT - SECOND), fact(2), fact(3, AT + SECOND), back) == [3]


def test_a_signal_is_about_outcomes_of_its_own_customer_only() -> None:
    theirs = fact(2, customer=2)
    by_subject = fact(8, AT + DAY, customer=2, signal="reverses")
    by_key = fact(9, AT + DAY, customer=2, signal="reverses", target=1)
    assert counting(fact(1), theirs, by_subject, by_key) == [1]


def test_what_does_not_count_takes_no_place_of_its_subject() -> None:
    first, again = fact(1), fact(2, AT + DAY)
    back = fact(9, AT + SECOND, signal="reverses", target=1)
    assert counting(first, again, once=OncePerSubject.EVER) == [1]
    assert counting(first, again, back, once=OncePerSubject.EVER) == [2]


def test_a_confirmation_settles_no_outcome_before_it_happened() -> None:
    (settled,) = settle(
        [fact(1), fact(9, AT - SECOND, signal="confirms", target=1)], once=OncePerSubject.NEVER, window=DAY
    )
    assert settled.settles_at == AT


def test_evidence_counts_up_to_the_very_instant_of_settling() -> None:
    for late, proven in ((timedelta(0), True), (timedelta(microseconds=1), False)):
        (settled,) = settle(
            [fact(1)], once=OncePerSubject.NEVER, window=DAY, worked_at={(1, "t"): AT + DAY + late}
        )
        assert settled.is_proven is proven
