"""What the decoder says of a field that is not what an event has, in our own words: what to send instead."""

from __future__ import annotations

import re

_LENGTH = re.compile(r"of length (?P<bound>>=|<=) (?P<letters>\d+)")
_OUTCOME = 'expected {"key": "evt-1"} or {"subject": "ticket-4711"}'
_EXPECTED = {
    "occurred_at": 'expected a time as text, such as "2026-10-03T10:00:00Z"',
    "value": 'expected a decimal number as text, such as "1" or "0.25"',
    "dimensions": 'expected texts by name, such as {"channel": "email"}',
    "reverses": _OUTCOME,
    "confirms": _OUTCOME,
}


def what_to_send(field: str, said: str, *, is_name: bool = False) -> str:
    """Give the end of a sentence that begins with the field. `is_name` when a name within the field is wrong."""
    length = _LENGTH.search(said)
    if is_name:
        return "expected names of 1 to 63 characters"
    if length is None:
        return _EXPECTED.get(field, "expected text")
    if length["bound"] == ">=":
        return "it is empty; expected a text of 1 or more characters"
    return f"it is too long; expected {length['letters']} characters at most"
