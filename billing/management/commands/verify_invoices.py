"""manage.py verify_invoices: compute issued invoices again and name every difference."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.management.commands.close_invoices import month
from billing.verifying import invoices_to_verify, verify_invoice
from customers.models import Customer


class Command(BaseCommand):
    help = "Compute issued invoices again from raw events and frozen terms. Exit status 1 when one differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--month", type=month, help="Only invoices of periods that begin in it, as 2026-10."
        )
        parser.add_argument(
            "--customer", action="append", default=[], metavar="CODE", help="May be repeated."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        codes = options["customer"]
        known = set(Customer.objects.filter(code__in=codes).values_list("code", flat=True))
        if unknown := sorted(set(codes) - known):
            raise CommandError(f"There is no customer {', '.join(unknown)}.")
        checked = different = 0
        chosen = str(options["month"]) if options["month"] else None
        for invoice in invoices_to_verify(month_prefix=chosen, customer_codes=codes):
            checked += 1
            differences = list(verify_invoice(invoice))
            different += bool(differences)
            for difference in differences:
                self.stderr.write(str(difference))
        self.stdout.write(f"{checked} invoices computed again, {different} differ.")
        if different:
            sys.exit(1)
