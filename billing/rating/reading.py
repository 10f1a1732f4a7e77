"""A strict reader of one JSON object: every field is named, typed and used, or it is a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from billing.rating.decimals import exact_decimal
from billing.rating.errors import Problem

MAX_TEXT = 200


class Fields:
    """The fields of one object at `path` of the terms; problems are added to a list shared by all readers.

    Each reading method gives None where the field is missing, null, or wrong (then a problem was added).
    """

    def __init__(
        self, data: Mapping[str, object], problems: list[Problem], *, path: str = "", row: str = ""
    ) -> None:
        self.data = data
        self.problems = problems
        self.path = path
        self._row = f"{row}: " if row else ""
        self._known: set[str] = set()

    def at(self, name: str | int) -> str:
        return f"{self.path}.{name}" if self.path else str(name)

    def add(self, code: str, name: str | int, sentence: str) -> None:
        self.problems.append(Problem(code, self.at(name), f"{self._row}{sentence}"))

    def has(self, name: str) -> bool:
        """Tell whether a field is there and not null."""
        return self.data.get(name) is not None

    def raw(self, name: str) -> object:
        self._known.add(name)
        return self.data.get(name)

    def required(self, name: str, sentence: str) -> None:
        if not self.has(name):
            self.add("required", name, sentence)

    def decimal(self, name: str, *, above_zero: bool = False) -> Decimal | None:
        """Read a decimal that is 0 or more, or above 0."""
        value = self.raw(name)
        if value is None:
            return None
        try:
            number = exact_decimal(value)
        except ValueError as error:
            self.add("not_a_number", name, f"{name}: {error}")
            return None
        if number < 0:
            self.add(
                "negative", name, f"{name} cannot be negative. Give money back with a credit or a discount."
            )
            return None
        if above_zero and not number:
            self.add("not_positive", name, f"{name} must be above 0.")
            return None
        return abs(number)  # "-0" is 0

    def amount(self, name: str, *, above_zero: bool = False) -> Decimal | None:
        """Read a required decimal."""
        self.required(name, f"{name} is missing.")
        return self.decimal(name, above_zero=above_zero)

    def whole(self, name: str) -> int | None:
        number = self.decimal(name)
        if number is None:
            return None
        if number != number.to_integral_value():
            self.add("not_whole", name, f"{name} must be a whole number.")
            return None
        return int(number)

    def text(self, name: str) -> str | None:
        """Read a required text of 1 to 200 characters."""
        self.required(name, f"{name} is missing.")
        value = self.raw(name)
        if value is None:
            return None
        if not is_text(value) or not value:
            self.add("not_text", name, f"{name} must be text of 1 to {MAX_TEXT} characters.")
            return None
        return str(value)

    def choice(
        self, name: str, choices: Sequence[str], *, default: str | None = None, optional: bool = False
    ) -> str | None:
        value = self.raw(name)
        if value is None:
            if default is None and not optional:
                self.add("required", name, f"{name} is missing. Use one of: {', '.join(choices)}.")
            return default
        if not isinstance(value, str) or value not in choices:
            self.add("unknown_choice", name, f"{name} must be one of: {', '.join(choices)}.")
            return None
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.add("not_a_flag", name, f"{name} must be true or false.")
            return default
        return value

    def objects(self, name: str, *, limit: int, row: str) -> list[Fields] | None:
        """Read a list of 1 to `limit` objects; `row` is the word for one of them in sentences."""
        self.required(name, f"{name} is missing.")
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= limit:
            self.add("not_a_list", name, f"{name} must be a list of 1 to {limit:,} rows.")
            return None
        rows = []
        for index, item in enumerate(value):
            path = f"{self.at(name)}.{index}"
            named = f"{self._row}{row} {index + 1}"
            if not is_object(item):
                self.problems.append(
                    Problem("not_an_object", path, f"{named} must be an object with fields.")
                )
                continue
            rows.append(Fields(item, self.problems, path=path, row=named))
        return rows if len(rows) == len(value) else None

    def finish(self, what: str) -> None:
        """Report every field that nobody read."""
        for name in self.data:
            if name not in self._known:
                self.add(
                    "unknown_field", name, f"{name} is not a field of {what}. Remove it or correct its name."
                )


def is_text(value: object) -> bool:
    """Tell whether a value is text that every layer can store: no control characters, no lone surrogates."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_TEXT
        and not any(character < " " or "\ud800" <= character <= "\udfff" for character in value)
    )


def is_object(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
