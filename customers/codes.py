"""Codes: the short names by which integrations call meters, plans, customers and workloads."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.utils.text import slugify

CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$"

validate_code = RegexValidator(
    CODE_PATTERN,
    "Use letters, digits and _ . : @ + - only, beginning with a letter or digit; no spaces.",
    code="invalid_code",
)


def code_from_label(label: str) -> str:
    """Make a code from a label: "Tickets Resolved" gives "tickets_resolved". Empty when no letter is left."""
    return slugify(label).replace("-", "_")
