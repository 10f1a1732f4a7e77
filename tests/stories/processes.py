"""Other processes on the database of the running test, to be killed as a machine would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def child_database() -> str:
    """Give the test database as the child reads it, also the embedded server's behind its socket folder."""
    connection.ensure_connection()
    info = connection.settings_dict
    names = ("NAME", "USER", "PASSWORD", "HOST", "PORT")
    return json.dumps({"ENGINE": "django.db.backends.postgresql"} | {name: str(info[name]) for name in names})


def start_command(*arguments: str) -> subprocess.Popen[bytes]:
    """Start `manage.py ARGUMENTS` on the test database, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ
        | {"TEST_DATABASE": child_database(), "DJANGO_SETTINGS_MODULE": "tests.child_settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
