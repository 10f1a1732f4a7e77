"""Closing a month from the admin: a dry run first, with its warnings, then the close itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanWidget

from billing.admin.seller import unnamed_seller
from billing.close_reports import ChunkResult, CloseReport
from billing.closing import close_period, count_subscriptions, uninvoiced_before
from billing.drafts import AnyDraft, DuePeriod
from billing.errors import PeriodNotOver
from billing.findings import sentence
from billing.formatting import money
from billing.formatting import period as days_words
from billing.holding import Review
from billing.models import CloseRun, Subscription
from billing.months import Month

MONTHS_OFFERED = 24
ROWS_SHOWN = 200
UNUSUAL_SHOWN = 20
# A dry run of so many subscriptions is computed while the page loads; of more by the worker.
SHOWN_AT_ONCE = 2_000
# So many are closed before the page answers; the worker closes more, with its progress shown.
CLOSED_AT_ONCE = 500


class CloseForm(forms.Form):
    """Which month, and whether to skip the grace days."""

    month = forms.ChoiceField(widget=UnfoldAdminSelectWidget({"data-submit": ""}))
    issue_now = forms.BooleanField(
        label="Issue at once, without the grace days",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Grace days let late events still arrive. Issued invoices never change.",
    )

    sure = forms.BooleanField(
        label="I have looked at the figures above.",
        widget=UnfoldBooleanWidget,
        error_messages={"required": "Look at the figures and tick the box first."},
    )

    def __init__(self, data: Any = None, *, now: datetime, shown: str = "") -> None:
        """`shown` is the month to show before anything was sent; one that cannot be chosen gives the last month."""
        months = months_over(now)
        looks = data is not None and "look" in data
        known = shown if shown in map(str, months) else str(months[0])
        super().__init__(data, initial={"month": known})
        self.fields["sure"].required = not looks
        choice: Any = self.fields["month"]
        choice.choices = [(str(month), month.name) for month in months]

    @property
    def chosen(self) -> Month:
        if self.is_bound and "month" not in self.errors:
            return Month.parse(self.cleaned_data["month"])
        return Month.parse(self.initial["month"])

    @property
    def grace_days(self) -> int:
        return 0 if self.is_bound and self.cleaned_data["issue_now"] else settings.GRACE_DAYS


def months_over(now: datetime) -> list[Month]:
    """Give the calendar months that are over in UTC, the last one first."""
    today = now.astimezone(UTC).date()
    months = []
    year, month = today.year, today.month
    for _ in range(MONTHS_OFFERED):
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        months.append(Month(year, month))
    return months


def close_page(form: CloseForm, *, now: datetime) -> dict[str, Any]:
    """Give the dry run of the chosen month and what a person should know before closing it."""
    month = form.chosen
    earlier = uninvoiced_before(month)
    subscriptions = count_subscriptions(month)
    context: dict[str, Any] = {
        "form": form,
        "month": month,
        "grace_days": settings.GRACE_DAYS,
        "unnamed": unnamed_seller(),
        "subscriptions": subscriptions,
        "earlier": len(earlier),
        "earlier_months": _months(earlier),
        "no_subscriptions": not subscriptions and not Subscription.objects.exists(),
        "running": CloseRun.objects.filter(month=month.first, finished_at=None, dry_run=False).first(),
    }
    if subscriptions > SHOWN_AT_ONCE:
        return context | {"many": True}
    rows: list[dict[str, Any]] = []
    unusual: list[Review] = []

    def keep(chunk: ChunkResult, report: CloseReport) -> None:
        rows.extend(_row(draft) for draft in chunk.drafts[: ROWS_SHOWN - len(rows)])
        unusual.extend(chunk.reviews)

    try:
        report = close_period(month, now=now, grace_days=settings.GRACE_DAYS, dry_run=True, on_chunk=keep)
    except PeriodNotOver as refused:
        return context | {"refused": refused.message}
    return context | {
        "report": report,
        "totals": _totals(report),
        "rows": rows,
        "more": report.issued + report.drafted + report.held - len(rows),
        "failures": report.failures,
        "unusual": [_unusual(review) for review in sorted(unusual, key=_badness)[:UNUSUAL_SHOWN]],
        "unusual_count": len(unusual),
    }


def _totals(report: CloseReport) -> list[str]:
    return [money(amount, currency) for currency, amount in sorted(report.totals.items())]


def _row(draft: AnyDraft) -> dict[str, Any]:
    return {
        "customer": draft.customer,
        "plan": draft.title,
        "days": days_words(draft.period.start_on, draft.period.end_on),
        "total": money(draft.total, draft.currency),
        "zero": not draft.total,
    }


def _badness(review: Review) -> tuple[bool, Decimal]:
    return not review.held, -max(found.weight for found in review.findings)


def _unusual(review: Review) -> dict[str, Any]:
    return {
        "customer": review.customer,
        "held": review.held,
        "findings": [sentence(found, review.currency) for found in review.worst_first],
    }


def _months(earlier: list[DuePeriod]) -> list[Month]:
    """Give the months in which uninvoiced periods end, the oldest first."""
    last_days = [due.period.end_on for due in earlier]
    # A period that ends before the first of a month belongs to the month before.
    return sorted({Month.of(day) if day.day > 1 else Month.of(day).previous for day in last_days})
