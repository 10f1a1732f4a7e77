"""Reading the times of a request: instants, days, time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import available_timezones

from rest_framework.exceptions import ValidationError

from metering.incoming import parse_instant
from metering.periods import Interval, local_day, month_period, start_of_day

INTERVALS = ("hour", "day", "week", "month")
FIRST_YEAR, LAST_YEAR = 1970, 2200
LENGTHS = {
    Interval.HOUR: timedelta(hours=1),
    Interval.DAY: timedelta(days=1),
    Interval.WEEK: timedelta(days=7),
    Interval.MONTH: timedelta(days=31),
}


def read_zone(name: str) -> str:
    """Give a time zone's name. Raises ValidationError naming `timezone` when there is no such zone."""
    if name not in available_timezones():
        raise ValidationError(
            {"timezone": [f"“{name}” is not a time zone. Use a name such as Europe/Berlin."]}
        )
    return name


def read_moment(name: str, text: str, *, zone: str) -> datetime:
    """Give the instant of an RFC 3339 time, or of the first moment of a date in a zone."""
    # A plus sign that was not escaped in an address arrives as a space.
    instant = parse_instant(text) or parse_instant(text.replace(" ", "+"))
    if instant is not None:
        if FIRST_YEAR < instant.year < LAST_YEAR:
            return instant.astimezone(UTC)
    else:
        day = read_day(text)
        if day is not None and FIRST_YEAR < day.year < LAST_YEAR:
            return start_of_day(day, zone)
    message = (
        f"Expected a date such as 2026-10-01 or an RFC 3339 time such as 2026-10-01T00:00:00Z "
        f"between {FIRST_YEAR + 1} and {LAST_YEAR - 1}."
    )
    raise ValidationError({name: [message]})


def read_day(text: str) -> date | None:
    """Read an ISO date such as 2026-10-01; None when it is not one."""
    if len(text) != 10:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def running_month(now: datetime, zone: str) -> tuple[datetime, datetime]:
    """Give the first instant of the calendar month that contains `now` in a zone, and of the next month."""
    today = local_day(now, zone)
    period = month_period(today.year, today.month, zone)
    return period.start, period.end
