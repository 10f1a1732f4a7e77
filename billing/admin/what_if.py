"""What past usage would cost by a version: both sums, who would pay more or less, and the worst bill shocks."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils import timezone

from billing.formatting import money
from billing.formatting import month as month_name
from billing.models import Plan
from billing.rating import currency_digits
from billing.simulating import CustomerOutcome, Outcome, Simulation, count_invoices, last_months, simulate
from customers.models import Customer
from customers.spreadsheets import csv_cell
from customers.staff_pages import StaffAdmin, bar_chart, paired_chart, require

MONTHS = (3, 6, 12, 24)
USUAL_MONTHS = 12
SHOWN = 200
SHOCKS = 8
AT_ONCE = 3_000  # invoices: priced while the page opens; more are asked for first
SIDES = {
    "": "all",
    "dearer": "who would pay more",
    "cheaper": "who would pay less",
    "same": "who would pay the same",
}
# The change of a bill in percent, by the lower edge of each bar.
EDGES = (-50, -20, -5, 0)
BARS = (
    "-50 % or less",
    "to -20 %",
    "to -5 %",
    "to 0 %",
    "no change",
    "to +5 %",
    "to +20 %",
    "to +50 %",
    "more",
    "new",
)


class WhatIfPages(StaffAdmin):
    """Adds the page of what past usage would cost to the admin of plans."""

    def what_if_urls(self) -> list[URLPattern]:
        return [
            path(
                "<int:pk>/what-if/",
                self.admin_site.admin_view(self.what_if_view),
                name="billing_plan_what_if",
            )
        ]

    def what_if_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show issued invoices beside what this version would have made of the same usage. Writes nothing."""
        require(request, "billing.view_plan", "billing.view_invoice")
        plan = get_object_or_404(Plan, pk=pk)
        asked = {name: request.GET.get(name, "").strip() for name in ("customers", "months", "show")}
        months = int(asked["months"]) if asked["months"] in map(str, MONTHS) else USUAL_MONTHS
        context: dict[str, Any] = {
            "title": f"What if: {plan}", "plan": plan, "asked": asked, "months": months, "choices": MONTHS,
            "sides": SIDES.items(), "purpose": (
                "The usage of past months at the prices of this version, beside the invoices that were issued, to the "
                "cent. Nothing is written."
            ),
        }  # fmt: skip
        template = "admin/billing/plan/what_if.html"
        codes = _codes(asked["customers"])
        if asked["customers"] and not codes:
            return self.page(request, template, nobody=True, **context)
        now = timezone.now()
        first, last = last_months(months, now=now)
        invoices = count_invoices(plan, first=first, last=last, customers=codes)
        if invoices > AT_ONCE and "run" not in request.GET:
            return self.page(request, template, waits=invoices, **context)
        result = _run(plan, first, last, codes, now=now)
        if request.GET.get("format") == "csv":
            return _file(result)
        query = request.GET.copy()
        query["run"] = "1"
        for name in ("show", "format"):
            query.pop(name, None)
        return self.page(
            request,
            template,
            result=result,
            query=query.urlencode(),
            **context,
            **_shown(result, asked["show"]),
        )


def _run(plan: Plan, first: date, last: date, codes: Sequence[str], *, now: datetime) -> Simulation:
    return simulate(plan, first=first, last=last, now=now, customers=codes)


def _codes(text: str) -> list[str]:
    """Give the codes of the customers that are meant: by code, or by a part of the name; separated by commas."""
    wanted = Q()
    for part in filter(None, (part.strip() for part in text.replace("\x00", "").split(","))):
        wanted |= Q(code__iexact=part) | Q(name__icontains=part)
    return list(Customer.objects.filter(wanted).values_list("code", flat=True)) if wanted else []


