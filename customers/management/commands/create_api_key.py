"""manage.py create_api_key: print a new key, once, alone on standard output."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from customers.keys import create_api_key
from customers.models import Scope


class Command(BaseCommand):
    help = "Make an API key and print it. It is stored hashed and cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="What the key is for, as staff will see it.")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            choices=Scope.values,
            help="Give it once per scope.",
        )
        parser.add_argument(
            "--source",
            default="api",
            help="Idempotency keys are unique within a source.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key, secret = create_api_key(options["name"], scopes=options["scope"], source=options["source"])
        self.stderr.write(f"Key “{key.name}” may: {', '.join(key.scopes)}. Keep it; it is not shown again.")
        self.stdout.write(secret)
