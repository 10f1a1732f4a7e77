"""What was agreed, day by day: seats, pauses and the trial, worked by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from billing.agreements import Agreement, Stretch, agreement_of
from billing.models import AgreementKind, Subscription, SubscriptionChange
from metering.periods import Period, month_period

JUNE = month_period(2026, 6, "UTC")


def june(day: int) -> date:
    return date(2026, 6, day)


AGREED = Agreement(
    ((june(1), 2), (june(16), 5)), ((june(10), june(13)), (june(25), None)), june(4), trial_usage_free=True
)


def test_fees_are_owed_for_the_days_outside_the_trial_and_pauses_cut_where_seats_change() -> None:
    assert AGREED.stretches(JUNE) == [
        Stretch(june(4), june(10), 2),
        Stretch(june(13), june(16), 2),
        Stretch(june(16), june(25), 5),
    ]
    assert sum(each.days for each in AGREED.stretches(JUNE)) == 6 + 3 + 9
    assert AGREED.stretches(Period(june(1), june(4), "UTC")) == []


def test_a_pause_begins_with_its_first_day_and_ends_before_its_last() -> None:
    paused = [day for day in range(1, 31) if AGREED.is_paused(june(day))]
    assert paused == [10, 11, 12, 25, 26, 27, 28, 29, 30]


def test_seats_hold_from_the_day_they_change_and_those_of_the_first_day_before_it() -> None:
    days = [date(2026, 5, 1), june(1), june(15), june(16), june(30)]
    assert [AGREED.seats_on(day) for day in days] == [2, 2, 2, 5, 5]


def test_the_trial_ends_before_its_last_day_and_usage_is_free_only_where_it_says_so() -> None:
    assert [AGREED.in_trial(june(day)) for day in (1, 3, 4)] == [True, True, False]
    assert AGREED.charged_from == june(4)
    assert AGREED.usage_days(JUNE) == Period(june(4), date(2026, 7, 1), "UTC")
    assert AGREED.usage_days(Period(june(1), june(4), "UTC")) is None
    plain = Agreement(AGREED.seats, trial_end_on=june(4))
    assert plain.usage_days(JUNE) == JUNE
    assert Agreement(AGREED.seats).charged_from == june(1)
    assert Agreement(AGREED.seats, trial_end_on=date(2026, 5, 20)).charged_from == june(1)


PAUSED = {"kind": AgreementKind.PAUSE, "effective_on": june(10)}


@pytest.mark.parametrize(
    ("changes", "seats", "pauses"),
    [
        ([], [(june(1), 3)], []),
        ([{"kind": AgreementKind.QUANTITY, "effective_on": june(9), "quantity": 4}], [(june(1), 3), (june(9), 4)], []),
        ([{"kind": AgreementKind.QUANTITY, "effective_on": june(1), "quantity": 4}], [(june(1), 4)], []),
        (
            [
                {"kind": AgreementKind.QUANTITY, "effective_on": june(9), "quantity": 4, "pk": 7},
                {"kind": AgreementKind.UNDO, "effective_on": june(9), "undoes_id": 7},
            ],
            [(june(1), 3)],
            [],
        ),
        ([PAUSED | {"until_on": june(20)}], [(june(1), 3)], [(june(10), june(20))]),
        ([PAUSED, {"kind": AgreementKind.RESUME, "effective_on": june(15)}], [(june(1), 3)], [(june(10), june(15))]),
        # Resuming ends the pause that runs on that day, and no other.
        (
            [
                PAUSED | {"until_on": june(12)},
                {"kind": AgreementKind.PAUSE, "effective_on": june(20), "until_on": june(25)},
                {"kind": AgreementKind.RESUME, "effective_on": june(22)},
            ],
            [(june(1), 3)],
            [(june(10), june(12)), (june(20), june(22))],
        ),
    ],
)  # fmt: skip
def test_the_facts_are_the_changes_in_their_order_without_those_undone(
    changes: list[dict[str, Any]], seats: list[tuple[date, int]], pauses: list[tuple[date, date | None]]
) -> None:
    subscription = Subscription(start_on=june(1), quantity=3, trial_end_on=june(2), trial_usage_free=True)
    agreed = agreement_of(subscription, [SubscriptionChange(**fields) for fields in changes])
    assert agreed == Agreement(tuple(seats), tuple(pauses), june(2), trial_usage_free=True)
