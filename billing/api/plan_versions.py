"""The versions of a plan that a request names."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import Http404
from rest_framework.exceptions import ValidationError

from billing.models import Plan


def versions_of(code: str) -> list[Plan]:
    """Give all versions of a plan, the oldest first. Raises Http404 where there is none."""
    versions = list(Plan.objects.filter(code=code).order_by("version"))
    if not versions:
        raise Http404(f"There is no plan “{code}”.")
    return versions


def named_version(versions: Sequence[Plan], number: str | None, name: str, *, default: Plan) -> Plan:
    """Give the version with a number as it was sent; `name` is the field a refusal names."""
    if number is None:
        return default
    for plan in versions:
        if str(plan.version) == number:
            return plan
    raise ValidationError({name: [f"This plan has the versions 1 to {versions[-1].version}."]})
