"""manage.py close_invoices: make the invoices of a month."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from billing.close_reports import ChunkResult, CloseReport
from billing.close_runs import ask_for_close, run_close
from billing.closing import OnChunk, close_period, uninvoiced_before
from billing.drafts import InvoiceDraft
from billing.errors import BillingError
from billing.findings import sentence
from billing.formatting import quantity_of
from billing.holding import Review
from billing.models import CloseEntrance
from billing.months import Month
from billing.pace import Pace
from customers.models import Customer

# Where there is no terminal, a line of progress as often as this.
LINE_SECONDS = 10
HELD = 3
MOST_CLOSERS = 64


def month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a month; write it as 2026-10.") from None


def closers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_CLOSERS):
        raise argparse.ArgumentTypeError(f"“{text}” is not a number of processes from 1 to {MOST_CLOSERS}.")
    return int(text)


class Command(BaseCommand):
    help = (
        "Invoice every billing period that ends in a month. Safe to run again, and many times at once: closers share "
        "the work. Exit status 0: all went through; 1: a customer could not be billed and is parked, or nothing was "
        "done; 3: everybody else is billed, and some invoices are held until a person approves them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--month",
            type=month,
            required=True,
            help="The month to close, such as 2026-10.",
        )
        parser.add_argument(
            "--customer",
            action="append",
            default=[],
            metavar="CODE",
            help="Only this customer; may be repeated.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Show the figures and write nothing.")
        parser.add_argument(
            "--closers",
            type=closers,
            metavar="N",
            help="Share the work among N processes. Left out: one for each processor, from 2,000 subscriptions on.",
        )
        parser.add_argument(
            "--issue-now",
            action="store_true",
            help="Issue at once, without the grace days.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        codes = options["customer"]
        known = set(Customer.objects.filter(code__in=codes).values_list("code", flat=True))
        if unknown := sorted(set(codes) - known):
            raise CommandError(f"There is no customer {', '.join(unknown)}.")
        self._held: list[Review] = []
        try:
            report = self._close(options)
        except BillingError as refused:
            raise CommandError(refused.message) from refused
        for failure in report.failures:
            self.stderr.write(f"NOT BILLED {failure.customer.code}: {failure.message}")
        for review in self._held:
            self.stderr.write(f"HELD {review.customer.code}: {_words(review, only_serious=True)}")
        self._warn_of_earlier(report.month, codes)
        self.stdout.write(totals_line(report))
        if report.failures:
            sys.exit(1)
        if report.held and not report.dry_run:
            sys.exit(HELD)

    def _close(self, options: dict[str, Any]) -> CloseReport:
        with self._progress(options["month"]) as show:

            def on_chunk(chunk: ChunkResult, report: CloseReport) -> None:
                self._held += [review for review in chunk.reviews if review.held]
                if report.dry_run:
                    self._list(chunk)
                show(chunk, report)

            now, closed, codes = timezone.now(), options["month"], options["customer"]
            grace_days = 0 if options["issue_now"] else settings.GRACE_DAYS
            if options["dry_run"]:
                return close_period(
                    closed,
                    now=now,
                    grace_days=grace_days,
                    customer_codes=codes,
                    dry_run=True,
                    on_chunk=on_chunk,
                )
            entrance = CloseEntrance.COMMAND
            run = ask_for_close(
                closed, grace_days=grace_days, entrance=entrance, now=now, customer_codes=codes
            )
            report = run_close(run, closers=options["closers"], on_chunk=on_chunk)
            if report is None:
                raise CommandError(run.refusal)
            return report

    @contextmanager
    def _progress(self, closed: Month) -> Iterator[OnChunk]:
        """Show how far it is, how fast, and how long it will take: a bar on a terminal, else a line now and then."""
        started = said = time.monotonic()
        console = Console(file=sys.stderr)
        columns = (TextColumn(f"Closing {closed}"), BarColumn(), TextColumn("{task.fields[pace]}"))
        # Shown anew with each chunk, by no thread of its own: a process without threads can be forked.
        with Progress(
            *columns,
            console=console,
            disable=not console.is_terminal,
            transient=True,
            auto_refresh=False,
        ) as progress:
            task = progress.add_task("close", total=None, pace="")

            def show(chunk: ChunkResult, report: CloseReport) -> None:
                nonlocal said
                now = time.monotonic()
                pace = Pace(report.done, report.total, now - started)
                progress.update(task, completed=report.done, total=report.total, pace=str(pace), refresh=True)
                if not console.is_terminal and now - said >= LINE_SECONDS:
                    said = now
                    self.stderr.write(f"Closing {closed}: {pace}")

            yield show

    def _list(self, chunk: ChunkResult) -> None:
        for draft in chunk.drafts:
            period = draft.period
            plan = draft.due.subscription.plan.name if isinstance(draft, InvoiceDraft) else draft.title
            self.stdout.write(
                f"{draft.customer.code}  {plan}  "
                f"{period.start_on} to {period.end_on}  {draft.total} {draft.currency}"
            )
        for review in chunk.reviews:
            self.stdout.write(f"UNUSUAL {review.customer.code}: {_words(review)}")

    def _warn_of_earlier(self, closed: Month, codes: list[str]) -> None:
        missing = uninvoiced_before(closed, customer_codes=codes)
        if missing:
            first = missing[0].period
            self.stderr.write(
                f"{len(missing)} earlier periods have no invoice; the oldest ends on {first.end_on}. "
                "Close their months too."
            )


def _words(review: Review, *, only_serious: bool = False) -> str:
    return "; ".join(
        sentence(found, review.currency) for found in review.worst_first if found.holds or not only_serious
    )


def totals_line(report: CloseReport) -> str:
    """Give the one line that sums up a close."""
    amounts = (
        ", ".join(f"{amount} {currency}" for currency, amount in sorted(report.totals.items())) or "0.00"
    )
    verb = "would be issued" if report.dry_run else "issued"
    parts = [
        f"{quantity_of(Decimal(report.issued), 'invoice')} {verb}",
        f"{quantity_of(Decimal(report.drafted), 'draft')} in their grace days",
        f"{report.unchanged} issued before",
        f"{report.not_over} not over yet",
        f"{len(report.failures)} failed",
    ]
    if report.held:
        parts.append(f"{report.held} {'would be held' if report.dry_run else 'held'} for approval")
    return f"{report.month}: {', '.join(parts)}; total {amounts}."
