"""`pytest tests/acceptance --cases DIR` runs the adapters over other case files; without it, over ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.adapters import uses_database
from tests.acceptance.cases_on_disk import load_cases
from tests.acceptance.expected_failures import EXPECTED_FAILURES

OWN_CASES = Path(__file__).parent / "cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", metavar="DIR", help="folder of acceptance case files (*.json) to run instead")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    folder = metafunc.config.getoption("--cases", default=None)
    params = []
    for case in load_cases(Path(folder) if folder else OWN_CASES):
        reason = EXPECTED_FAILURES.get(case["area"])
        marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
        if uses_database(case["area"]):
            marks.append(pytest.mark.django_db)
        params.append(pytest.param(case, id=case["id"], marks=marks))
    metafunc.parametrize("case", params)
