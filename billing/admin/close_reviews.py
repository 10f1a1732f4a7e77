"""Unusual invoices of a month, the worst first, and letting those that are held go with a reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.csv_files import csv_response
from billing.errors import ReasonMissing
from billing.findings import Finding, sentence
from billing.formatting import money
from billing.holding import MAX_REASON, approve
from billing.models import CloseReview, FindingKind, Invoice, InvoiceStatus
from billing.months import Month
from customers.staff_pages import ReadOnlyAdmin, require, say_next

ROWS_SHOWN = 50
STATES = (("held", "Held for approval"), ("approved", "Approved"), ("all", "Everything unusual"))
COLUMNS = (
    "month", "customer_code", "customer", "state", "findings", "largest_difference", "currency", "approved_by",
    "reason",
)  # fmt: skip


class AskForm(forms.Form):
    """Which findings to list."""

    month = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget({"data-submit": ""}))
    state = forms.ChoiceField(
        choices=STATES, required=False, initial="held", widget=UnfoldAdminSelectWidget({"data-submit": ""})
    )
    kind = forms.ChoiceField(
        choices=[("", "Of every kind"), *FindingKind.choices],
        required=False,
        widget=UnfoldAdminSelectWidget({"data-submit": ""}),
    )
    q = forms.CharField(
        label="Customer", required=False, widget=UnfoldAdminTextInputWidget({"placeholder": "name or code"})
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        firsts = CloseReview.objects.order_by("-month").values_list("month", flat=True).distinct()
        self.months = [Month.of(first) for first in firsts]
        choice: Any = self.fields["month"]
        choice.choices = [(str(month), month.name) for month in self.months]
        self.full_clean()

    @property
    def month_asked(self) -> Month | None:
        """Give the month chosen, else the last one with something unusual; None where nothing ever was."""
        text = self.cleaned_data.get("month")
        return Month.parse(text) if text else next(iter(self.months), None)

    @property
    def state_asked(self) -> str:
        return self.cleaned_data.get("state") or "held"

    def rows(self) -> QuerySet[CloseReview]:
        """Give the reviews asked for, the worst first. What cannot be chosen is left out of the question."""
        month = self.month_asked
        rows = CloseReview.objects.select_related("customer", "approved_by")
        if month is None:
            return rows.none()
        rows = rows.filter(month=month.first)
        if self.state_asked == "held":
            rows = rows.filter(held=True)
        elif self.state_asked == "approved":
            rows = rows.exclude(approved_at=None)
        if kind := self.cleaned_data.get("kind"):
            rows = rows.filter(kinds__contains=[kind])
        if word := self.cleaned_data.get("q"):
            rows = rows.filter(Q(customer__name__icontains=word) | Q(customer__code__icontains=word))
        return rows.order_by("-held", "-weight", "id")


class ApproveForm(forms.Form):
    """Why the invoices are right."""

    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=UnfoldAdminTextInputWidget({"placeholder": "Their campaign in October, confirmed by Ann"}),
        help_text="It is kept with your name. One that changes a lot afterwards is held again.",
        error_messages={"required": "Say in a sentence why these are right."},
    )


@admin.register(CloseReview)
class CloseReviewAdmin(ReadOnlyAdmin):
    """Its list is one page: filters, findings in sentences, and approval of many at once."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.list_view), name="billing_closereview_changelist"),
            path("export.csv", wrap(self.export_view), name="billing_closereview_export"),
        ]

    def list_view(self, request: HttpRequest) -> HttpResponse:
        """Show what is unusual; with POST and the permission, approve what is ticked."""
        require(request, "billing.view_closereview")
        ask = AskForm(request.GET)
        form = ApproveForm(request.POST or None)
        ticked: list[int] = []
        if request.method == "POST":
            require(request, "billing.approve_invoices")
            ticked = [int(pk) for pk in request.POST.getlist("review") if pk.isascii() and pk.isdigit()]
            if not ticked:
                form.add_error(None, "Tick at least one customer.")
            if form.is_valid() and self._approve(request, form, ticked):
                return redirect(request.get_full_path())
        page = Paginator(ask.rows(), ROWS_SHOWN).get_page(request.GET.get("page"))
        month = ask.month_asked
        return self.page(
            request, "admin/billing/closereview/list.html", title="Unusual invoices",
            ask=ask, form=form, month=month, page=page, rows=[_row(each) for each in page.object_list],
            ticked=ticked, counts=_counts(month), query=_query(ask), held_drafts=_held_drafts(month),
            state=ask.state_asked,
        )  # fmt: skip

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        require(request, "billing.view_closereview")
        rows = AskForm(request.GET).rows()
        return csv_response("unusual-invoices.csv", COLUMNS, (_csv_row(row) for row in rows.iterator(1000)))

    def _approve(self, request: HttpRequest, form: ApproveForm, ticked: Iterable[int]) -> bool:
        assert isinstance(request.user, User)  # the admin lets nobody else in
        try:
            count = approve(
                list(ticked), reason=form.cleaned_data["reason"], by=request.user, now=timezone.now()
            )
        except ReasonMissing as refused:
            form.add_error("reason", refused.message)
            return False
        if not count:
            messages.warning(request, "Nothing was held any more: somebody else was quicker.")
            return True
        month = AskForm(request.GET).month_asked
        messages.success(request, f"{count} customer{'' if count == 1 else 's'} approved.")
        say_next(
            request,
            "Close the month again to issue their invoices.",
            url=f"{reverse('admin:billing_invoice_close')}?month={month}",
            text=f"Close {month.name if month else 'the month'}",
        )
        return True


def _row(review: CloseReview) -> dict[str, Any]:
    findings = [Finding.from_json(each) for each in review.findings]
    return {
        "review": review,
        "findings": [
            {
                "label": FindingKind(found.kind).label,
                "holds": found.holds,
                "sentence": sentence(found, review.currency),
            }
            for found in findings
        ],
        "weight": money(review.weight, review.currency),
    }


def _csv_row(review: CloseReview) -> list[object]:
    said = [sentence(Finding.from_json(each), review.currency) for each in review.findings]
    state = "held" if review.held else "approved" if review.approved_at else "unusual"
    by = review.approved_by.get_username() if review.approved_by else ""
    return [
        review.month, review.customer.code, review.customer.name, state, "; ".join(said), review.weight,
        review.currency, by, review.reason,
    ]  # fmt: skip


def _counts(month: Month | None) -> dict[str, int]:
    if month is None:
        return {"held": 0, "approved": 0, "all": 0}
    return CloseReview.objects.filter(month=month.first).aggregate(
        held=Count("id", filter=Q(held=True)),
        approved=Count("id", filter=Q(approved_at__isnull=False)),
        all=Count("id"),
    )


def _held_drafts(month: Month | None) -> int:
    """Count approved customers whose invoices are still drafts: a close issues them."""
    if month is None:
        return 0
    approved = CloseReview.objects.filter(month=month.first, held=False).exclude(approved_at=None)
    return Invoice.objects.filter(
        customer__in=approved.values("customer"),
        status=InvoiceStatus.DRAFT,
        period_end__gt=month.first,
        period_end__lte=month.following,
        issue_after__lte=timezone.now(),
    ).count()


def _query(ask: AskForm) -> str:
    return urlencode({name: value for name, value in ask.cleaned_data.items() if value})
