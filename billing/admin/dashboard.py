"""The first page: set-up steps until the first invoice exists, then what was billed, used, and what waits."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Max, Q, Sum
from django.db.models.functions import TruncMonth
from django.http import HttpRequest
from django.utils import timezone

from billing.admin.budget_words import bar, latest_points, state_words
from billing.admin.cost_words import cost_words, percent_words
from billing.admin.remembering import of_month
from billing.admin.set_up_steps import set_up_steps
from billing.checking import failed_checks
from billing.forecasting import has_forecast
from billing.formatting import money, month, quantity_of
from billing.formatting import period as days_words
from billing.lifecycle import state_of
from billing.margins import Margin, margins
from billing.models import BILLED, Budget, CostRate, Invoice, InvoiceStatus
from billing.models.invoices import SETTLED
from billing.months import Month
from billing.reconciling import alarms
from customers.models import Customer
from customers.staff_pages import bar_chart
from metering.measuring import measure_series
from metering.models import EventConflict, Meter
from metering.periods import Anchor, Interval
from metering.unmatched import WAITING_AT_MOST, count_waiting

MONTHS = 6
METERS_SHOWN = 4
INVOICES_SHOWN = 8
BUDGETS_SHOWN = 8


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the first page what this person may see."""
    context = context | {"title": "Dashboard", "own_heading": True}
    now = timezone.now()
    if not request.user.has_perm("billing.view_invoice"):
        return context | {"nothing_to_see": True}
    if not Invoice.objects.exists():
        return context | {
            "steps": (steps := set_up_steps(request, now=now)),
            "done": sum(step.done for step in steps),
        }
    context |= overview(now=now)
    if request.user.has_perm("billing.view_budget"):
        context["budgets"] = strained_budgets(now=now)
    if request.user.has_perm("billing.view_outcome"):
        context["has_forecast"] = has_forecast(now=now)  # the page fetches it afterwards
    if request.user.has_perm("billing.view_costrate"):
        context["margins"] = last_month_margins(now=now)
    return context


def overview(*, now: datetime) -> dict[str, Any]:
    """Give revenue of the last months, usage of this one, what waits for a person, and the latest invoices."""
    waiting = count_waiting()
    drafts = Invoice.objects.filter(status=InvoiceStatus.DRAFT, part_of=None).aggregate(
        count=Count("pk"), ready=Max("issue_after")
    )
    return {
        "overview": True,
        "revenue": revenue_by_currency(now=now),
        "owed": owed_by_currency(now=now),
        "usage": _usage(now=now),
        "month": month(now.date()),
        "waiting": f"{waiting:,}+" if waiting == WAITING_AT_MOST else f"{waiting:,}",
        "is_waiting": waiting > 0,
        "alarms": alarms(),
        "failed_checks": failed_checks(),
        "conflicts": EventConflict.objects.count(),
        "drafts": drafts["count"],
        "without_plan": Customer.objects.filter(archived_at=None, subscriptions=None).count(),
        "latest": [
            {
                "invoice": invoice,
                "state": state_of(invoice, now=now),
                "days": days_words(invoice.period_start, invoice.period_end),
                "total": money(invoice.total, invoice.currency),
            }
            for invoice in Invoice.objects.filter(part_of=None)
            .select_related("customer")
            .order_by("-pk")[:INVOICES_SHOWN]
        ],
    }


def strained_budgets(*, now: datetime) -> list[dict[str, Any]]:
    """Give the budgets of this month that are exceeded or going to be, with their state in words."""
    budgets = list(Budget.objects.filter(active=True).select_related("workload", "customer"))
    points = latest_points([budget.pk for budget in budgets], now=now)
    found = []
    for budget in budgets:
        kind, words = state_words(budget, points.get(budget.pk))
        if kind in ("over", "near"):
            found.append(
                {
                    "budget": budget,
                    "kind": kind,
                    "words": words.lower(),
                    "bar": bar(budget, points[budget.pk]),
                }
            )
    found.sort(key=lambda each: (each["kind"] != "over", str(each["budget"])))
    return found[:BUDGETS_SHOWN]


