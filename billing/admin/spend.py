"""What internal work costs, by anything. Customers never see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.cost_parts import MAX_ROWS, currency_of_page, unknown_rows
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
from billing.cost_entries import Costed, cost_entries
from billing.costing import GROUPS, CostReport, check_groups, exact_decimal, group_costs, group_reader
from billing.errors import CostsUnclear
from billing.focus import FOCUS_COLUMNS, focus_rows
from billing.sharing import ZERO
from customers.models import Customer
from customers.staff_pages import bar_chart, require
from metering.models import Meter, MeterStatus, Workload

FILTERS = ("workload", "meter", "customer")
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
    """Pages of an admin, below its list: spend and its exports."""

    page: Any
    admin_site: Any

    def spend_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("spend/", wrap(self.spend_view), name="billing_costs_spend"),
            path("focus/", wrap(self.focus_view), name="billing_costs_focus"),
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

    def focus_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the cost of a time as CSV with the column names of FOCUS."""
        require(request, "billing.view_costrate")
        time = read_time(request.GET.get("time", ""), timezone.now())
        rows = focus_rows(time.start, time.end, currency=currency_of_page(request))
        return csv_response(f"focus-{time.value}.csv", FOCUS_COLUMNS, rows)


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
    if asked.group_by == "subject" and value and asked.kept.get("customer"):
        named = urlencode({"customer": asked.kept["customer"], "subject": value})
        return f"{reverse('admin:billing_outcome_subject')}?{named}"
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
