"""What the frameworks say of wrong values, in our own words: what to send instead.

Their sentences reach an answer from many places (fields, validators, filters), so they are told apart by their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from customers.api.parsing import UNSTORABLE

_NUMBER = r"(-?[\d.e+]+)"
_COUNTED = r"(?:characters?|elements|digits)(?: \(it has \d+\))?"
_DAY, _INSTANT = "2026-10-31", "2026-10-31T10:00:00Z"
_SAID = [
    (r"This (?:field|value) is required\.", "It is missing. Send it."),
    (r"This (?:field|value) (?:may not|cannot) be null\.", "It cannot be null. Send a value."),
    (r"This (?:field|value) (?:may not|cannot) be blank\.", "It cannot be empty. Send some text."),
    (r"This (?:list|dictionary|selection) may not be empty\.", "Send one at least."),
    (r"Not a valid string\.", "Send text."),
    (r"Must be a valid boolean\.", "Send true or false."),
    (r"A valid integer is required\.|Enter a whole number\.", "Send a whole number."),
    (r"A valid number is required\.|Enter a number\.", "Send a number."),
    (r"String value too large\.|Integer value too large.*", "It is too long for a number. Send fewer digits."),
    (r"Date has wrong format\..*|Expected a date but got a datetime\.|Enter a valid date\.",
     f"Send a day such as {_DAY}."),
    (r"Datetime has wrong format\..*|Expected a datetime but got a date\.|Enter a valid date/time\.",
     f"Send an instant such as {_INSTANT}."),
    (r"Invalid datetime for the timezone.*|Datetime value out of range\.", f"Send an instant such as {_INSTANT}."),
    (r"Expected a list of items but got .*", "Send a list."),
    (r"(?:Invalid data\. )?Expected a dictionary.*", "Send an object with fields."),
    (r"No data provided", "Send one JSON object with named fields."),
    (r"Value must be valid JSON\.", "Send a JSON value."),
    (r"Enter a valid email address\.", "This is no e-mail address. Send one such as billing@acme.example."),
    (r"Enter a valid URL\.", "This is no address. Send one such as https://hooks.example.com/billing."),
    (r"Must be a valid UUID\.|“.*” is not a valid UUID\.", "Send a UUID."),
    (r"Null characters are not allowed\.|Surrogate characters are not allowed.*",
     UNSTORABLE),
    (r"Enter a list of values\.|Enter a complete value\.|Range query expects two values\.", "Send a list of values."),
    (rf"Ensure this (?:field|value) has no more than {_NUMBER} {_COUNTED}\.", r"It is too long. Send \1 at most."),
    (rf"Ensure this value has at most {_NUMBER} {_COUNTED}\.", r"It is too long. Send \1 characters at most."),
    (rf"Ensure this (?:field|value) has at least {_NUMBER} {_COUNTED}\.", r"It is too short. Send \1 at least."),
    (rf"Ensure this value is less than or equal to {_NUMBER}\.", r"Send \1 at most."),
    (rf"Ensure this value is greater than or equal to {_NUMBER}\.", r"Send \1 or more."),
    (rf"Ensure that there are no more than {_NUMBER} digits?( in total| before the decimal point)?\.",
     r"Send \1 digits\2 at most."),
    (rf"Ensure that there are no more than {_NUMBER} decimal places?\.", r"Send \1 digits after the point at most."),
]  # fmt: skip
_RULES = [(re.compile(pattern, re.DOTALL), ours) for pattern, ours in _SAID]
LISTED = 40


def own_words(sentence: str) -> str:
    """Give a sentence of a framework in our own words, any other as it is."""
    for pattern, ours in _RULES:
        if found := pattern.fullmatch(sentence):
            return found.expand(ours)
    return sentence


def choice_words(choices: Iterable[object]) -> str:
    """Say what may be chosen."""
    names = [str(each) for each in choices if each not in (None, "")]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"Choose one of: {', '.join(names[:LISTED])}{more}."


def name_choices(fields: Iterable[Any]) -> None:
    """Let fields of a serializer say what they take where they refuse: their choices, and what they look up."""
    for field in fields:
        if isinstance(field, serializers.ChoiceField):
            field.error_messages["invalid_choice"] = (
                choice_words(field.choices).replace("{", "{{").replace("}", "}}")
            )
        elif isinstance(field, serializers.SlugRelatedField):
            _name_looked_up(field)
        elif (child := getattr(field, "child", None)) is not None:
            name_choices([child])


def _name_looked_up(field: Any) -> None:
    theirs = serializers.SlugRelatedField.default_error_messages
    for name in ("does_not_exist", "invalid"):
        if field.error_messages[name] == theirs[name] and field.queryset is not None:
            noun = field.queryset.model._meta.verbose_name
            ours = (
                f"There is no {noun} “{{value}}”."
                if name == "does_not_exist"
                else f"Send the code of a {noun}."
            )
            field.error_messages[name] = ours
