"""Other processes on the database of the running test, to be killed as a machine would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
# The connection of the parent stays open in its children: closing it there would end its session. A child has another
# one where the parent runs a loop, as a browser's tests leave it: Django keeps connections by the loop of the process.
INHERITED: list[Any] = []


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


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a command; what it said is shown when the test fails."""
    said, _ = process.communicate()
    sys.stdout.write(said.decode())


def killed_at(statement: int, work: Callable[[], object], *, before: bool) -> bool:
    """Do something in a process of its own that is killed at its n-th statement, before or after it is carried out.

    Tell whether it was killed before its end. A failure of the work itself fails the test.
    """
    child = os.fork()
    if not child:
        try:
            INHERITED.append(connection.connection)
            connection.connection = None
            with connection.execute_wrapper(_killer(statement, before=before)):
                work()
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "The process failed; its traceback is above."
    return False


def _killer(kill_at: int, *, before: bool) -> Callable[..., Any]:
    count = 0

    def watch(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        nonlocal count
        count += 1
        if count == kill_at and before:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = execute(sql, parameters, many, context)
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return watch
