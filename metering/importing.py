"""Importing files of events of any size, by the same path as the event API: `record_events`.

An import that was interrupted at any moment is finished by running it again: what is stored is skipped, or found as a
duplicate, and never counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from metering.errors import UnreadableHeader, UnusableFile
from metering.event_results import ResultStatus
from metering.files.checkpoints import Checkpoint, Position, is_stored, skip_to
from metering.files.reports import RefusalReport
from metering.files.streams import MAX_LINE_BYTES, LineStream
from metering.incoming import IncomingEvent, Refusal, TimeBounds
from metering.ingesting import record_events
from metering.lines import LineReader, csv_reader, read_json_line

BATCH_LINES = 5_000
BATCH_BYTES = 8 * 1024 * 1024
CSV, NDJSON = "csv", "ndjson"
TAKEN = frozenset({ResultStatus.ACCEPTED, ResultStatus.DUPLICATE})


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What to import and how. `open_lines` opens the file at its beginning.

    `checkpoint` is None for what can be read only once. `format` is None to tell it by the first line.
    """

    open_lines: Callable[[], LineStream]
    source: str
    report: RefusalReport
    checkpoint: Checkpoint | None
    bounds: TimeBounds
    format: str | None = None


@dataclass(slots=True)
class Totals:
    """What became of the lines up to `line`; those up to `skipped` were stored by an earlier run."""

    counts: Counter[ResultStatus] = field(default_factory=Counter)
    line: int = 0
    skipped: int = 0

    @property
    def not_accepted(self) -> int:
        return sum(count for status, count in self.counts.items() if status not in TAKEN)


@dataclass(slots=True)
class _Chunk:
    """Lines that are recorded together: their events, and the number of the line of each."""

    events: list[IncomingEvent | Refusal] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    size: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.events) >= BATCH_LINES or self.size >= BATCH_BYTES


def import_events(
    plan: ImportPlan, *, clock: Callable[[], datetime], on_progress: Callable[[Totals], None]
) -> Totals:
    """Record every event of a file, batch by batch. Raises UnusableFile; what came before it is stored then.

    `on_progress` is called after each batch, when it is stored and the report tells of it.
    """
    lines = plan.open_lines()
    first = lines.read()
    if first is None:
        raise UnusableFile("The file is empty.")
    read, is_header = _reader(first, plan.format)
    resumed = _resume(plan)
    if resumed is None:
        plan.report.start()
        totals, waiting = Totals(), None if is_header else first
    else:
        lines, totals = resumed
        waiting = None
    for chunk in _chunks(lines, read, first=waiting):
        batch = record_events(chunk.events, source=plan.source, now=clock(), bounds=plan.bounds)
        totals.counts.update(batch.counts)
        totals.line = chunk.numbers[-1]
        for place, result in sorted(batch.exceptions.items()):
            if result.status not in TAKEN:
                plan.report.add(chunk.numbers[place], result)
        report_bytes = plan.report.sync()
        if plan.checkpoint is not None:
            plan.checkpoint.save(
                Position(
                    source=plan.source,
                    offset=lines.offset,
                    line=lines.number,
                    digest=lines.digest,
                    batch=batch.batch.hex,
                    report_bytes=report_bytes,
                    totals={status.value: count for status, count in totals.counts.items()},
                )
            )
        on_progress(totals)
    totals.line = lines.number
    plan.report.sync()
    if plan.checkpoint is not None:
        plan.checkpoint.remove()
    return totals


def _reader(first: bytes, format_: str | None) -> tuple[LineReader, bool]:
    """Give what reads the lines, and whether the first one is a header."""
    if format_ == NDJSON or (format_ is None and first.lstrip().startswith(b"{")):
        return read_json_line, False
    try:
        return csv_reader(first), True
    except UnreadableHeader as refused:
        raise UnusableFile(f"Line 1: {refused.message}") from refused


def _resume(plan: ImportPlan) -> tuple[LineStream, Totals] | None:
    """Go to where an earlier run of the same import came; None when all is to be read."""
    position = plan.checkpoint.load() if plan.checkpoint is not None else None
    if position is None or position.source != plan.source or not is_stored(position):
        return None
    lines = plan.open_lines()
    if not skip_to(position, lines) or not plan.report.resume(position.report_bytes):
        return None
    counts = Counter({ResultStatus(name): count for name, count in position.totals.items()})
    return lines, Totals(counts, line=position.line, skipped=position.line)


def _chunks(lines: LineStream, read: LineReader, *, first: bytes | None) -> Iterator[_Chunk]:
    """Give the events of the lines; those before a part that cannot be read come before the error."""
    chunk = _Chunk()
    try:
        line = first if first is not None else lines.read()
        while line is not None:
            event = _event(line, read)
            if event is not None:
                chunk.events.append(event)
                chunk.numbers.append(lines.number)
                chunk.size += len(line)
            if chunk.is_full:
                yield chunk
                chunk = _Chunk()
            line = lines.read()
    except UnusableFile:
        if chunk.events:
            yield chunk
        raise
    if chunk.events:
        yield chunk


def _event(line: bytes, read: LineReader) -> IncomingEvent | Refusal | None:
    if len(line) > MAX_LINE_BYTES:
        return Refusal("line_too_long", f"The line is longer than {MAX_LINE_BYTES // 1024:,} KiB.")
    return read(line)