def last_month_margins(*, now: datetime) -> list[dict[str, Any]]:
    """Give cost and margin of the last full month beside its revenue, for each currency that has cost rates."""
    last = Month.of(now.astimezone(UTC).date()).previous
    currencies = CostRate.objects.filter(withdrawn_at=None).order_by().values_list("currency", flat=True)
    found = []
    for currency in sorted(currencies.distinct()):
        known = of_month("margin", last.first, currency, now, partial(_margin_of, last, currency, now))
        whole = known.figures
        query = urlencode({"time": str(last), "currency": currency})
        found.append(
            {
                "cost": cost_words(whole.cost, currency),
                "margin": cost_words(whole.margin, currency),
                "percent": percent_words(whole.percent),
                "loses": whole.margin < 0,
                "month": last.name,
                "query": query,
                "as_of": known.as_of,
            }
        )
    return found


def _margin_of(month: Month, currency: str, now: datetime) -> Margin:
    return margins(month.first, month.following, group_by="month", now=now, currency=currency).whole


def owed_by_currency(*, now: datetime) -> list[dict[str, Any]]:
    """Give what customers owe on issued invoices, and how much of it is past its due day, for each currency."""
    today = now.astimezone(UTC).date()
    rows = (
        Invoice.objects.filter(status=InvoiceStatus.ISSUED, part_of=None)
        .order_by("currency")
        .values("currency")
        .annotate(
            due=Sum(F("total") - SETTLED), overdue=Sum(F("total") - SETTLED, filter=Q(due_on__lt=today))
        )
    )
    return [
        {
            "currency": row["currency"],
            "due": money(row["due"], row["currency"]),
            "overdue": money(row["overdue"], row["currency"]) if row["overdue"] else "",
        }
        for row in rows
    ]


def revenue_by_currency(*, now: datetime) -> list[dict[str, Any]]:
    """Sum issued invoices by the month in which their period began, for each currency on its own."""
    today = now.astimezone(UTC).date()
    anchor = Anchor(today.year, today.month, 1)
    months = [anchor.boundary(Interval.MONTH, -back) for back in range(MONTHS, -1, -1)]
    rows = (
        Invoice.objects.filter(status__in=BILLED, part_of=None, period_start__gte=months[0])
        .annotate(month=TruncMonth("period_start"))
        .order_by()
        .values("currency", "month")
        .annotate(amount=Sum("total"))
    )
    sums: dict[str, dict[date, Decimal]] = {}
    for row in rows:
        sums.setdefault(row["currency"], {})[row["month"]] = row["amount"]
    return [
        {
            "currency": currency,
            "last": money(_of(by_month, months[-2]), currency),
            "last_month": month(months[-2]),
            "chart": bar_chart(((f"{each:%b}", _of(by_month, each)) for each in months), label=currency),
        }
        for currency, by_month in sorted(sums.items())
    ]


def _of(by_month: dict[date, Decimal], each: date) -> Decimal:
    return by_month.get(each, Decimal(0))


def _usage(*, now: datetime) -> list[dict[str, Any]]:
    """Measure this month by day for the meters that plans bill, the most customers first."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    billed = (
        Meter.objects.filter(rates__plan__subscriptions__isnull=False)
        .annotate(customers=Count("rates__plan__subscriptions__customer", distinct=True))
        .order_by("-customers", "label")[:METERS_SHOWN]
    )
    shown = []
    for meter in billed:
        series = measure_series(meter, start=start, end=now, interval=Interval.DAY, zone="UTC")[0]
        points = ((str(point.start.day), point.value) for point in series.points)
        shown.append(
            {
                "meter": meter,
                "total": quantity_of(series.total, meter.unit),
                "chart": bar_chart(points, label=meter.label, ticks=12),
            }
        )
    return shown
