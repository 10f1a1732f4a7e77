"""How far an import has come: a small file beside its report, written after each batch is stored.

It is believed only where both agree with it: the file, by the digest of all that was imported, and the database, by the
ledger row of the last batch. So neither another file nor a restored backup can make an import skip what is not stored.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from metering.files.streams import LineStream
from metering.models import EventBatch


class Position(msgspec.Struct, frozen=True):
    """A place between two lines of a file, and what was found before it."""

    source: str
    offset: int
    line: int
    digest: str
    batch: str | None
    report_bytes: int
    totals: dict[str, int]


class Checkpoint:
    """The file that keeps the position."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Position | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Position)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def save(self, position: Position) -> None:
        draft = self.path.with_name(f"{self.path.name}.new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(position))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


def is_stored(position: Position) -> bool:
    """Tell whether this database holds what was stored up to a position: batches commit one after the other."""
    return (
        position.batch is None
        or EventBatch.objects.filter(pk=position.batch, source=position.source).exists()
    )


def skip_to(position: Position, lines: LineStream) -> bool:
    """Go to a position; False when the file has other content before it. Then the stream is spent."""
    lines.skip(position.offset, number=position.line)
    return (lines.offset, lines.digest) == (position.offset, position.digest)
