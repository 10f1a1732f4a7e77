"""manage.py fold_usage: bring usage by day up to date, or make it again from the raw events."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.progress import Progress

from metering.errors import LedgerMismatch
from metering.folding import backlog, fold_usage, rebuild_usage
from metering.settling_ahead import resettle_outcomes, settle_outcomes


class Command(BaseCommand):
    help = (
        "Add new events to usage by day, which charts of all customers read, and settle outcomes ahead."
        " The worker does this each minute."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="Make it again from all raw events.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            position = self._rebuild() if options["rebuild"] else _fold()
        except LedgerMismatch as mismatch:
            raise CommandError(mismatch.message) from mismatch
        if position is None:
            self.stdout.write("Another folder is at work.")
        else:
            self.stdout.write(f"Usage by day is folded up to position {position}, {backlog()} batches to go.")

    def _rebuild(self) -> int:
        with Progress(disable=not self.stdout.isatty()) as progress:
            task = progress.add_task("Reading all events", total=None)

            def show(done: int, last: int) -> None:
                progress.update(task, completed=done, total=last)

            position = rebuild_usage(on_progress=show)
            progress.update(task, description="Settling all outcomes", completed=0)
            resettle_outcomes(on_progress=show)
            return position


def _fold() -> int | None:
    position = fold_usage()
    return None if settle_outcomes() is None else position
