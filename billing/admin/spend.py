"""What internal work costs: spend by anything, and a workload's month as a statement. Customers never see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.cost_words import (
    Time,
    change_words,
    cost_words,
    percent_words,
    quantity_in_words,
    read_time,
    times_offered,
)
from billing.admin.csv_files import csv_response
from billing.cost_entries import Costed, CostEntry, cost_entries, currency_of_costs
from billing.costing import GROUPS, CostReport, check_groups, exact_decimal, group_costs, group_reader
from billing.errors import CostsUnclear
from billing.focus import FOCUS_COLUMNS, focus_rows
from billing.formatting import plural
from billing.models import CostRate, CostRateKind
from billing.months import Month
from billing.rating import TermsError, UsageRate, describe, parse_rate
from billing.sharing import ZERO
from customers.models import Customer
from customers.staff_pages import bar_chart, require
from metering.models import Meter, MeterStatus, Workload

MAX_ROWS = 500
FILTERS = ("workload", "meter", "customer")
ROW_FIELDS = ("rows", "dimensions", "tiers_apply", "unmatched")
# Where a row leads: the same time by the next group, kept to this row.
NEXT = {"workload": "meter", "meter": "customer", "customer": "subject", "day": "workload"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page of spend shows. `kept` are filters by the name of a group; '' keeps what is unassigned."""

    time: Time
    group_by: str
    kept: Mapping[str, str]
    currency: str

    def query(self, **changes: str) -> str:
        return urlencode(
            {
                "time": self.time.value,
                "group_by": self.group_by,
                "currency": self.currency,
                **self.kept,
                **changes,
            }
        )


