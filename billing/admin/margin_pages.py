"""What is left of what was earned: margins by customer, plan, meter, workload, invoice, line and ticket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.cost_parts import MAX_ROWS, currency_of_page, unknown_rows
from billing.admin.cost_words import cost_words, percent_words, read_time, times_offered
from billing.admin.csv_files import csv_response
from billing.costing import CostReport, Values, exact_decimal
from billing.formatting import day
from billing.invoice_margins import invoice_margins
from billing.margins import Margin, MarginReport, margins
from billing.models import Invoice, Plan
from billing.months import Month
from customers.models import Customer
from customers.staff_pages import bar_chart, require
from metering.models import Meter, Workload

SHOWN_ROWS = 50
NAMES = {
    "customer": "Customer",
    "plan": "Plan",
    "meter": "Meter",
    "workload": "Workload",
    "invoice": "Invoice",
    "line": "Invoice line",
    "subject": "Ticket (subject)",
    "month": "Month",
}


class MarginPages:
    """Pages of an admin, below its list: margins, and those of one invoice."""

    page: Any
    admin_site: Any

    def margin_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("margins/", wrap(self.margins_view), name="billing_costs_margins"),
            path("margins/invoice/<int:pk>/", wrap(self.invoice_view), name="billing_costs_invoice"),
        ]

    def margins_view(self, request: HttpRequest) -> HttpResponseBase:
        """Show margins by one group, the least profitable first, and the last twelve months."""
        require(request, "billing.view_costrate", "billing.view_invoice")
        now = timezone.now()
        time = read_time(request.GET.get("time", ""), now)
        group_by = request.GET.get("group_by", "customer")
        group_by = group_by if group_by in NAMES else "customer"
        currency = currency_of_page(request)
        customer = Customer.objects.filter(code=request.GET.get("customer", "").replace("\x00", "")).first()
        ids = [customer.pk] if customer else None
        if group_by in ("invoice", "line"):
            found = invoice_margins(
                time.first,
                time.last,
                by_line=group_by == "line",
                now=now,
                currency=currency,
                customer_ids=ids,
            )
        else:
            found = margins(
                time.first, time.last, group_by=group_by, now=now, currency=currency, customer_ids=ids
            )
        if request.GET.get("format") == "csv":
            columns = (*found.names, "revenue", "cost", "margin", "margin %", "currency")
            return csv_response(f"margins-{time.value}-by-{group_by}.csv", columns, _csv(found))
        asked = {"time": time.value, "currency": currency} | ({"customer": customer.code} if customer else {})
        rows = _rows(found, group_by, asked)
        most = MAX_ROWS if "all" in request.GET else SHOWN_ROWS
        return self.page(
            request,
            "admin/billing/costs/margins.html",
            title="Margins",
            time=time,
            group_by=group_by,
            name=NAMES[group_by],
            customer=customer,
            currency=currency,
            rows=rows[:most],
            left_out=max(len(rows) - most, 0),
            more=f"?{urlencode(asked | {'group_by': group_by, 'all': '1'})}"
            if len(rows) > most < MAX_ROWS
            else "",
            losing=sum(1 for group in found.groups.values() if group.margin < 0),
            whole=_words(found.whole, currency),
            unassigned=_words(found.unassigned, currency)
            if found.unassigned.revenue or found.unassigned.cost
            else None,
            unknown=_unknown(found),
            failures=found.failures,
            months=_twelve_months(time.last.replace(day=1), currency=currency, ids=ids),
            times=times_offered(now),
            groups=list(NAMES.items()),
            csv=f"?{urlencode(asked | {'group_by': group_by, 'format': 'csv'})}",
        )

    def invoice_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Show the margin of each line of one invoice."""
        require(request, "billing.view_costrate", "billing.view_invoice")
        invoice = get_object_or_404(Invoice.objects.select_related("customer"), pk=pk)
        found = invoice_margins(
            invoice.period_start,
            invoice.period_start + timedelta(days=1),
            by_line=True,
            now=timezone.now(),
            currency=invoice.currency,
            customer_ids=[invoice.customer_id],
            invoice_id=invoice.pk,
        )
        return self.page(
            request,
            "admin/billing/costs/invoice.html",
            title=f"Cost and margin of {invoice}",
            purpose="For you only: customers never see costs.",
            invoice=invoice,
            rows=[
                {"name": values[5] or "Tied to no line", **_words(group, invoice.currency)}
                for values, group in found.groups.items()
            ],
            whole=_words(found.whole, invoice.currency),
            unknown=_unknown(found),
            tickets=f"{reverse('admin:billing_costs_margins')}?"
            + urlencode(
                {
                    "time": str(Month.of(invoice.period_start)),
                    "group_by": "subject",
                    "customer": invoice.customer.code,
                    "currency": invoice.currency,
                }
            ),
        )


NOTED = ("invoice", "line", "subject")  # whose rows say below whom they are of


