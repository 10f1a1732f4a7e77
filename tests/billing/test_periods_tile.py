"""Billed periods tile time: every instant of a subscription is in exactly one, whatever zone, anchor and changes."""

from __future__ import annotations

import zoneinfo
from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.agreements import Agreement
from billing.continuing import continued_on
from billing.due_periods import periods_ending_in
from billing.models import AnchorRule, Plan, Subscription
from billing.models.plans import SETTLES_WITHIN
from customers.models import Customer
from metering.periods import Anchor, Interval, Period, period_of, periods_between, start_of_day

ZONES = sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})
DAYS = st.dates(date(2019, 1, 1), date(2031, 12, 31))
PLANS = st.sampled_from(
    [(whole, part) for whole, parts in SETTLES_WITHIN.items() for part in ("", *parts)]
).map(lambda names: Plan(code="p", currency="USD", billing_period=names[0], usage_period=names[1]))


def billed(subscription: Subscription, until: date) -> list[Period]:
    """Give the periods a close of every month up to a day would invoice."""
    due = periods_ending_in(subscription, first=subscription.start_on, last=until)
    return [each.period for each in due]


@given(
    zone=st.sampled_from(ZONES),
    plan=PLANS,
    next_plan=PLANS,
    anchor=st.sampled_from(AnchorRule.values),
    start_on=DAYS,
    trial=st.integers(0, 90),
    change_after=st.integers(1, 500),
    end_after=st.integers(1, 500),
)
def test_the_periods_of_a_plan_and_the_one_that_follows_touch_and_never_overlap(
    zone: str,
    plan: Plan,
    next_plan: Plan,
    anchor: str,
    start_on: date,
    trial: int,
    change_after: int,
    end_after: int,
) -> None:
    """From the first day to the last, over a trial and a change of plan, in any zone."""
    trial_end = start_on + timedelta(days=trial) if trial else None
    first = Subscription(
        customer=Customer(code="c", timezone=zone),
        plan=plan,
        start_on=start_on,
        anchor=anchor,
        anchored_on=trial_end if anchor == AnchorRule.ANNIVERSARY else None,
        timezone=zone,
        trial_end_on=trial_end,
    )
    change_on = start_on + timedelta(days=change_after)
    following, _ = continued_on(first, to=next_plan, day=change_on, quantity=1)
    first.end_on = change_on
    following.end_on = change_on + timedelta(days=end_after)
    periods = [*billed(first, change_on), *billed(following, following.end_on)]
    assert periods[0].start == start_of_day(start_on, zone)
    assert periods[-1].end == start_of_day(following.end_on, zone)
    for before, after in pairwise(periods):
        assert before.end == after.start
        assert before.end_on == after.start_on
    # A zone that skipped a whole day (Samoa, 30 December 2011) has an empty local day, but none of these years does.
    assert all(period.start < period.end for period in periods)
    assert sum(period.days for period in periods) == (following.end_on - start_on).days


@given(
    zone=st.sampled_from(ZONES),
    interval=st.sampled_from([Interval.DAY, Interval.WEEK, Interval.MONTH, Interval.QUARTER, Interval.YEAR]),
    anchored_on=DAYS,
    day=DAYS,
    span=st.integers(1, 800),
)
def test_every_day_is_in_exactly_the_one_period_that_is_given_for_it(
    zone: str, interval: Interval, anchored_on: date, day: date, span: int
) -> None:
    anchor = Anchor.on(anchored_on)
    until = day + timedelta(days=span)
    periods = list(periods_between(day, until, anchor=anchor, interval=interval, zone=zone))
    for before, after in pairwise(periods):
        assert before.end_on == after.start_on
    for offset in {0, span // 2, span - 1}:
        each = day + timedelta(days=offset)
        holders = [period for period in periods if period.start_on <= each < period.end_on]
        assert holders == [period_of(each, anchor=anchor, interval=interval, zone=zone)]


@given(
    start_on=DAYS,
    seats=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50)), max_size=5),
    pauses=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=3),
    trial=st.integers(0, 60),
    first=st.integers(0, 400),
    length=st.integers(1, 60),
)
def test_each_day_of_a_period_is_charged_once_or_is_paused_or_in_the_trial(
    start_on: date,
    seats: list[tuple[int, int]],
    pauses: list[tuple[int, int]],
    trial: int,
    first: int,
    length: int,
) -> None:
    day = timedelta(days=1)
    agreement = Agreement(
        tuple(sorted({start_on: 1, **{start_on + day * after: number for after, number in seats}}.items())),
        tuple((start_on + day * after, start_on + day * (after + long)) for after, long in pauses),
        start_on + day * trial if trial else None,
    )
    period = Period(start_on + day * first, start_on + day * (first + length), "UTC")
    stretches = agreement.stretches(period)
    for before, after in pairwise(stretches):
        assert before.end_on < after.start_on or (
            before.end_on == after.start_on and before.seats != after.seats
        )
    for offset in range(length):
        each = period.start_on + day * offset
        holding = [stretch for stretch in stretches if stretch.start_on <= each < stretch.end_on]
        free = agreement.is_paused(each) or agreement.in_trial(each)
        assert len(holding) == (0 if free else 1)
        assert all(stretch.seats == agreement.seats_on(each) for stretch in holding)
