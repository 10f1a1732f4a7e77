"""Parts that the pages of costs and margins share: the currency they are in, and what is unknown."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from billing.admin.cost_words import quantity_in_words
from billing.cost_entries import currency_of_costs
from billing.costing import CostReport
from billing.models import CostRate

MAX_ROWS = 500


def currency_of_page(request: HttpRequest) -> str:
    """Give the currency asked for, where cost rates have it; else the one there is, or the first of several."""
    known = sorted(
        CostRate.objects.filter(withdrawn_at=None).order_by().values_list("currency", flat=True).distinct()
    )
    wanted = request.GET.get("currency", "")
    if wanted in known:
        return wanted
    return "USD" if "USD" in known else known[0] if known else currency_of_costs()


def unknown_rows(found: CostReport) -> list[dict[str, Any]]:
    """Give what is unknown, with where a missing rate is added."""
    return [
        {
            "name": "Fixed cost" if each.meter is None else each.meter.label,
            "meter": each.meter,
            "quantity": quantity_in_words(each.quantity, each.meter.unit if each.meter else ""),
            "reason": each.reason,
            "add": f"{reverse('admin:billing_costrate_add')}?{urlencode({'meter': each.meter.pk})}"
            if each.meter
            else reverse("admin:billing_costrate_add"),
        }
        for each in found.unknown
    ]
