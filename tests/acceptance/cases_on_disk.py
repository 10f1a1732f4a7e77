"""Reading case files: every number stays exact."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import pytest


class Case(TypedDict):
    """One worked case; the form is described in cases/README.md. `note` and `tolerance` may be missing."""

    id: str
    area: str
    given: dict[str, Any]
    expect: dict[str, Any]
    tolerance: str | None


def load_cases(folder: Path) -> list[Case]:
    """Read every case of the *.json files of a folder. A folder without cases is an error."""
    cases = [
        Case(
            id=data["id"],
            area=data["area"],
            given=data["given"],
            expect=data["expect"],
            tolerance=data.get("tolerance"),
        )
        for file in sorted(folder.glob("*.json"))
        for data in json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    ]
    if not cases:
        raise pytest.UsageError(f"There are no cases in {folder}. Name a folder with *.json case files.")
    return cases
