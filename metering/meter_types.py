"""What a meter can do with the values of events, and what each type needs of an event and of its definition.

This table is the one place for it: forms, the API, ingestion and the release of unmatched events all read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from django.db import models


class MeterType(models.TextChoices):
    """How the events of a period become one quantity. docs/meters.md has an example of each."""

    COUNT = "count", "Count: 1 per event, or the event's value when it has one"
    SUM = "sum", "Sum: the values of events added up"
    MAX = "max", "Maximum: the highest value, or the peaks of each hour or day added up"
    MIN = "min", "Minimum: the lowest value"
    LATEST = "latest", "Latest: the value of the last event"
    AVERAGE = "average", "Average: the mean of the values"
    UNIQUE = "unique", "Unique: how many different subjects or values of a dimension"
    WEIGHTED_SUM = "weighted_sum", "Weighted sum: a level held over time, such as seats or stored gigabytes"
    PERCENTILE = "percentile", "Percentile: the value that a share of the events does not exceed"


class MeterWindow(models.TextChoices):
    """The windows whose peaks a maximum adds up, in the customer's time zone."""

    HOUR = "hour", "Hour"
    DAY = "day", "Day"


class Rounding(models.TextChoices):
    """How the quantity of a period is rounded."""

    HALF_UP = "half_up", "Half up: 0.5 and more up"
    UP = "up", "Up: every started unit counts"
    DOWN = "down", "Down: only full units count"


class OncePerSubject(models.TextChoices):
    """How often the outcomes of one subject count."""

    NEVER = "never", "Every outcome counts"
    PERIOD = "period", "Once per subject and billing period"
    EVER = "ever", "Once per subject, for ever"


class Signal(models.TextChoices):
    """What an event says about an outcome, in place of being one."""

    REVERSES = "reverses", "Takes an outcome back"
    CONFIRMS = "confirms", "Confirms an outcome: it settles at once"


class Need(Enum):
    """What an event must carry to count on a meter."""

    NOTHING = "nothing"
    VALUE = "value"
    SUBJECT = "subject"
    DIMENSION = "dimension"


NEEDS_VALUE = frozenset(
    {
        MeterType.SUM,
        MeterType.MAX,
        MeterType.MIN,
        MeterType.LATEST,
        MeterType.AVERAGE,
        MeterType.WEIGHTED_SUM,
        MeterType.PERCENTILE,
    }
)

# A count takes a unit back by a void, never by a negative value; levels and sums may go down.
REFUSES_NEGATIVE = frozenset({MeterType.COUNT})

# Settings that belong to one type alone, and the sentence for using them elsewhere.
ONLY_ON: Mapping[str, tuple[MeterType, str]] = {
    "value_dimension": (
        MeterType.UNIQUE,
        "Only a unique meter counts the values of a dimension. Leave this empty.",
    ),
    "percentile": (MeterType.PERCENTILE, "Only a percentile meter has a percentile. Leave this empty."),
    "window": (MeterType.MAX, "Only a maximum is taken per window. Leave this empty."),
    "timeout_hours": (
        MeterType.WEIGHTED_SUM,
        "Only the level of a weighted sum can time out. Leave this empty.",
    ),
}


def need_of(type_: str, value_dimension: str, once_per_subject: str = OncePerSubject.NEVER) -> Need:
    """Give what an event must carry to count on a meter of this type."""
    if type_ in NEEDS_VALUE:
        return Need.VALUE
    if once_per_subject != OncePerSubject.NEVER:
        return Need.SUBJECT
    if type_ == MeterType.UNIQUE:
        return Need.DIMENSION if value_dimension else Need.SUBJECT
    return Need.NOTHING
