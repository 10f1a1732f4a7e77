"""`pytest tests/acceptance --cases DIR` runs the adapters over other case files.

Without it they run over `cases`, which was collected from other billing systems, and over `own_cases`, which we
wrote beside it in the same form.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.adapters import uses_database
from tests.acceptance.cases_on_disk import load_cases
from tests.acceptance.expected_failures import EXPECTED_FAILURES

COLLECTED_CASES = Path(__file__).parent / "cases"
OWN_CASES = Path(__file__).parent / "own_cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", metavar="DIR", help="folder of acceptance case files (*.json) to run instead")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    folder = metafunc.config.getoption("--cases", default=None)
    folders = [Path(folder)] if folder else [COLLECTED_CASES, OWN_CASES]
    params = []
    for case in [case for each in folders for case in load_cases(each)]:
        reason = EXPECTED_FAILURES.get(case["area"])
        marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
        if uses_database(case["area"]):
            marks.append(pytest.mark.django_db)
        params.append(pytest.param(case, id=case["id"], marks=marks))
    metafunc.parametrize("case", params)
