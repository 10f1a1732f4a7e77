from __future__ import annotations

import faulthandler
import os
import shutil
import sys
from pathlib import Path

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase

from config.embedded.folder import DataFolder, FileLock
from customers.api.authentication import remembered_keys
from metering import catalog
from metering.storing import repeating

RUN_LOCK = pytest.StashKey[FileLock]()
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What the migrations fill and no test changes.
KEPT = {"django_content_type", "auth_permission", "django_migrations"}
NO_BROWSER = "Browser tests: left out, no Chromium on this machine (apt-get install chromium)."


def find_chromium() -> Path | None:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return Path(found) if found else None


# No example has a deadline: a slow machine shows no mistake.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Lets one run at a time use the test database of a checkout: a second one would delete it under the first."""
    part_of_a_run = hasattr(config, "workerinput") or "PYTEST_CURRENT_TEST" in os.environ
    if not part_of_a_run:
        folder = DataFolder(settings.DATA_DIR)
        folder.create()
        if not folder.is_free("tests"):
            sys.stderr.write("Another test run uses this checkout's database; waiting for its end.\n")
        config.stash[RUN_LOCK] = folder.lock("tests")


def empty_tables(*_: object) -> None:
    """Empty the tables that a test which commits has filled, the queue's too.

    Django's own way truncates all tables, makes content types and permissions anew, and leaves the queue.
    """
    tables = [table for table in connection.introspection.table_names() if table not in KEPT]
    quoted = [connection.ops.quote_name(table) for table in tables]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"EXISTS (SELECT FROM {table})" for table in quoted))
        filled = [table for table, is_filled in zip(quoted, cursor.fetchone(), strict=True) if is_filled]
        if filled:
            cursor.execute(f"TRUNCATE {', '.join(filled)} CASCADE")


TransactionTestCase._fixture_teardown = empty_tables


def pytest_report_header() -> str:
    found = find_chromium()
    return f"Browser tests: with {found}." if found else NO_BROWSER


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_chromium() is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason=NO_BROWSER))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Makes the database outside the time of the first test: on a busy machine it takes longer than a test may."""
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The system's Chromium, for Playwright's `executable_path`."""
    found = find_chromium()
    assert found is not None, NO_BROWSER
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
        "true"  # Playwright's loop makes Django refuse the ORM otherwise
    )
    return found


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """Ids and keys remembered for seconds must not outlive the rollback of a test."""
    catalog.forget()
    remembered_keys.forget()
    repeating.forget()
    cache.clear()
