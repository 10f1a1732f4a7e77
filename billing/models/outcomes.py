"""Outcomes as a list of their own in the admin: the events of outcome meters."""

from __future__ import annotations

from typing import ClassVar

from metering.models import Event


class Outcome(Event):
    """An event of an outcome meter. It has no table; what became of it is worked out (billing.outcomes)."""

    class Meta:
        proxy = True
        default_permissions: ClassVar = ("view",)