def _shown(result: Simulation, side: str) -> dict[str, Any]:
    currency = result.plan.currency
    dearer, cheaper = result.dearer, result.cheaper
    same = [each for each in result.customers if not each.whole.difference]
    by_side = {"dearer": dearer, "cheaper": cheaper, "same": same}
    chosen = by_side.get(
        side, sorted(result.customers, key=lambda c: (-abs(c.whole.difference), c.customer.code))
    )
    counts = Counter(_bar(each.whole) for each in result.customers)
    return {
        "whole": _words(result.whole, currency),
        "counts": {
            "dearer": len(dearer),
            "cheaper": len(cheaper),
            "same": len(same),
            "all": len(result.customers),
        },
        "months_chart": paired_chart(
            ((month_name(month), each.then, each.now) for month, each in result.months.items()),
            labels=("Invoiced", "With this version"),
        ),
        "spread_chart": bar_chart(
            ((name, Decimal(counts[number])) for number, name in enumerate(BARS)), label="Customers", ticks=10
        ),
        "shocks": _shocks(result, currency),
        "rows": [_customer_row(each, currency) for each in chosen[:SHOWN]],
        "more": max(len(chosen) - SHOWN, 0),
        "by_month": _by_month(result.customers[0], currency) if len(result.customers) == 1 else [],
    }


def _bar(outcome: Outcome) -> int:
    """Give the bar of the distribution that a customer stands in."""
    if not outcome.difference:
        return 4
    if outcome.percent is None:
        return 9
    if outcome.difference < 0:
        return next((number for number, edge in enumerate(EDGES) if outcome.percent <= edge), 3)
    return next((5 + number for number, edge in enumerate((5, 20, 50)) if outcome.percent <= edge), 8)


def _shocks(result: Simulation, currency: str) -> list[dict[str, Any]]:
    """Give the months that would have risen most, one for each customer, with bars that compare them."""
    worst = [(each.customer, *each.worst_month) for each in result.customers if each.worst_month is not None]
    worst.sort(key=lambda shock: (-shock[2].difference, shock[0].code))
    highest = worst[0][2].difference if worst else Decimal(1)
    return [
        {
            "customer": customer, "month": month_name(month), **_words(outcome, currency),
            "width": f"{outcome.difference * 100 / highest:.1f}",
        }
        for customer, month, outcome in worst[:SHOCKS]
    ]  # fmt: skip


def _words(outcome: Outcome, currency: str) -> dict[str, str]:
    sign = "+" if outcome.difference > 0 else ""
    return {
        "then": money(outcome.then, currency),
        "now": money(outcome.now, currency),
        "difference": f"{sign}{money(outcome.difference, currency)}",
        "percent": "" if outcome.percent is None else f"{outcome.percent:+f} %",
    }


def _customer_row(outcome: CustomerOutcome, currency: str) -> dict[str, Any]:
    worst = outcome.worst_month
    return {
        "customer": outcome.customer,
        **_words(outcome.whole, currency),
        "worst": "" if worst is None else f"{month_name(worst[0])}: +{money(worst[1].difference, currency)}",
    }


def _by_month(outcome: CustomerOutcome, currency: str) -> list[dict[str, str]]:
    return [
        {"month": month_name(month), **_words(part, currency)}
        for month, part in sorted(outcome.months.items())
    ]


def _file(result: Simulation) -> HttpResponse:
    name = f"what-if-{result.plan.code}-{result.plan.version}.csv"
    answer = HttpResponse(
        "\ufeff",  # spreadsheets read the file as UTF-8 with it
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    writer = csv.writer(answer)
    digits = currency_digits(result.plan.currency)
    writer.writerow(["customer", "name", "month", "currency", "invoiced", "with_this_version", "difference"])
    for each in result.customers:
        for month, part in sorted(each.months.items()):
            names = [csv_cell(each.customer.code), csv_cell(each.customer.name)]
            amounts = [f"{each:.{digits}f}" for each in (part.then, part.now, part.difference)]
            writer.writerow([*names, f"{month:%Y-%m}", result.plan.currency, *amounts])
    return answer
