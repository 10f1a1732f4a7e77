"""manage.py demo: everything running on this machine, with demonstration data. `make demo` calls it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.utils import timezone

from billing import demonstration
from billing.models import Invoice
from customers.keys import create_api_key
from customers.models import Customer, PortalAccess, Scope
from customers.portal_access import create_portal_access, portal_link

START_SECONDS = 60
STAFF = "demo"


class Command(BaseCommand):
    help = "Start the web server and the worker with demonstration data, on this machine only. Ctrl-C stops everything."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.LOCAL:
            raise CommandError(
                "The demonstration has a known login, so it runs only while ALLOWED_HOSTS names this machine alone."
            )
        # A shell that starts us in the background has SIGINT ignored, and Ctrl-C must stop everything all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        base_url = f"http://127.0.0.1:{settings.PORT}"
        self._refuse_taken_port()
        self._make_tables()
        logins = self._logins()
        children = [self._start_server(), self._start_worker()]
        try:
            self._wait_until_up(base_url, children)
            self._load(base_url, logins)
            self._print_welcome(base_url, logins)
            while all(child.poll() is None for child in children):
                time.sleep(0.5)
            raise CommandError("A part of the demonstration stopped by itself; its last lines above say why.")
        except KeyboardInterrupt:
            self.stdout.write("\nStopping.")
        finally:
            for child in children:
                if child.poll() is None:
                    child.terminate()
            for child in children:
                child.wait(timeout=30)

    def _make_tables(self) -> None:
        try:
            call_command("migrate", verbosity=0)
        except InconsistentMigrationHistory as older:
            raise CommandError(
                f"The data in {settings.DATA_DIR} are of an older version, before the first release. "
                "Remove the folder, or name another: DATA_DIR=/path/to/new make demo"
            ) from older

    def _refuse_taken_port(self) -> None:
        """Say so before anything is started; another server on the port would take our requests."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", settings.PORT))
            except OSError as taken:
                raise CommandError(
                    f"Port {settings.PORT} is taken. Choose another: PORT={settings.PORT + 1} make demo"
                ) from taken

    def _logins(self) -> dict[str, str]:
        """Give the staff password and the API key, made at random on the first start and kept in DATA_DIR."""
        path = Path(settings.DATA_DIR) / "demo-logins.json"
        user_model = get_user_model()
        if path.exists() and user_model.objects.filter(username=STAFF).exists():
            kept: dict[str, str] = json.loads(path.read_text())
            return kept
        password = secrets.token_urlsafe(9)
        user, _ = user_model.objects.get_or_create(username=STAFF, defaults={"email": "demo@localhost"})
        user.is_staff = user.is_superuser = True
        user.set_password(password)
        user.save()
        _, key = create_api_key("Demonstration", scopes=Scope.values)
        path.touch(mode=0o600)
        made = {"password": password, "key": key, "started_at": timezone.now().isoformat()}
        path.write_text(json.dumps(made))
        return made

    def _start_server(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi:application",
            "--bind", f"127.0.0.1:{settings.PORT}", "--log-level", "warning",
        ]  # fmt: skip
        return self._start(command)

    def _start_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "procrastinate", "worker"]
        return self._start(command)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a child in a session of its own, so that Ctrl-C reaches it only through us, in order."""
        environment = os.environ | {"LOG_LEVEL": "WARNING"}
        return subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, start_new_session=True)

    def _wait_until_up(self, base_url: str, children: list[subprocess.Popen[bytes]]) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if any(child.poll() is not None for child in children):
                raise CommandError("The server or the worker did not start; its last lines above say why.")
            try:
                with urllib.request.urlopen(f"{base_url}/health/", timeout=2):  # noqa: S310 - our own server
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise CommandError(f"The server did not answer within {START_SECONDS} seconds.")

    def _load(self, base_url: str, logins: dict[str, str]) -> None:
        """Load the demonstration once. What a stopped first start left undone is done by the next."""
        if Invoice.objects.exists():
            self.stdout.write(f"Using the data that is there. `rm -rf {settings.DATA_DIR}` starts afresh.")
            return
        now = datetime.fromisoformat(logins["started_at"])
        months = demonstration.closed_months(now, 3)
        plan = demonstration.make_catalog(now=now)
        demonstration.make_customers(plan, start_on=months[0].first)
        accepted = demonstration.send_story(base_url, logins["key"], months=months, now=now)
        self.stdout.write(f"Sent {accepted} events through the event API.")
        for line in demonstration.close_months(months, now=now):
            self.stdout.write(f"Closed {line}")
        paid = demonstration.pay_invoices(now=now)
        self.stdout.write(f"Paid {paid} invoices; Initech is late with one.")
        demonstration.make_budgets(now=now)
        reopened = demonstration.send_reopened(base_url, logins["key"], months=months, now=now)
        demonstration.set_limits()
        self.stdout.write(
            f"Reopened {reopened} tickets of an invoice: the running month takes them off again."
        )

    def _print_welcome(self, base_url: str, logins: dict[str, str]) -> None:
        access = PortalAccess.objects.filter(customer__code="acme", revoked_at=None).first()
        acme = Customer.objects.filter(code="acme").first()
        if access is None and acme is not None:
            access = create_portal_access(acme, email=acme.email)
        link = portal_link(access, base_url=base_url) if access else f"{base_url}/portal/"
        whose = f"Acme's link, for {access.email}" if access else "Acme's link"
        now = timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.stdout.write(
            f"""
Reckoner runs at {base_url}/

  Staff    {base_url}/admin/   user {STAFF}   password {logins["password"]}
  Portal   {link}
           ({whose}; it works once.
           Ask for another at {base_url}/portal/; the mail with it is printed here)
  API      {base_url}/api/docs/

Send an event (a resolved ticket for Acme; the same key counts once). The page Outcomes shows it at once: pending for
24 hours, then settled, unless it is reopened.

  curl -s {base_url}/api/v1/events/ -H 'Authorization: Bearer {logins["key"]}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"key": "try-1", "meter": "tickets_resolved", "customer": "acme", "value": "1",
         "occurred_at": "{now}", "subject": "try-1"}}'

Ctrl-C stops everything.
"""
        )
        self.stdout.flush()
