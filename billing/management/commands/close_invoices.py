"""manage.py close_invoices: make the invoices of a month."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from billing.closing import CloseReport, Month, close_period, uninvoiced_before
from billing.errors import BillingError
from customers.models import Customer


def month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a month; write it as 2026-10.") from None


class Command(BaseCommand):
    help = "Invoice every billing period that ends in a month. Safe to run again, and twice at once."

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
            "--issue-now",
            action="store_true",
            help="Issue at once, without the grace days.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        codes = options["customer"]
        known = set(Customer.objects.filter(code__in=codes).values_list("code", flat=True))
        if unknown := sorted(set(codes) - known):
            raise CommandError(f"There is no customer {', '.join(unknown)}.")
        try:
            report = self._close(options)
        except BillingError as refused:
            raise CommandError(refused.message) from refused
        for due, failure in report.failures:
            self.stderr.write(f"NOT BILLED {due.subscription.customer.code}: {failure.message}")
        if options["dry_run"]:
            self._list(report)
        self._warn_of_earlier(report.month, codes)
        self.stdout.write(totals_line(report))
        if report.failures:
            sys.exit(1)

    def _close(self, options: dict[str, Any]) -> CloseReport:
        console = Console(file=sys.stderr)
        columns = (
            TextColumn("Closing {task.fields[month]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("close", total=None, month=str(options["month"]))
            return close_period(
                options["month"],
                now=timezone.now(),
                grace_days=0 if options["issue_now"] else settings.GRACE_DAYS,
                customer_codes=options["customer"],
                dry_run=options["dry_run"],
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )

    def _list(self, report: CloseReport) -> None:
        for draft in report.invoices:
            period = draft.due.period
            self.stdout.write(
                f"{draft.due.subscription.customer.code}  {draft.due.subscription.plan.name}  "
                f"{period.start_on} to {period.end_on}  {draft.total} {draft.currency}"
            )

    def _warn_of_earlier(self, closed: Month, codes: list[str]) -> None:
        missing = uninvoiced_before(closed, customer_codes=codes)
        if missing:
            first = missing[0].period
            self.stderr.write(
                f"{len(missing)} earlier periods have no invoice; the oldest ends on {first.end_on}. "
                "Close their months too."
            )


def totals_line(report: CloseReport) -> str:
    """Give the one line that sums up a close."""
    amounts = (
        ", ".join(f"{amount} {currency}" for currency, amount in sorted(report.totals.items())) or "0.00"
    )
    verb = "would be issued" if report.dry_run else "issued"
    parts = [
        f"{report.issued} invoices {verb}",
        f"{report.drafted} drafts in their grace days",
        f"{report.unchanged} issued before",
        f"{report.not_over} not over yet",
        f"{len(report.failures)} failed",
    ]
    return f"{report.month}: {', '.join(parts)}; total {amounts}."
