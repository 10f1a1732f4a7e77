"""Late and corrected usage of closed periods: what it comes to, the events that caused it, bill or waive."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Abs
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.csv_files import csv_response
from billing.deciding import MAX_REASON, bill_late_usage, find_late_usage, waive_late_usage
from billing.errors import BillingError
from billing.formatting import money, quantity_of
from billing.formatting import period as days_words
from billing.late_credits import credit_late_usage
from billing.late_states import state_of, waiting
from billing.models import AdjustmentWaiver, ChangedLine
from customers.staff_pages import ReadOnlyAdmin, require
from metering.changes import changed_events
from metering.periods import Period

ROWS_SHOWN = 50
EVENTS_SHOWN = 50
WAIVERS_SHOWN = 20
# Who may decide anything here: bill, waive, or write a credit note.
DECIDE = ("billing.bill_late_usage", "billing.waive_late_usage", "billing.correct_invoice")
SIGNS = (("", "Either way"), ("bill", "To bill"), ("return", "To pay back"), ("none", "No difference"))
STATES = (("", "Everything"), ("waiting", "Waiting for a decision"))
COLUMNS = (
    "customer_code", "customer", "invoice", "period_start", "period_end", "line", "quantity", "unit", "amount",
    "currency", "state",
)  # fmt: skip


class AskForm(forms.Form):
    """Which late usage to list."""

    q = forms.CharField(
        label="Customer",
        required=False,
        widget=UnfoldAdminTextInputWidget({"placeholder": "name, code or invoice"}),
    )
    sign = forms.ChoiceField(
        label="Direction", choices=SIGNS, required=False, widget=UnfoldAdminSelectWidget({"data-submit": ""})
    )
    least = forms.DecimalField(
        label="At least",
        required=False,
        min_value=0,
        max_digits=18,
        widget=UnfoldAdminTextInputWidget({"placeholder": "0.00", "inputmode": "decimal"}),
    )
    state = forms.ChoiceField(
        choices=STATES, required=False, widget=UnfoldAdminSelectWidget({"data-submit": ""})
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.full_clean()

    def rows(self) -> QuerySet[ChangedLine]:
        """Give the lines asked for, the largest difference first; a wrong filter is shown and left out."""
        rows = ChangedLine.objects.select_related("line__invoice__customer", "line__meter", "decided_by")
        if word := self.cleaned_data.get("q"):
            rows = rows.filter(
                Q(line__invoice__customer__name__icontains=word)
                | Q(line__invoice__customer__code__icontains=word)
                | Q(line__invoice__number__icontains=word)
            )
        match self.cleaned_data.get("sign"):
            case "bill":
                rows = rows.filter(effect_amount__gt=0)
            case "return":
                rows = rows.filter(effect_amount__lt=0)
            case "none":
                rows = rows.filter(effect_amount=0)
        if least := self.cleaned_data.get("least"):
            rows = rows.filter(Q(effect_amount__gte=least) | Q(effect_amount__lte=-least))
        if self.cleaned_data.get("state") == "waiting":
            rows = rows.filter(waiting())
        return rows.order_by(Abs("effect_amount").desc(nulls_first=True), "pk")


class ReasonForm(forms.Form):
    """Why a difference is waived, or paid back at once."""

    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=UnfoldAdminTextInputWidget({"placeholder": "Agreed with the customer on the phone"}),
        help_text="It is kept with your name, and printed on a credit note. The invoice stays as it is; what changes "
        "later is listed again.",
        error_messages={"required": "Say in a sentence why."},
    )


@admin.register(ChangedLine)
class LateUsageAdmin(ReadOnlyAdmin):
    """Its list is one page with its decisions; a line leads to the events that caused it."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.list_view), name="billing_changedline_changelist"),
            path("export.csv", wrap(self.export_view), name="billing_changedline_export"),
            path("<int:pk>/", wrap(self.events_view), name="billing_changedline_change"),
        ]

    def list_view(self, request: HttpRequest) -> HttpResponse:
        """Show late usage; with POST and the permission, look again, bill or waive what is ticked."""
        require(request, "billing.view_changedline")
        ask = AskForm(request.GET)
        form = ReasonForm(request.POST if {"waive", "credit"} & request.POST.keys() else None)
        if request.method == "POST" and self._decide(request, form):
            return redirect(request.get_full_path())
        page = Paginator(ask.rows(), ROWS_SHOWN).get_page(request.GET.get("page"))
        limit = settings.ADJUSTMENT_REVIEW_FROM
        return self.page(
            request, "admin/billing/changedline/list.html", title="Late usage", ask=ask, form=form, page=page,
            rows=[_row(each) for each in page.object_list], totals=_totals(ask.rows()), limit=limit,
            waiting=0 if limit is None else ChangedLine.objects.filter(waiting()).count(),
            query=urlencode({name: value for name, value in ask.cleaned_data.items() if value}),
            ticked=set(request.POST.getlist("line")), decides=any(request.user.has_perm(each) for each in DECIDE),
            waivers=[_waiver(each) for each in _waivers()],
        )  # fmt: skip

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        require(request, "billing.view_changedline")
        rows = AskForm(request.GET).rows()
        return csv_response("late-usage.csv", COLUMNS, (_csv_row(row) for row in rows.iterator(1000)))

    def events_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the events that changed a line after its invoice."""
        require(request, "billing.view_changedline", "metering.view_event")
        change = get_object_or_404(
            ChangedLine.objects.select_related("line__invoice__customer", "line__meter"), pk=pk
        )
        line = change.line
        period = Period(line.period_start, line.period_end, line.invoice.zone)
        assert line.meter_id is not None  # only usage lines are flagged
        events = changed_events(
            customer_id=line.invoice.customer_id, meter_id=line.meter_id, start=period.start, end=period.end,
            after=line.invoice.watermark,
        )  # fmt: skip
        page = Paginator(events, EVENTS_SHOWN).get_page(request.GET.get("page"))
        return self.page(
            request, "admin/billing/changedline/events.html", row=_row(change), page=page,
            title=f"What changed of {line.description}, {line.invoice.number}",
        )  # fmt: skip

    def _decide(self, request: HttpRequest, form: ReasonForm) -> bool:
        """Do what was asked for; False when the form has to be shown again."""
        assert isinstance(request.user, User)  # the admin lets nobody else in
        now = timezone.now()
        if not any(request.user.has_perm(each) for each in DECIDE):
            raise PermissionDenied
        if "look" in request.POST:
            require(request, "billing.bill_late_usage")
            found = find_late_usage(now=now)
            messages.success(request, f"{found} line{'' if found == 1 else 's'} changed since the last look.")
            return True
        shown = _shown(request.POST.getlist("line"))
        if not shown:
            messages.error(request, "Tick at least one line whose amount is computed.")
            return True
        if "bill" in request.POST:
            require(request, "billing.bill_late_usage")
            count = bill_late_usage(shown, by=request.user, now=now)
            messages.success(request, f"{count} line{' goes' if count == 1 else 's go'} on the next invoice.")
            return True
        pays_back = "credit" in request.POST
        require(request, "billing.correct_invoice" if pays_back else "billing.waive_late_usage")
        if not form.is_valid():
            return False
        reason = form.cleaned_data["reason"]
        try:
            if pays_back:
                notes = credit_late_usage(shown, reason=reason, by=request.user, now=now)
                said = f"Paid back by {', '.join(str(note.number) for note in notes)}."
            else:
                waive_late_usage(shown, reason=reason, by=request.user, now=now)
                said = f"{len(shown)} line{'' if len(shown) == 1 else 's'} waived."
        except BillingError as refused:
            messages.error(request, refused.message)
            return True
        messages.success(request, said)
        return True


def _shown(ticked: list[str]) -> dict[int, Decimal]:
    """Read what was ticked: the changed line and the amount that was shown, such as `17:8.0000`."""
    shown: dict[int, Decimal] = {}
    for each in ticked:
        pk, _, amount = each.partition(":")
        if pk.isascii() and pk.isdigit() and _is_amount(amount):
            shown[int(pk)] = Decimal(amount)
    return shown


def _is_amount(text: str) -> bool:
    digits = text.removeprefix("-").replace(".", "", 1)
    return len(text) < 40 and digits.isascii() and digits.isdigit()


def _row(change: ChangedLine) -> dict[str, Any]:
    line = change.line
    invoice = line.invoice
    return {
        "change": change,
        "invoice": invoice,
        "line": line,
        "days": days_words(line.period_start, line.period_end),
        "quantity": None
        if change.effect_quantity is None
        else quantity_of(change.effect_quantity, line.unit),
        "amount": None if change.effect_amount is None else money(change.effect_amount, invoice.currency),
        "key": "" if change.effect_amount is None else f"{change.pk}:{change.effect_amount:f}",
        "state": state_of(change).label,
    }


def _totals(rows: QuerySet[ChangedLine]) -> list[dict[str, str]]:
    sums = (
        rows.order_by()
        .values("line__invoice__currency")
        .annotate(
            more=Sum("effect_amount", filter=Q(effect_amount__gt=0)),
            less=Sum("effect_amount", filter=Q(effect_amount__lt=0)),
        )
        .order_by("line__invoice__currency")
    )
    return [
        {
            "bill": money(each["more"] or Decimal(0), each["line__invoice__currency"]),
            "back": money(each["less"] or Decimal(0), each["line__invoice__currency"]),
        }
        for each in sums
    ]


def _waivers() -> QuerySet[AdjustmentWaiver]:
    rows = AdjustmentWaiver.objects.select_related("line__invoice__customer", "waived_by", "credit_note")
    return rows.order_by("-waived_at", "-pk")[:WAIVERS_SHOWN]


def _waiver(waiver: AdjustmentWaiver) -> dict[str, Any]:
    return {
        "waiver": waiver,
        "invoice": waiver.line.invoice,
        "amount": money(waiver.amount, waiver.line.invoice.currency),
        "url": reverse("admin:billing_invoice_change", args=[waiver.line.invoice_id]),
        "part": "minimum, included spend, service fee" if waiver.adjusts_plan else waiver.line.description,
        "note": None
        if waiver.credit_note is None
        else {
            "number": waiver.credit_note.number,
            "url": reverse("admin:billing_creditnote_change", args=[waiver.credit_note_id]),
        },
    }


def _csv_row(change: ChangedLine) -> list[object]:
    line = change.line
    invoice = line.invoice
    return [
        invoice.customer.code, invoice.customer.name, invoice.number, line.period_start, line.period_end,
        line.description, change.effect_quantity, line.unit, change.effect_amount, invoice.currency,
        state_of(change).label,
    ]  # fmt: skip
