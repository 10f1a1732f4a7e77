"""The bounds of time by the settings, for every way in."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from metering.incoming import TimeBounds


def time_bounds() -> TimeBounds:
    """How far from the clock events may lie, by the settings."""
    return TimeBounds(
        max_age=timedelta(days=settings.EVENT_MAX_AGE_DAYS),
        max_ahead=timedelta(hours=settings.EVENT_MAX_AHEAD_HOURS),
    )
