"""JSON read exactly: decimals from their text, no field twice, nothing that cannot be stored."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser

from customers.api.bodies import read_body

MAX_DEPTH = 50
MAX_DIGITS = 1_000
GENERAL = "_"  # the key in `fields` for what concerns no single field
UNSTORABLE = "It contains a character that cannot be stored (NUL or half a surrogate pair). Take it out."


class ExactJSONParser(BaseParser):
    """Parses a JSON body; numbers with a point become `Decimal`s."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        assert parser_context is not None
        return read_json(read_body(parser_context["request"]))


def read_json(body: bytes) -> Any:
    """Give the value of a JSON text. Raises ParseError with a sentence that says what is wrong with it."""
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_refuse_repeated,
        )
    except UnicodeDecodeError as broken:
        raise ParseError("The body is not UTF-8 text. Send JSON in UTF-8.") from broken
    except (ValueError, ArithmeticError) as broken:
        raise ParseError(f"The body is not readable JSON: {broken}.") from broken
    except RecursionError as broken:
        raise ParseError("The body is nested too deeply.") from broken
    _refuse_unstorable(value)
    return value


def is_storable(text: str) -> bool:
    """Tell whether the database can hold a text: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and (
        text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS:,} digits")
    return int(digits)


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValidationError(
            {repeated if is_storable(repeated) else GENERAL: ["It is sent twice. Send it once."]}
        )
    return found


def _refuse_unstorable(value: Any) -> None:
    """Look at every text of the body, level by level, so that no depth of nesting can exhaust the stack."""
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(MAX_DEPTH):
        for path, part in level:
            if isinstance(part, str) and not is_storable(part):
                raise ValidationError({path or GENERAL: [UNSTORABLE]})
            if isinstance(part, dict) and not all(map(is_storable, part)):
                raise ValidationError({path or GENERAL: [f"The name of a field: {UNSTORABLE}"]})
        level = [item for path, part in level if isinstance(part, dict | list) for item in _items(path, part)]
        if not level:
            return
    raise ParseError(f"The body is nested more than {MAX_DEPTH} deep.")


def _items(path: str, part: dict[str, Any] | list[Any]) -> list[tuple[str, Any]]:
    pairs = part.items() if isinstance(part, dict) else enumerate(part)
    return [(f"{path}.{name}" if path else str(name), item) for name, item in pairs]
