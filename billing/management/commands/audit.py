"""manage.py audit: ask whether everything stored still adds up."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from rich.console import Console

from billing.auditing import EQUATIONS
from billing.checking import ask_for_check, run_audit
from billing.models import CheckKind


class Command(BaseCommand):
    help = "Check the equations that must hold over all events and invoices. Exit status 1 when one does not."

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=sys.stderr)
        run = ask_for_check(CheckKind.AUDIT, by="command", now=timezone.now())
        with console.status("Auditing", spinner="dots") as status:
            run_audit(run, on_progress=lambda equation: status.update(equation.words))
        for finding in run.findings:
            count = finding["differences"]
            self.stdout.write(f"{'ok  ' if not count else 'WRONG'} {finding['words']}")
            for name in finding["named"]:
                self.stderr.write(f"  {finding['code']}: {name}")
            if count > len(finding["named"]):
                self.stderr.write(f"  {finding['code']}: and {count - len(finding['named']):,} more")
        self.stdout.write(f"{len(EQUATIONS)} equations, {run.differing} broken.")
        if run.differing:
            sys.exit(1)
