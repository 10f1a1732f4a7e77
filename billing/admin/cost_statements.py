"""A workload's month as a statement, as an invoice would show it: usage, how it was rated, components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.cost_parts import MAX_ROWS, currency_of_page, unknown_rows
from billing.admin.cost_words import cost_words, quantity_in_words, read_time, times_offered
from billing.admin.csv_files import csv_response
from billing.cost_cuts import CostEntry
from billing.cost_entries import Costed, cost_entries
from billing.costing import exact_decimal, group_costs
from billing.formatting import plural
from billing.models import CostRate, CostRateKind
from billing.months import Month
from billing.rating import TermsError, UsageRate, describe, parse_rate
from billing.sharing import ZERO
from customers.models import Customer
from customers.staff_pages import bar_chart, require
from metering.models import Workload

ROW_FIELDS = ("rows", "dimensions", "tiers_apply", "unmatched")


class StatementPages:
    """The page of an admin, below its list, that shows a workload's month."""

    page: Any
    admin_site: Any

    def statement_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/month/<str:month>/", wrap(self.statement_view), name="billing_costs_statement")
        ]

    def statement_view(self, request: HttpRequest, pk: int, month: str) -> HttpResponseBase:
        """Show a month of a workload as an invoice would: usage, how it was rated, components."""
        require(request, "billing.view_costrate")
        workload = get_object_or_404(Workload, pk=pk)
        try:
            wanted = Month.parse(month)
        except ValueError as wrong:
            raise Http404 from wrong
        if not 2000 <= wanted.year <= 2999:
            raise Http404
        now = timezone.now()
        time = read_time(str(wanted), now)
        offered = dict(times_offered(now))
        if time.value != str(wanted):
            raise Http404
        currency = currency_of_page(request)
        dimensions = _rate_dimensions()
        costed = cost_entries(
            time.start, time.end, group_by={"workload", "customer", "day", *dimensions}, currency=currency
        )
        mine = [entry for entry in costed.entries if entry.workload_id == workload.pk]
        lines = _lines(costed, mine)
        if request.GET.get("format") == "csv":
            rows = (
                [line["what"], line["quantity"], line["rated"], line["exact"], currency] for line in lines
            )
            columns = ("what", "quantity", "how it is rated", "cost", "currency")
            return csv_response(f"{workload.code}-{wanted}.csv", columns, iter(rows))
        only = {id(entry) for entry in mine}
        by_customer = group_costs(costed, ["customer"], only=lambda entry: id(entry) in only)
        by_day = group_costs(costed, ["day"], only=lambda entry: id(entry) in only)
        names = dict(Customer.objects.values_list("code", "name"))
        days = sorted((values[0][8:], exact_decimal(group.cost)) for values, group in by_day.groups.items())
        later = Month.of(wanted.following)
        return self.page(
            request,
            "admin/billing/costs/statement.html",
            title=f"{workload.name}, {time.name}",
            workload=workload,
            lines=lines,
            total=cost_words(by_customer.total, currency),
            customers=[
                (names.get(values[0], values[0]), values[0], cost_words(group.cost, currency))
                for values, group in by_customer.groups.items()
            ][:MAX_ROWS],
            unassigned=cost_words(by_customer.unassigned, currency) if by_customer.unassigned else "",
            chart=bar_chart(days, label=f"Cost by day, {currency}", ticks=12),
            unknown=unknown_rows(by_customer),
            month=str(wanted),
            earlier=reverse("admin:billing_costs_statement", args=[pk, wanted.previous])
            if str(wanted.previous) in offered
            else "",
            later=reverse("admin:billing_costs_statement", args=[pk, later])
            if later.first <= now.date()
            else "",
        )


def _rate_dimensions() -> set[str]:
    found: set[str] = set()
    for terms in CostRate.objects.filter(withdrawn_at=None, kind=CostRateKind.USAGE).values_list(
        "terms", flat=True
    ):
        found |= set(terms.get("dimensions") or [])
    return found


def _lines(costed: Costed, entries: Sequence[CostEntry]) -> list[dict[str, Any]]:
    """Give the components of a cost: each rate, by the dimensions it prices."""
    sums: dict[tuple[int | None, int | None, tuple[tuple[str, str], ...]], tuple[Fraction, Fraction]] = {}
    rates: dict[int | None, CostRate | None] = {None: None}
    for entry in entries:
        if entry.cost is None:
            continue
        rate = entry.rate
        rates[rate.pk if rate else None] = rate
        names = rate.terms.get("dimensions") or [] if rate and entry.meter_id is not None else []
        dimensions = tuple((name, str(entry.values.get(f"dimension:{name}") or "")) for name in names)
        key = entry.meter_id, rate.pk if rate else None, dimensions
        quantity, cost = sums.get(key, (ZERO, ZERO))
        sums[key] = quantity + entry.quantity, cost + entry.cost
    lines = []
    for (meter_id, rate_id, dimensions), (quantity, cost) in sums.items():
        meter, rate = costed.meters.get(meter_id or 0), rates[rate_id]
        values = ", ".join(f"{name} {value or '(none)'}" for name, value in dimensions)
        label = meter.label if meter else "Fixed cost"
        lines.append(
            {
                "what": f"{label}: {values}" if values else label,
                "label": rate.label if rate else "",
                "rate": rate,
                "quantity": "" if meter is None else quantity_in_words(quantity, meter.unit),
                "rated": rate_words(rate, dict(dimensions)) if rate else "",
                "cost": cost_words(cost, costed.currency),
                "exact": exact_decimal(cost),
                "sort": -cost,
            }
        )
    return sorted(lines, key=lambda line: (line["sort"], line["what"]))


def rate_words(rate: CostRate, dimensions: Mapping[str, str] | None = None) -> str:
    """Say what a cost rate costs; with `dimensions`, only what it costs for these values."""
    if rate.kind == CostRateKind.FIXED:
        assert rate.amount is not None  # held by costrate_meter_or_workload
        return f"{cost_words(Fraction(rate.amount), rate.currency)} each month, by usage"
    try:
        terms = parse_rate(rate.terms)
    except TermsError as refused:
        return f"Not usable: {refused.message}"
    assert isinstance(terms, UsageRate)  # add_cost_rate wrote them
    if dimensions and terms.rows and (index := terms.row_index(dimensions)) is not None:
        row = {name: value for name, value in rate.terms["rows"][index].items() if name != "match"}
        whole = {name: value for name, value in rate.terms.items() if name not in ROW_FIELDS}
        try:
            terms = parse_rate(whole | row)
        except TermsError:
            terms = parse_rate(rate.terms)
    unit = "unit" if rate.meter is None else rate.meter.unit or "unit"
    return describe(terms, rate.currency, unit=(unit, plural(unit)))
