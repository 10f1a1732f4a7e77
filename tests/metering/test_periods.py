import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.periods import (
    CALENDAR_ANCHOR,
    Anchor,
    Interval,
    Period,
    clip,
    month_period,
    period_of,
    periods_between,
    start_of_day,
    windows,
)

ZONES = sorted(available_timezones())
YEARS = datetime(2020, 1, 1), datetime(2030, 1, 1)  # noqa: DTZ001 - the strategy adds the zone
DAYS = st.dates(date(1990, 1, 1), date(2060, 12, 31))
BILLING = st.sampled_from([Interval.DAY, Interval.WEEK, Interval.MONTH, Interval.QUARTER, Interval.YEAR])


def test_anchor_on_the_31st_is_remembered_through_february() -> None:
    anchor = Anchor.on(date(2024, 1, 31))
    ends = [anchor.boundary(Interval.MONTH, n) for n in (1, 2, 3, 4)]
    assert ends == [date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30), date(2024, 5, 31)]


def test_anchor_on_leap_day_returns_to_it_after_four_years() -> None:
    anchor = Anchor.on(date(2024, 2, 29))
    ends = [anchor.boundary(Interval.YEAR, n) for n in (1, 2, 3, 4)]
    assert ends == [date(2025, 2, 28), date(2026, 2, 28), date(2027, 2, 28), date(2028, 2, 29)]


def test_a_day_before_the_anchors_day_belongs_to_the_period_begun_the_month_before() -> None:
    anchor = Anchor.on(date(2024, 1, 31))
    march = period_of(date(2026, 3, 30), anchor=anchor, interval=Interval.MONTH, zone="UTC")
    assert (march.start_on, march.end_on) == (date(2026, 2, 28), date(2026, 3, 31))


def test_calendar_quarter_begins_with_its_first_month() -> None:
    quarter = period_of(date(2026, 5, 17), anchor=CALENDAR_ANCHOR, interval=Interval.QUARTER, zone="UTC")
    assert (quarter.start_on, quarter.end_on) == (date(2026, 4, 1), date(2026, 7, 1))


def test_calendar_week_begins_on_monday() -> None:
    week = period_of(date(2026, 11, 22), anchor=CALENDAR_ANCHOR, interval=Interval.WEEK, zone="UTC")
    assert (week.start_on, week.end_on) == (date(2026, 11, 16), date(2026, 11, 23))


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("UTC", "2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00"),
        ("America/New_York", "2026-10-01T04:00:00+00:00", "2026-11-01T04:00:00+00:00"),
        ("Pacific/Auckland", "2026-09-30T11:00:00+00:00", "2026-10-31T11:00:00+00:00"),
        ("Europe/Berlin", "2026-09-30T22:00:00+00:00", "2026-10-31T23:00:00+00:00"),
        ("Asia/Kolkata", "2026-09-30T18:30:00+00:00", "2026-10-31T18:30:00+00:00"),
    ],
)
def test_a_month_lasts_from_local_midnight_to_local_midnight(zone: str, start: str, end: str) -> None:
    october = month_period(2026, 10, zone)
    assert (october.start.isoformat(), october.end.isoformat()) == (start, end)


def test_a_day_without_midnight_begins_when_the_clock_jumps() -> None:
    # Cairo's clocks went from 23:59:59 on 27 April 2023 to 01:00 on the 28th.
    assert start_of_day(date(2023, 4, 28), "Africa/Cairo") == datetime(2023, 4, 27, 22, 0, tzinfo=UTC)


def test_a_day_with_a_clock_change_has_23_or_25_hour_windows() -> None:
    spring = [start_of_day(date(2025, 3, day), "America/Los_Angeles") for day in (9, 10)]
    autumn = [start_of_day(date(2025, 11, day), "America/Los_Angeles") for day in (2, 3)]
    assert len(windows(*spring, interval=Interval.HOUR, zone="America/Los_Angeles")) == 23
    assert len(windows(*autumn, interval=Interval.HOUR, zone="America/Los_Angeles")) == 25


def test_hours_begin_where_a_half_hour_zone_shows_a_full_hour() -> None:
    start = datetime(2026, 10, 1, 0, 0, tzinfo=UTC)
    cuts = windows(start, start + timedelta(hours=2), interval=Interval.HOUR, zone="Asia/Kolkata")
    assert [first.minute for first, _ in cuts] == [0, 30, 30]


