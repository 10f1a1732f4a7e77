"""A field that an event has twice. The decoder keeps the last of two alike, so it would choose what is billed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from metering.incoming import IncomingEvent


_SPACE = b" \t\n\r"  # as JSON has it
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])  # leaves values as they are: any number is one
_list = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def are_names_as_many(raw: bytes, events: Iterable[IncomingEvent]) -> bool:
    """Tell cheaply that a JSON text has as many names as the events decoded from it; False when it has to be read.

    A name ends in `":`, with or without space before the colon. Texts may hold that too, so never fewer are found than
    there are names. Events do not tell a null from what was not sent, so where more are found than fields, names are
    counted again with the nulls.
    """
    expected = sum(
        [
            3
            + (event.key is not None)
            + (event.value is not None)
            + (event.subject is not None)
            + (event.workload is not None)
            + (0 if event.dimensions is None else 1 + len(event.dimensions))
            + _names_of(event.reverses)
            + _names_of(event.confirms)
            for event in events
        ]
    )
    found = raw.translate(None, _SPACE).count(b'":')
    return found == expected or (found > expected and found == _different_names(raw))


def repeated_field(raw: bytes) -> str | None:
    """Give the path of a name that an object of a JSON text has twice, such as `dimensions.channel`.

    Raises RecursionError for a text nested too deeply.
    """
    return _repeated(json.loads(raw, object_pairs_hook=_Pairs, parse_int=str, parse_float=str))


def _different_names(raw: bytes) -> int:
    """Count the names of events and of the objects within them, each once."""
    events = _list.decode(raw) if raw.lstrip().startswith(b"[") else [_object.decode(raw)]
    inner = [bytes(value) for each in events for value in each.values()]
    return sum(map(len, events)) + sum(len(_object.decode(text)) for text in inner if text.startswith(b"{"))


class _Pairs(list[tuple[str, Any]]):
    """The names and values of an object in the order sent."""


def _repeated(value: Any) -> str | None:
    if not isinstance(value, _Pairs):
        return None
    seen = set()
    for name, inner in value:
        if name in seen:
            return name
        seen.add(name)
        if (path := _repeated(inner)) is not None:
            return f"{name}.{path}"
    return None


def _names_of(target: Any) -> int:
    """Count the names of a signal: its own and those within it."""
    return 0 if target is None else 1 + (target.key is not None) + (target.subject is not None)
