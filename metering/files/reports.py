"""The report of an import: a CSV file with a row for each line that was not accepted, and why."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from customers.spreadsheets import csv_cell
from metering.errors import UnusableFile
from metering.event_results import EventResult

COLUMNS = ("line", "key", "status", "code", "field", "message")


class RefusalReport:
    """A report being written. It is locked: two imports cannot write one report."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError as refused:
            raise UnusableFile(
                f"The report cannot be written to {path}: {refused.strerror}. Name another place with --report."
            ) from refused
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UnusableFile(
                f"Another import is writing {path}. Wait for it, or name another place with --report."
            ) from None

    def start(self) -> None:
        """Begin anew, with the names of the columns only."""
        self._file.truncate(0)
        self._file.seek(0)
        self._write([COLUMNS])

    def resume(self, size: int) -> bool:
        """Go on after `size` bytes; False when there are not as many."""
        if self._file.seek(0, io.SEEK_END) < size:
            return False
        self._file.truncate(size)
        self._file.seek(size)
        return True

    def add(self, line: int, result: EventResult) -> None:
        self._write([[line, result.key, result.status.value, result.code, result.field, result.message]])

    def sync(self) -> int:
        """Make sure that all rows are on the disk; give the size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([csv_cell(cell) for cell in row] for row in rows)
        self._file.write(text.getvalue().encode(errors="backslashreplace"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
