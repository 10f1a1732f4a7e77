"""The page of quality: how many outcomes hold, by month and by what they have in common, and as a file."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget

from customers.customer_field import CustomerField
from customers.models import Customer
from customers.spreadsheets import csv_cell
from customers.staff_pages import StaffAdmin, require
from metering.models import Meter, WorkloadName
from metering.periods import Anchor, Interval
from metering.quality import Quality, QualityReport, outcome_quality

MONTHS = 12
SHOWN = 50
# No code begins like this.
THEMSELVES = "-"
FIXED = {"workload": "workload", "customer": "customer", "source": "source"}
COLUMNS = (
    "outcomes", "attempted", "settled", "reversed", "pending", "repeated", "unproven", "resolution rate %",
    "reversal rate %", "median hours to settle", "90 % settled within hours",
)  # fmt: skip


class QualityForm(forms.Form):
    """Which outcomes, and by what."""

    meter = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget, label="Outcomes")
    group_by = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget, label="By")
    customer = CustomerField()
    attempts = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget, label="Attempts are")

    def __init__(self, *args: Any, meters: list[Meter], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        outcome_meters = [meter for meter in meters if meter.is_outcome]
        fields["meter"].choices = [(meter.code, meter.label) for meter in outcome_meters]
        names = sorted({name for meter in outcome_meters for name in meter.dimensions})
        fields["group_by"].choices = [*FIXED.items(), *((f"dimension:{name}", name) for name in names)]
        fields["attempts"].choices = [
            ("", "as set on the meter"),
            (THEMSELVES, "the outcomes themselves"),
            *((meter.code, f"events of {meter.label}") for meter in meters),
        ]


class QualityPages(StaffAdmin):
    """Adds the page of quality to the admin of outcomes."""

    def quality_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [path("quality/", wrap(self.quality_view), name="billing_outcome_quality")]

    def quality_view(self, request: HttpRequest) -> HttpResponse:
        """Show twelve months of an outcome meter; `?format=csv` gives the file."""
        require(request, "billing.view_outcome")
        now = timezone.now()
        meters = list(Meter.objects.select_related("attempts_meter").order_by("label", "code"))
        form = QualityForm(request.GET or None, meters=meters)
        is_valid = not form.is_bound or form.is_valid()
        asked: dict[str, Any] = form.cleaned_data if form.is_bound and is_valid else {}
        outcome_meters = [each for each in meters if each.is_outcome]
        wanted = asked.get("meter")
        meter = next((each for each in outcome_meters if not wanted or each.code == wanted), None)
        context: dict[str, Any] = {
            "title": "Quality of outcomes", "form": form, "has_meters": bool(outcome_meters), "meter": meter,
            "purpose": "How many results hold, because what you earn moves with it. A month is that in which a result "
            "happened, in the time zone of its customer, as on invoices; what is pending is decided later.",
        }  # fmt: skip
        template = "admin/billing/outcome/quality.html"
        if meter is None or not is_valid:
            return self.page(request, template, **context)
        group_by = asked.get("group_by") or "workload"
        since = _first_month(now)
        attempts = _attempts_of(meter, asked.get("attempts", ""), meters)
        report = outcome_quality(
            meter,
            since=since,
            end=now + timedelta(days=1),
            now=now,
            group_by=group_by,
            customer_id=asked["customer"].pk if asked.get("customer") else None,
            attempts=attempts,
        )
        if request.GET.get("format") == "csv":
            return _file(report, meter, group_by)
        months = _every_month(report, since, now)
        labels = _labels(group_by)
        nothing = "No workload" if group_by == "workload" else "Not given"
        query = {name: value for name, value in request.GET.items() if value and name != "format"}
        return self.page(
            request, template, **context, whole=_row("", report.whole), by=group_by.removeprefix("dimension:"),
            rows=[_row(labels.get(name, name) or nothing, each) for name, each in list(report.groups.items())[:SHOWN]],
            left_out=max(len(report.groups) - SHOWN, 0),
            months=[_row(name, each) for name, each in months if each.outcomes or each.attempted],
            rates=_rates_chart(months), counts=_counts_chart(months),
            attempts=attempts, attempts_set=bool(asked.get("attempts")),
            file="?" + urlencode(query | {"format": "csv"}),
        )  # fmt: skip


def _attempts_of(meter: Meter, asked: str, meters: list[Meter]) -> Meter | None:
    """Give whose events are attempts: as asked for, else as the meter says; None for the outcomes themselves."""
    if asked:
        return next((each for each in meters if each.code == asked), None)
    return meter.attempts_meter


def _labels(group_by: str) -> dict[str, str]:
    """Give the names of what is known by a code; with the code where several have one name."""
    if group_by == "workload":
        pairs = list(WorkloadName.objects.exclude(workload=None).values_list("name", "workload__name"))
    elif group_by == "customer":
        pairs = list(Customer.objects.values_list("code", "name"))
    else:
        pairs = []
    times = Counter(name for _, name in pairs)
    return {code: name if times[name] == 1 else f"{name} ({code})" for code, name in pairs}


def _first_month(now: datetime) -> date:
    return Anchor(now.year, now.month, 1).boundary(Interval.MONTH, 1 - MONTHS)


def _every_month(report: QualityReport, since: date, now: datetime) -> list[tuple[str, Quality]]:
    """Give all months, also those without outcomes. Where a customer's clock is ahead, the next may have begun."""
    last = max([now.date(), *report.months])
    months = []
    at = since
    while at <= last:
        months.append((f"{at:%b %Y}", report.months.get(at, Quality())))
        at = (at + timedelta(days=32)).replace(day=1)
    return months