def _words(group: Margin, currency: str) -> dict[str, Any]:
    return {
        "revenue": cost_words(group.revenue, currency),
        "cost": cost_words(group.cost, currency),
        "margin": cost_words(group.margin, currency),
        "percent": percent_words(group.percent),
        "loses": group.margin < 0,
    }


def _rows(found: MarginReport, group_by: str, asked: dict[str, str]) -> list[dict[str, Any]]:
    labels = _labels(group_by)
    customers, plans = (_labels(each) if group_by in NOTED else {} for each in ("customer", "plan"))
    invoices: dict[str | None, int] = {}
    if group_by in ("invoice", "line"):
        numbers = {values[0] for values in found.groups}
        invoices = dict(Invoice.objects.filter(number__in=numbers).values_list("number", "pk"))
    return [
        {
            "name": _name(values, group_by, labels),
            "note": _note(values, group_by, customers, plans),
            "url": _leads_to(values, group_by, asked, invoices),
            **_words(group, found.currency),
        }
        for values, group in found.groups.items()
    ]


def _labels(group_by: str) -> dict[str, str]:
    match group_by:
        case "customer":
            return dict(Customer.objects.values_list("code", "name"))
        case "plan":
            return dict(Plan.objects.order_by("version").values_list("code", "name"))
        case "meter":
            return dict(Meter.objects.values_list("code", "label"))
        case "workload":
            return dict(Workload.objects.values_list("code", "name"))
    return {}


def _name(values: Values, group_by: str, labels: dict[str, str]) -> str:
    match group_by:
        case "subject":
            return values[1]
        case "invoice":
            return values[0] or "Preview"
        case "line":
            return f"{values[0] or 'Preview'}: {values[5] or 'tied to no line'}"
        case "month":
            return Month.parse(values[0]).name
    return labels.get(values[0], values[0])


def _note(values: Values, group_by: str, customers: dict[str, str], plans: dict[str, str]) -> str:
    if group_by not in NOTED:
        return ""
    if group_by == "subject":
        return customers.get(values[0], values[0])
    _, customer, plan, begins, *_ = values
    named = (customers.get(customer, customer), plans.get(plan, plan))
    return ", ".join([*filter(None, named), *([f"from {day(date.fromisoformat(begins))}"] if begins else [])])


def _leads_to(values: Values, group_by: str, asked: dict[str, str], invoices: dict[str | None, int]) -> str:
    here, spend = reverse("admin:billing_costs_margins"), reverse("admin:billing_costs_spend")
    kept = {name: value for name, value in asked.items() if name in ("time", "currency")}
    match group_by:
        case "customer":
            return f"{here}?{urlencode(kept | {'group_by': 'invoice', 'customer': values[0]})}"
        case "meter" | "workload":
            following = "customer" if group_by == "meter" else "meter"
            return f"{spend}?{urlencode(kept | {'group_by': following, group_by: values[0]})}"
        case "plan":
            return f"{here}?{urlencode(asked | {'group_by': 'customer'})}"
        case "month":
            return f"{here}?{urlencode(asked | {'group_by': 'customer', 'time': values[0]})}"
        case "subject":
            asked_for = urlencode({"customer": values[0], "subject": values[1]})
            return (
                f"{reverse('admin:billing_outcome_subject')}?{asked_for}" if values[0] and values[1] else ""
            )
    if values[0] in invoices:
        return reverse("admin:billing_costs_invoice", args=[invoices[values[0]]])
    return ""


def _unknown(found: MarginReport) -> list[dict[str, Any]]:
    report = CostReport(timezone.now(), timezone.now(), found.currency, ())
    report.unknown = found.unknown
    return unknown_rows(report)


def _csv(found: MarginReport) -> Iterator[list[object]]:
    parts: Sequence[tuple[Values, Margin]] = [
        *found.groups.items(),
        (("",) * len(found.names), found.unassigned),
    ]
    for values, group in parts:
        percent = None if group.percent is None else exact_decimal(group.percent)
        amounts = [exact_decimal(each) for each in (group.revenue, group.cost, group.margin)]
        yield [*values, *amounts, percent, found.currency]


def _twelve_months(last_month: Any, *, currency: str, ids: Sequence[int] | None) -> dict[str, Any]:
    """Give revenue, cost and margin of the twelve months up to one."""
    end = (last_month + timedelta(days=32)).replace(day=1)
    first = last_month.replace(year=last_month.year - 1, month=last_month.month)
    first = (first + timedelta(days=32)).replace(day=1)
    found = margins(first, end, group_by="month", now=timezone.now(), currency=currency, customer_ids=ids)
    months, month = [], Month.of(first)
    while month.first < end:
        group = found.groups.get((str(month),), Margin())
        months.append((month, group))
        month = Month.of(month.following)
    return {
        "chart": bar_chart(
            ((f"{each.first:%b}", exact_decimal(group.margin)) for each, group in months),
            label=f"Margin, {currency}",
            ticks=12,
        ),
        "rows": [
            {"name": each.name, "value": str(each), **_words(group, currency)}
            for each, group in reversed(months)
        ],
    }
