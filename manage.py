#!/usr/bin/env python
"""Reckoner's command line: `manage.py help` lists the commands."""

import os
import sys

MISSING = "Django is not installed for {}. Run `make install`, then .venv/bin/python manage.py."


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] == ["runserver"]:
        os.environ.setdefault("DATABASE_POOL", "10")  # a web server shares connections, a command needs one
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError as error:
        raise SystemExit(MISSING.format(sys.executable)) from error
    from config.environment import EnvironmentRefused

    try:
        execute_from_command_line(sys.argv)
    except EnvironmentRefused as error:
        raise SystemExit(f"Reckoner cannot start: {error}") from None


if __name__ == "__main__":
    main()
