"""manage.py import_events: take a file of events in."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from metering.bounds import time_bounds
from metering.errors import UnusableFile
from metering.event_results import ResultStatus
from metering.files.checkpoints import Checkpoint
from metering.files.reports import RefusalReport
from metering.files.streams import LineStream
from metering.importing import CSV, NDJSON, ImportPlan, Totals, import_events
from metering.models import EventBatch

STANDARD_INPUT = "-"
SUFFIXES = {".csv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON}
LINES_BETWEEN_REPORTS = 100_000
NOT_ACCEPTED, UNUSABLE, INTERRUPTED = 1, 2, 3
MAX_SOURCE = EventBatch._meta.get_field("source").max_length or 0


class Command(BaseCommand):
    help = (
        "Import events from a CSV or NDJSON file of any size, also packed with gzip. Safe to run again: an interrupted "
        "import goes on where it stopped. Exit status: 0 all accepted or stored before, 1 some were not accepted "
        "(see the report), 2 the file cannot be used, 3 interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="The file, or - for standard input.")
        parser.add_argument(
            "--source", default="import", help="Where the keys are unique; the default is import."
        )
        parser.add_argument(
            "--format", choices=[CSV, NDJSON], help="Told by the file's name or first line when left out."
        )
        parser.add_argument(
            "--report",
            type=Path,
            help="Where to write what was not accepted; beside FILE when left out.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, source = options["file"], options["source"]
        if not 1 <= len(source) <= MAX_SOURCE or not source.isprintable():
            raise CommandError(f"--source: give 1 to {MAX_SOURCE} printable characters.", returncode=UNUSABLE)
        report = options["report"] or _report_path(name)
        try:
            totals = self._import(name, source, report, options["format"])
        except UnusableFile as refused:
            raise CommandError(f"{name}: {refused.message}", returncode=UNUSABLE) from refused
        except DatabaseError as failed:
            raise CommandError(
                f"The database failed: {failed}. Run the same command again to go on.",
                returncode=INTERRUPTED,
            ) from failed
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. Run the same command again to go on.", returncode=INTERRUPTED
            ) from None
        self.stdout.write(totals_line(name, totals, report))
        if totals.not_accepted:
            sys.exit(NOT_ACCEPTED)

    def _import(self, name: str, source: str, report: Path, format_: str | None) -> Totals:
        is_file = name != STANDARD_INPUT
        with ExitStack() as opened:
            position = _ReadPosition(opened.enter_context(_open(name)))
            plan = ImportPlan(
                open_lines=lambda: LineStream(position.begin(opened, name) if is_file else position.raw),
                source=source,
                report=opened.enter_context(RefusalReport(report)),
                checkpoint=Checkpoint(report.with_name(f"{report.name}.progress")) if is_file else None,
                bounds=time_bounds(),
                format=format_ or _format_of(name),
            )
            on_progress = opened.enter_context(self._progress(name, position))
            return import_events(plan, clock=timezone.now, on_progress=on_progress)

    @contextmanager
    def _progress(self, name: str, position: _ReadPosition) -> Iterator[Callable[[Totals], None]]:
        """A bar on a terminal; plain lines now and then anywhere else."""
        console = Console(file=sys.stderr)
        if not console.is_terminal:
            yield self._tell_now_and_then
            return
        columns = (
            TextColumn("Importing {task.fields[name]}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[line]:,} lines, {task.fields[refused]:,} not accepted"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("import", total=position.size, name=name, line=0, refused=0)
            yield lambda totals: progress.update(
                task, completed=position.bytes_read, line=totals.line, refused=totals.not_accepted
            )

    def _tell_now_and_then(self, totals: Totals) -> None:
        if totals.line // LINES_BETWEEN_REPORTS > self._told:
            self._told = totals.line // LINES_BETWEEN_REPORTS
            self.stderr.write(f"{totals.line:,} lines stored, {totals.not_accepted:,} not accepted")

    _told = 0


class _ReadPosition:
    """How many bytes of the file, as it lies on the disk, have been read."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self.raw = raw
        self.size = os.fstat(raw.fileno()).st_size or None

    def begin(self, opened: ExitStack, name: str) -> io.BufferedReader:
        self.raw = opened.enter_context(_open(name))
        return self.raw

    @property
    def bytes_read(self) -> int | None:
        return self.raw.tell() if self.size else None


def _open(name: str) -> io.BufferedReader:
    if name == STANDARD_INPUT:
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    try:
        return Path(name).open("rb")
    except OSError as refused:
        raise UnusableFile(f"{refused.strerror}.") from refused


def _report_path(name: str) -> Path:
    if name == STANDARD_INPUT:
        return Path("import.not-accepted.csv")
    path = Path(name)
    return path.with_name(f"{path.name}.not-accepted.csv")


def _format_of(name: str) -> str | None:
    return SUFFIXES.get(Path(name.lower().removesuffix(".gz")).suffix)


def totals_line(name: str, totals: Totals, report: Path) -> str:
    """Give the one line that sums up an import."""
    counts = totals.counts
    parts = [
        f"{counts[ResultStatus.ACCEPTED]:,} accepted",
        f"{counts[ResultStatus.DUPLICATE]:,} duplicates",
        f"{counts[ResultStatus.CONFLICT]:,} conflicts",
        f"{counts[ResultStatus.UNMATCHED]:,} unmatched",
        f"{counts[ResultStatus.REJECTED]:,} rejected",
    ]
    resumed = f", of which {totals.skipped:,} by an earlier run" if totals.skipped else ""
    told = f" What was not accepted and why: {report}" if totals.not_accepted else ""
    return f"{name}: {totals.line:,} lines{resumed}: {', '.join(parts)}.{told}"
