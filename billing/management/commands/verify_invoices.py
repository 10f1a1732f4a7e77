"""manage.py verify_invoices: compute issued invoices again and name every difference."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from billing.checking import ask_for_check, run_verification
from billing.formatting import quantity_of
from billing.management.commands.close_invoices import month
from billing.models import CheckKind
from billing.processes import default_processes
from customers.models import Customer


class Command(BaseCommand):
    help = (
        "Compute issued invoices again from raw events and frozen terms, by a second way of counting. "
        "Exit status 1 when one differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--month", type=month, help="Only invoices of periods that begin in it, as 2026-10."
        )
        parser.add_argument(
            "--customer", action="append", default=[], metavar="CODE", help="May be repeated."
        )
        parser.add_argument(
            "--processes", type=int, default=default_processes(), help="How many share the work."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        codes = options["customer"]
        known = set(Customer.objects.filter(code__in=codes).values_list("code", flat=True))
        if unknown := sorted(set(codes) - known):
            raise CommandError(f"There is no customer {', '.join(unknown)}.")
        if options["processes"] < 1:
            raise CommandError("--processes: give 1 or more.")
        parts = [str(options["month"])] if options["month"] else []
        scope = ", ".join(parts + (["customers " + ", ".join(codes)] if codes else []))
        run = ask_for_check(CheckKind.VERIFICATION, by="command", now=timezone.now(), scope=scope[:400])
        console = Console(file=sys.stderr)
        columns = (TextColumn("Verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("verify", total=None)
            differences = run_verification(
                run,
                month=options["month"],
                customer_codes=codes,
                processes=options["processes"],
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        for difference in differences:
            self.stderr.write(difference)
        archived = f" {run.not_computable} cannot be computed, events archived." if run.not_computable else ""
        self.stdout.write(
            f"{quantity_of(Decimal(run.checked), 'invoice')} computed again, {run.differing} differ.{archived}"
        )
        if run.differing:
            sys.exit(1)
