"""What a page shows of a whole month's events, kept for some minutes: such figures read every event of the month."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar, cast

from django.core.cache import cache
from django.db.models import Max

from billing.models import CostRate, Invoice

SECONDS = 300
Figures = TypeVar("Figures")


@dataclass(frozen=True, slots=True)
class Remembered(Generic[Figures]):
    """Figures, and when they were worked out."""

    figures: Figures
    as_of: datetime


def of_month(
    name: str, first: date, currency: str, now: datetime, make: Callable[[], Figures]
) -> Remembered[Figures]:
    """Give the figures that `make` works out of a month's events, at most five minutes old.

    Another cost rate or invoice shows at once; late events and corrections within the five minutes. Each process of
    the server remembers for itself.
    """
    rates = CostRate.history.aggregate(last=Max("history_id"))["last"]
    invoices = Invoice.objects.aggregate(last=Max("pk"))["last"]
    key = f"figures:{name}:{first}:{currency}:{rates}:{invoices}"
    found = cast("Remembered[Figures] | None", cache.get(key))
    if found is None:
        found = Remembered(make(), now)
        cache.set(key, found, SECONDS)
    return found