def _percent(share: Fraction | None, digits: int = 1) -> str:
    return "" if share is None else f"{float(share * 100):.{digits}f}"


def _hours(time: timedelta | None) -> str:
    return "" if time is None else f"{Fraction(time // timedelta(minutes=1), 60).__float__():.1f}"


def _row(name: str, each: Quality) -> dict[str, Any]:
    return {
        "name": name,
        "quality": each,
        "resolution": _percent(each.resolution_rate),
        "reversal": _percent(each.reversal_rate),
        "median": _hours(each.median),
        "most": _hours(each.most),
    }


def _rates_chart(months: list[tuple[str, Quality]]) -> str:
    """Give the lines of both rates; a month without any has no point. Only pixels may make a float of a share."""
    if not any(each.outcomes for _, each in months):
        return ""

    def points(name: str) -> list[float | None]:
        shares: list[Fraction | None] = [getattr(each, name) for _, each in months]
        return [None if share is None else float(share * 100) for share in shares]

    lines = (
        ("Resolution rate in %", "resolution_rate", "var(--color-primary-600)"),
        ("Reversal rate in %", "reversal_rate", "#d97706"),
    )
    return json.dumps(
        {
            "labels": [name for name, _ in months],
            "datasets": [
                {
                    "label": label, "data": points(name), "borderColor": colour, "backgroundColor": colour,
                    "displayYAxis": True, "maxTicksXLimit": MONTHS, "spanGaps": True,
                    "pointStyle": "circle", "pointRadius": 3,  # a single month has no line, only its point
                }
                for label, name, colour in lines
            ],
        }
    )  # fmt: skip


def _counts_chart(months: list[tuple[str, Quality]]) -> str:
    if not any(each.outcomes for _, each in months):
        return ""
    bars = (
        ("Settled", "settled", "var(--color-primary-600)"),
        ("Reversed", "reversed", "#d97706"),
        ("Pending", "pending", "var(--color-base-400)"),
    )
    return json.dumps(
        {
            "labels": [name for name, _ in months],
            "datasets": [
                {
                    "label": label, "data": [getattr(each, name) for _, each in months], "backgroundColor": colour,
                    "displayYAxis": True, "maxTicksXLimit": MONTHS, "stack": "all",
                    "maxBarThickness": 22, "borderRadius": 0,
                }
                for label, name, colour in bars
            ],
        }
    )  # fmt: skip


def _file(report: QualityReport, meter: Meter, group_by: str) -> HttpResponse:
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="quality-{meter.code}.csv"'
    writer = csv.writer(answer)
    writer.writerow(["what", group_by.removeprefix("dimension:"), *COLUMNS])
    parts = [
        *(("month", f"{at:%Y-%m}", each) for at, each in report.months.items()),
        *(("group", name, each) for name, each in report.groups.items()),
        ("all", "", report.whole),
    ]
    for what, name, each in parts:
        figures = (
            each.outcomes, each.attempted, each.settled, each.reversed, each.pending, each.repeated, each.unproven,
            _percent(each.resolution_rate, 2), _percent(each.reversal_rate, 2), _hours(each.median), _hours(each.most),
        )  # fmt: skip
        writer.writerow([what, csv_cell(name), *figures])
    return answer