class SpendPages:
    """Pages of an admin, below its list: spend, statements and exports."""

    page: Any
    admin_site: Any

    def spend_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("spend/", wrap(self.spend_view), name="billing_costs_spend"),
            path("focus/", wrap(self.focus_view), name="billing_costs_focus"),
            path("<int:pk>/month/<str:month>/", wrap(self.statement_view), name="billing_costs_statement"),
        ]

    def spend_view(self, request: HttpRequest) -> HttpResponseBase:
        """Show what was spent by one group, against the time before, with what is unknown."""
        require(request, "billing.view_costrate")
        asked = _asked(request)
        entries_by = {asked.group_by, "day", *asked.kept}
        costed = cost_entries(asked.time.start, asked.time.end, group_by=entries_by, currency=asked.currency)
        found = group_costs(costed, [asked.group_by], only=_keeps(asked, costed))
        earlier = cost_entries(
            *asked.time.before, group_by={asked.group_by, *asked.kept}, currency=asked.currency
        )
        before = group_costs(earlier, [asked.group_by], only=_keeps(asked, earlier))
        if request.GET.get("format") == "csv":
            name = f"costs-{asked.time.value}-by-{asked.group_by}.csv"
            return csv_response(name, (asked.group_by, "quantity", "cost", "currency"), _csv(found))
        by_day = group_costs(costed, ["day"], only=_keeps(asked, costed))
        days = sorted((values[0][8:], exact_decimal(group.cost)) for values, group in by_day.groups.items())
        return self.page(
            request,
            "admin/billing/costs/spend.html",
            title="Spend",
            asked=asked,
            found=found,
            rows=_rows(asked, found, before),
            left_out=max(len(found.groups) - MAX_ROWS, 0),
            total=cost_words(found.total, asked.currency),
            before_total=cost_words(before.total, asked.currency),
            change=change_words(found.total, before.total),
            chart=bar_chart(days, label=f"Cost by day, {asked.currency}", ticks=12),
            unknown=unknown_rows(found),
            times=times_offered(timezone.now()),
            groups=_groups(),
            csv=f"?{asked.query(format='csv')}",
            kept=[(name, value or "unassigned", _without(asked, name)) for name, value in asked.kept.items()],
        )

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
            earlier=reverse("admin:billing_costs_statement", args=[pk, wanted.previous]),
            later=reverse("admin:billing_costs_statement", args=[pk, later])
            if later.first <= now.date()
            else "",
        )

    def focus_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the cost of a time as CSV with the column names of FOCUS."""
        require(request, "billing.view_costrate")
        time = read_time(request.GET.get("time", ""), timezone.now())
        rows = focus_rows(time.start, time.end, currency=currency_of_page(request))
        return csv_response(f"focus-{time.value}.csv", FOCUS_COLUMNS, rows)


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


def _asked(request: HttpRequest) -> Asked:
    """Read what is asked for; what makes no sense is left out, so that every address shows a page."""
    given = {name: request.GET[name].replace("\x00", "") for name in request.GET}
    group_by = given.get("group_by", "workload")
    try:
        check_groups([group_by])
    except CostsUnclear:
        group_by = "workload"
    kept = {name: given[name] for name in FILTERS if name in given}
    return Asked(read_time(given.get("time", ""), timezone.now()), group_by, kept, currency_of_page(request))


def _keeps(asked: Asked, costed: Costed) -> Any:
    read = group_reader(costed, costed.entries, list(asked.kept))
    wanted = tuple(asked.kept.values())
    return lambda entry: read(entry) == wanted


def _without(asked: Asked, name: str) -> str:
    kept = {each: value for each, value in asked.kept.items() if each != name}
    return f"?{Asked(asked.time, asked.group_by, kept, asked.currency).query()}"


def _groups() -> list[tuple[str, str]]:
    declared = {
        name
        for names in Meter.objects.exclude(status=MeterStatus.DRAFT).values_list("dimensions", flat=True)
        for name in names
    }
    return [(name, name.capitalize()) for name in GROUPS] + [
        (name, name) for name in sorted(declared - set(GROUPS))
    ]


def _rows(asked: Asked, found: CostReport, before: CostReport) -> list[dict[str, Any]]:
    labels = _labels(asked.group_by)
    units = dict(Meter.objects.values_list("pk", "unit"))
    rows: list[dict[str, Any]] = []
    parts = [(values[0], group.cost, group) for values, group in found.groups.items()][:MAX_ROWS]
    unassigned = [("", found.unassigned, None)] if found.unassigned or before.unassigned else []
    for value, cost, group in [*parts, *unassigned]:
        earlier = (
            before.groups[value,].cost if (value,) in before.groups else ZERO if value else before.unassigned
        )
        unit = units[next(iter(group.meters))] if group is not None and len(group.meters) == 1 else ""
        rows.append(
            {
                "value": value,
                "name": labels.get(value, value) or "Unassigned",
                "url": _leads_to(asked, value),
                "cost": cost_words(cost, asked.currency),
                "quantity": quantity_in_words(group.quantity, unit) if group is not None else "",
                "share": percent_words(cost * 100 / found.total if found.total else None, digits=1),
                "width": int(max(cost, ZERO) * 100 / found.total) if found.total > 0 else 0,
                "before": cost_words(earlier, asked.currency),
                "change": change_words(cost, earlier),
            }
        )
    return rows


def _labels(group_by: str) -> dict[str, str]:
    match group_by:
        case "workload":
            return dict(Workload.objects.values_list("code", "name"))
        case "meter":
            return dict(Meter.objects.values_list("code", "label"))
        case "customer":
            return dict(Customer.objects.values_list("code", "name"))
    return {}


def _leads_to(asked: Asked, value: str) -> str:
    if asked.group_by == "subject":
        return f"{reverse('admin:metering_event_changelist')}?{urlencode({'q': value})}" if value else ""
    if asked.group_by in NEXT and asked.group_by in FILTERS:
        following = NEXT[asked.group_by]
        while following in asked.kept:
            following = NEXT.get(following, "day")
        return f"?{asked.query(group_by=following, **{asked.group_by: value})}"
    return f"?{asked.query(group_by='workload')}"


def _csv(found: CostReport) -> Iterator[list[object]]:
    for values, group in found.groups.items():
        quantity = None if group.quantity is None else exact_decimal(group.quantity)
        yield [values[0], quantity, exact_decimal(group.cost), found.currency]
    if found.unassigned:
        yield ["", None, exact_decimal(found.unassigned), found.currency]


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