def test_clip_gives_none_when_no_day_is_left() -> None:
    october = month_period(2026, 10, "UTC")
    assert clip(october, start_on=date(2026, 11, 1), end_on=None) is None
    assert clip(october, start_on=date(2026, 10, 31), end_on=date(2026, 10, 31)) is None
    for end_on in (None, date(2026, 11, 2)):
        last = Period(date(2026, 10, 31), date(2026, 11, 1), "UTC")
        assert clip(october, start_on=date(2026, 10, 31), end_on=end_on) == last
    first = Period(date(2026, 10, 1), date(2026, 10, 2), "UTC")
    assert clip(october, start_on=date(2026, 9, 1), end_on=date(2026, 10, 2)) == first


def test_a_period_is_over_at_its_end_and_not_before() -> None:
    october = month_period(2026, 10, "Asia/Kolkata")
    end = datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    assert october.days == 31
    assert october.is_over(end)
    assert not october.is_over(end - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("interval", "zone", "start", "end", "cuts"),
    [
        # Berlin's clocks went forward on 29 March 2026: midnight is 23:00 UTC before and 22:00 UTC after.
        ("day", "Europe/Berlin", "2026-03-28T12", "2026-03-30T22", ["2026-03-28T23", "2026-03-29T22"]),
        ("day", "Europe/Berlin", "2026-03-28T23", "2026-03-29T22", []),
        ("week", "UTC", "2026-11-15T06", "2026-11-24T06", ["2026-11-16T00", "2026-11-23T00"]),
        ("month", "Asia/Tokyo", "2026-01-31T14", "2026-03-01T00", ["2026-01-31T15", "2026-02-28T15"]),
        ("year", "UTC", "2025-06-01T00", "2027-01-01T00", ["2026-01-01T00"]),
        ("hour", "Asia/Kolkata", "2026-10-01T00", "2026-10-01T01", ["2026-10-01T00:30"]),
        # Samoa had no 30 December 2011.
        ("day", "Pacific/Apia", "2011-12-29T10", "2012-01-01T10", ["2011-12-30T10", "2011-12-31T10"]),
    ],
)
def test_windows_are_cut_at_the_local_boundaries_between_start_and_end(
    interval: str, zone: str, start: str, end: str, cuts: list[str]
) -> None:
    edges = [datetime.fromisoformat(f"{each}+00:00") for each in (start, *cuts, end)]
    found = windows(edges[0], edges[-1], interval=Interval(interval), zone=zone)
    assert found == list(itertools.pairwise(edges))
    assert windows(edges[0], edges[0], interval=Interval(interval), zone=zone) == []


@given(start=DAYS, days=st.integers(1, 800), interval=BILLING, zone=st.sampled_from(ZONES), anchor=DAYS)
def test_periods_tile_time_without_gap_or_overlap(
    start: date, days: int, interval: Interval, zone: str, anchor: date
) -> None:
    end = start + timedelta(days=days)
    spans = list(periods_between(start, end, anchor=Anchor.on(anchor), interval=interval, zone=zone))
    assert spans[0].start_on <= start
    assert spans[-1].start_on < end <= spans[-1].end_on
    assert spans == [
        period_of(span.start_on, anchor=Anchor.on(anchor), interval=interval, zone=zone) for span in spans
    ]
    for before, after in itertools.pairwise(spans):
        assert before.end_on == after.start_on
        assert before.end == after.start
        assert before.start <= before.end


@given(day=DAYS, interval=BILLING, anchor=DAYS)
def test_every_day_is_in_the_period_found_for_it(day: date, interval: Interval, anchor: date) -> None:
    period = period_of(day, anchor=Anchor.on(anchor), interval=interval, zone="UTC")
    assert period.start_on <= day < period.end_on


@given(
    start=st.datetimes(*YEARS, timezones=st.just(UTC)),
    hours=st.integers(1, 2000),
    interval=st.sampled_from(list(Interval)),
    zone=st.sampled_from(ZONES),
)
def test_windows_tile_their_time(start: datetime, hours: int, interval: Interval, zone: str) -> None:
    end = start + timedelta(hours=hours)
    cuts = windows(start, end, interval=interval, zone=zone)
    assert cuts[0][0] == start
    assert cuts[-1][1] == end
    assert all(before[1] == after[0] for before, after in itertools.pairwise(cuts))
    assert all(first < last for first, last in cuts)
