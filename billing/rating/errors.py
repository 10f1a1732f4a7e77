"""What the rating core refuses. Every error has a stable code and a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the terms of a rate. `path` is dotted, rows count from 0: `tiers.1.up_to`."""

    code: str
    path: str
    message: str


class TermsError(ValueError):
    """The terms of a rate cannot be used. Holds every problem found, not only the first.

    `code` is the code of the first problem, `fields` the first sentence of each path.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = len(problems) - 1
        message = first.message if not more else f"{first.message} ({more} more to correct.)"
        super().__init__(message)
        self.code = first.code
        self.message = message
        self.problems = tuple(problems)
        self.fields: dict[str, str] = {}
        for problem in problems:
            self.fields.setdefault(problem.path, problem.message)


class RatingError(ValueError):
    """Base of what cannot be rated or calculated although the terms are sound."""

    code = "rating_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NegativeQuantity(RatingError):
    code = "negative_quantity"


class NotANumber(RatingError):
    """A quantity or an event's amount is NaN or infinite."""

    code = "not_a_number"


class BeyondLastStep(RatingError):
    """The quantity is above the last, bounded step of a stairstep rate: no price was agreed for it."""

    code = "beyond_last_step"


class UnmatchedUsage(RatingError):
    """No row prices this group of usage, and the rate does not say that such usage is free."""

    code = "unmatched_usage"


class UsageNotGrouped(RatingError):
    """The rate has a price by dimensions, but the usage was not measured by exactly those dimensions."""

    code = "usage_not_grouped"


class EventAmountsMissing(RatingError):
    """The rate has rules for each event, but the usage carries only a total."""

    code = "event_amounts_missing"


class UnknownCurrency(RatingError):
    code = "unknown_currency"


class NotSplittable(RatingError):
    """A total cannot be split over these weights."""

    code = "not_splittable"


class InvalidArgument(RatingError):
    """An amount, percentage or number of days is outside what the calculation is defined for."""

    code = "invalid_argument"
