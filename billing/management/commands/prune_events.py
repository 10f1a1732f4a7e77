"""manage.py prune_events --before 2024-01-01: archive old events to a file, then delete them."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.progress import Progress

from billing.retaining import reasons_to_keep
from metering.errors import LedgerMismatch, PruneFailed
from metering.folding import fold_usage
from metering.pruning import archive_events, count_prunable, delete_archived


class Command(BaseCommand):
    help = (
        "Archive events that happened before a day to a gzipped file, then delete them. Refuses while an invoice needs "
        "one. Without --yes it only says what it would do."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--before", required=True, help="The first day to keep, in UTC: 2024-01-01.")
        parser.add_argument("--yes", action="store_true", help="Do it.")
        parser.add_argument("--to", help="Folder for the archive. Default: archive/ in DATA_DIR.")

    def handle(self, *args: Any, **options: Any) -> None:
        before = _midnight(options["before"])
        now = timezone.now()
        reasons = reasons_to_keep(before, now=now)
        if reasons:
            raise CommandError("Nothing was pruned.\n" + "\n".join(f"- {reason}" for reason in reasons))
        count = count_prunable(before)
        if not count:
            self.stdout.write(f"There are no events before {before:%Y-%m-%d} that can go.")
            return
        if not options["yes"]:
            self.stdout.write(
                f"{count:,} events before {before:%Y-%m-%d} would be archived and deleted. Nothing was written; "
                "add --yes to do it."
            )
            return
        folder = Path(options["to"]) if options["to"] else Path(settings.DATA_DIR) / "archive"
        try:
            self._prune(before, folder=folder, count=count, now=now)
        except (LedgerMismatch, PruneFailed) as failed:
            raise CommandError(failed.message) from failed

    def _prune(self, before: datetime, *, folder: Path, count: int, now: datetime) -> None:
        if fold_usage() is None:
            raise PruneFailed("Usage by day is being folded. Run it again in a minute.")
        with Progress(disable=not self.stdout.isatty()) as progress:
            task = progress.add_task("Archiving", total=count)
            archive = archive_events(
                before, folder=folder, now=now, on_progress=lambda done: progress.update(task, completed=done)
            )
            task = progress.add_task("Deleting", total=archive.events)
            deleted = delete_archived(
                archive,
                before=before,
                now=now,
                on_progress=lambda done: progress.update(task, completed=done),
            )
        self.stdout.write(
            f"{deleted:,} events archived to {archive.path} (SHA-256 {archive.sha256}) and deleted."
        )


def _midnight(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError as problem:
        raise CommandError(f"--before: “{text}” is not a day. Write it as 2024-01-01.") from problem
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
