"""Cells of the price editor's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def at(cells: Any, name: str) -> str:
    """Give a cell by its column; an empty one for the row that is only a pattern."""
    return str(cells.get(name, "")) if isinstance(cells, Mapping) else ""
