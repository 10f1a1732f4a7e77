"""Events as lines of text: newline-delimited JSON, and CSV with a header. A bad line costs no other line.

One line is one event in both, so a line break inside quotes is not a part of a CSV field here: a forgotten quote
would swallow the events after it.
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from metering.errors import UnreadableHeader
from metering.incoming import IncomingEvent, Refusal, decode_event, refusal_of

REQUIRED = ("key", "meter", "customer", "occurred_at")
OPTIONAL = ("value", "subject", "workload")
DIMENSION = "dimensions."

LineReader = Callable[[bytes], IncomingEvent | Refusal | None]


def read_json_line(line: bytes) -> IncomingEvent | Refusal | None:
    """Give the event of a line of newline-delimited JSON; None for an empty line."""
    line = line.strip(b" \t\r\n")
    return decode_event(line) if line else None


def csv_reader(header: bytes) -> LineReader:
    """Give what reads the lines below a header. Raises UnreadableHeader, which names the column that is wrong."""
    return _CsvLines(_columns(header)).read


class _CsvLines:
    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self.key_place = columns.index("key")

    def read(self, line: bytes) -> IncomingEvent | Refusal | None:
        """Give the event of a line; None for an empty one. An empty cell says that nothing is sent."""
        try:
            cells = _cells(line)
        except UnicodeDecodeError:
            return Refusal("invalid_text", "The line is not UTF-8 text.")
        except csv.Error as broken:
            return Refusal("invalid_csv", f"The line is not readable CSV: {broken}.")
        if not cells:
            return None
        if len(cells) != len(self.columns):
            message = f"The line has {len(cells)} cells, the header {len(self.columns)}."
            return Refusal("invalid_csv", message, None, self._key(cells))
        fields: dict[str, object] = {}
        dimensions: dict[str, str] = {}
        for column, cell in zip(self.columns, cells, strict=True):
            if cell == "":
                continue
            if column.startswith(DIMENSION):
                dimensions[column.removeprefix(DIMENSION)] = cell
            else:
                fields[column] = cell
        if dimensions:
            fields["dimensions"] = dimensions
        try:
            return msgspec.convert(fields, IncomingEvent)
        except msgspec.ValidationError as problem:
            return refusal_of(problem, key=self._key(cells))

    def _key(self, cells: Sequence[str]) -> str | None:
        return cells[self.key_place] or None if self.key_place < len(cells) else None


def _columns(header: bytes) -> Sequence[str]:
    try:
        columns = [name.strip() for name in _cells(header.removeprefix(codecs.BOM_UTF8))]
    except UnicodeDecodeError as broken:
        raise UnreadableHeader("The header is not UTF-8 text. Save the file as UTF-8.") from broken
    except csv.Error as broken:
        raise UnreadableHeader(f"The header is not readable CSV: {broken}.") from broken
    known = f"{', '.join(REQUIRED + OPTIONAL)} and {DIMENSION}NAME"
    for name in columns:
        is_dimension = name.startswith(DIMENSION) and 0 < len(name) - len(DIMENSION) <= 63
        if not is_dimension and name not in REQUIRED + OPTIONAL:
            raise UnreadableHeader(
                f"{name[:100]!a} is not a column of events. The first line names the columns, separated by "
                f"commas; known are {known}.",
                field=name if name.isprintable() else None,
            )
    if repeated := [name for name, times in Counter(columns).items() if times > 1]:
        raise UnreadableHeader(f"The column {repeated[0]} stands twice.", field=repeated[0])
    if missing := [name for name in REQUIRED if name not in columns]:
        raise UnreadableHeader(f"The column {missing[0]} is missing.", field=missing[0])
    return columns


def _cells(line: bytes) -> list[str]:
    text = line.decode().rstrip("\r\n")
    return next(csv.reader((text,), strict=True), [])
