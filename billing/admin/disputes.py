"""Disputes: the queue of what customers ask, each with its evidence and its effect on money, and the decision."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Case, F, QuerySet, When
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget

from billing.admin.csv_files import csv_response
from billing.admin.dispute_queue import (
    COLUMNS,
    AgeFilter,
    PlanFilter,
    age_words,
    csv_row,
    in_queue,
    waiting_sums,
)
from billing.admin.settling_forms import who_of
from billing.dispute_credits import preview_credit
from billing.dispute_effects import LineEffect, preview_effect, total
from billing.dispute_rules import MAX_TEXT
from billing.disputing import decide_dispute, reopen_dispute
from billing.errors import BillingError, DisputeRefused, FiguresChanged, NotInThisState
from billing.formatting import money
from billing.models import Dispute, DisputedOutcome, DisputedState, DisputeRemedy, DisputeState
from billing.subject_story import subject_story
from customers.staff_pages import ReadOnlyAdmin, link, put_errors, require

# Stories shown on the page of a dispute; the other outcomes lead to theirs.
MOST_STORIES = 10


class DecideForm(forms.Form):
    """What to accept and what to say. `expected` is the effect that was shown."""

    accepted = forms.TypedMultipleChoiceField(coerce=int, required=False)
    remedy = forms.ChoiceField(
        label="Give it back by",
        choices=DisputeRemedy.choices,
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
        initial=DisputeRemedy.CREDIT_NOTE,
    )
    answer = forms.CharField(
        max_length=MAX_TEXT,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="The customer reads it in the portal and by mail.",
    )
    expected = forms.DecimalField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, outcomes: Sequence[DisputedOutcome], *args: Any, may_credit: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["accepted"]
        choice.choices = [(each.pk, str(each)) for each in outcomes]
        if not may_credit:
            remedy: Any = self.fields["remedy"]
            remedy.choices = [each for each in DisputeRemedy.choices if each[0] == DisputeRemedy.ADJUSTMENT]
            remedy.initial = DisputeRemedy.ADJUSTMENT
            remedy.help_text = "Only a Billing admin writes credit notes."


class ReopenForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_TEXT,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="Why you look again. The customer reads it.",
    )


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    purpose = (
        "What customers say was billed and not really done. Open one to see the evidence and what accepting comes to, "
        "then answer. Those that wait stand first, the oldest on top."
    )
    empty_title = "No disputes"
    empty_text = "Customers open them in their portal, from the outcomes behind an invoice line."
    list_before_template = "admin/billing/dispute/list_head.html"
    list_display = (
        "number_link", "customer_name", "invoice_link", "outcomes_count", "opened", "waits", "stake", "given_back",
        "state_badge",
    )  # fmt: skip
    list_display_links = None
    # Expressions, which no column shows as its own order.
    ordering = (
        Case(When(state=DisputeState.OPEN, then=F("opened_at"))).asc(nulls_last=True),
        Case(When(pk__gt=0, then=F("opened_at"))).desc(),
    )
    list_filter = ("state", AgeFilter, PlanFilter, "opened_at", "customer")
    list_select_related = ("customer", "invoice__part_of__customer")
    search_fields = (
        "=id",
        "customer__name",
        "customer__code",
        "invoice__number",
        "invoice__part_of__number",
        "invoice__part_of__customer__name",
        "reason",
        "outcomes__subject",
        "outcomes__key",
    )
    search_help_text = "Number, customer or payer, invoice, subject, key or words of the reason"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dispute]:
        rows: QuerySet[Dispute] = super().get_queryset(request)
        return in_queue(rows)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the queue with what waits in all of it."""
        waiting = waiting_sums(Dispute.objects.all())
        return super().changelist_view(request, (extra_context or {}) | {"waiting": waiting})

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the disputes of the list, with its search and filters, as CSV."""
        require(request, "billing.view_dispute")
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return redirect("admin:billing_dispute_changelist")
        rows = changelist.get_queryset(request).select_related(
            "customer", "invoice__customer", "invoice__part_of__customer", "line"
        )
        now = timezone.now()
        return csv_response("disputes.csv", COLUMNS, (csv_row(row, now=now) for row in rows.iterator(1000)))

    @display(description="Dispute", ordering="id")
    def number_link(self, dispute: Dispute) -> str:
        return link(reverse("admin:billing_dispute_change", args=[dispute.pk]), dispute.number)

    @display(description="Customer", ordering="customer__name")
    def customer_name(self, dispute: Dispute) -> str:
        payer = dispute.payer
        return dispute.customer.name if payer is None else f"{dispute.customer.name}, paid by {payer.name}"

    @display(description="Invoice", ordering="invoice__number")
    def invoice_link(self, dispute: Dispute) -> str:
        return link(
            reverse("admin:billing_invoice_change", args=[dispute.printed_on.pk]), dispute.printed_on.number
        )

    @display(description="Outcomes", ordering="count")
    def outcomes_count(self, dispute: Any) -> int:
        return int(dispute.count)

    @display(description="Opened", ordering="opened_at")
    def opened(self, dispute: Dispute) -> str:
        return f"{dispute.opened_at:%-d %b %Y}"

    @display(description="Waits", ordering="opened_at")
    def waits(self, dispute: Dispute) -> str:
        return age_words(dispute, now=timezone.now())

    @display(description="At stake", ordering="at_stake")
    def stake(self, dispute: Dispute) -> str:
        if dispute.state != DisputeState.OPEN:
            return "–"
        return "unknown" if dispute.at_stake is None else money(-dispute.at_stake, dispute.invoice.currency)

    @display(description="Given back", ordering="given")
    def given_back(self, dispute: Any) -> str:
        return money(-dispute.given, dispute.invoice.currency) if dispute.accepted_count else "–"

    @display(
        description="State",
        ordering="state",
        label={"open": "warning", "decided": "success", "withdrawn": "info"},
    )
    def state_badge(self, dispute: Dispute) -> tuple[str, str]:
        return dispute.state, dispute.get_state_display()

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = path("<int:pk>/change/", wrap(self.dispute_view), name="billing_dispute_change")
        export = path("export.csv", wrap(self.export_view), name="billing_dispute_export")
        return [export, own, *(each for each in super().get_urls() if each.name != "billing_dispute_change")]

    def dispute_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a dispute with evidence and effect; decide it, or reopen what was declined."""
        require(request, "billing.view_dispute")
        rows = Dispute.objects.select_related(
            "customer",
            "asked_for",
            "invoice__customer",
            "invoice__part_of__customer",
            "line__meter",
            "line__adjusts__invoice",
        )
        dispute = get_object_or_404(rows, pk=pk)
        may_decide = request.user.has_perm("billing.decide_dispute")
        if request.method == "POST" and not may_decide:
            raise PermissionDenied
        outcomes = list(dispute.outcomes.select_related("decided_by", "dispute__line__adjusts"))
        waiting = [each for each in outcomes if each.state == DisputedState.OPEN]
        asked = request.POST if request.method == "POST" and "reopen" not in request.POST else None
        form = DecideForm(
            outcomes,
            asked,
            may_credit=request.user.has_perm("billing.correct_invoice"),
            initial={"accepted": [each.pk for each in waiting]},
        )
        reopening = ReopenForm(request.POST if "reopen" in request.POST else None)
        try:
            done = self._act(request, dispute, form, reopening)
        except (NotInThisState, FiguresChanged) as changed:
            messages.warning(request, changed.message)
            done = True
        except BillingError as refused:
            put_errors(form if asked else reopening, refused.fields, message=refused.message)
            done = False
        if done:
            return redirect("admin:billing_dispute_change", pk)
        chosen = _chosen(request, form, waiting)
        try:
            effect = preview_effect(chosen, now=timezone.now()) if chosen and may_decide else []
        except DisputeRefused as refused:  # its events are archived: it can only be declined
            messages.error(request, refused.message)
            chosen, effect = [], []
        currency = dispute.invoice.currency
        offer = _offer(dispute, effect) if effect else {}
        if "refused" in offer:
            form.fields["remedy"].initial = DisputeRemedy.ADJUSTMENT
        return self.page(
            request,
            "admin/billing/dispute/dispute.html",
            title=f"Dispute {dispute.number}",
            dispute=dispute,
            outcomes=_rows(dispute, outcomes, chosen),
            steps=dispute.steps.select_related("credit_note"),
            form=form,
            reopening=reopening,
            may_decide=may_decide and dispute.state == DisputeState.OPEN,
            may_reopen=may_decide
            and dispute.state != DisputeState.OPEN
            and any(each.state in (DisputedState.DECLINED, DisputedState.WITHDRAWN) for each in outcomes),
            effect=[
                {
                    "line": each.line,
                    "before": each.before.quantity,
                    "after": each.after.quantity,
                    "was": money(each.before.amount, currency),
                    "would": money(each.after.amount, currency),
                    "difference": money(each.amount, currency),
                }
                for each in effect
            ],
            plan_effect=money(sum((each.plan for each in effect), Decimal(0)), currency)
            if any(each.plan for each in effect)
            else "",
            effect_total=total(effect),
            effect_words=money(total(effect), currency),
            offer=offer,
            late=[
                {"line": each.line, "amount": money(each.before.usage_difference, currency)}
                for each in effect
                if not each.is_alone
            ],
            accepting=len(chosen),
            declining=len(waiting) - len(chosen),
            status=400 if form.errors or reopening.errors else 200,
            back=reverse("admin:billing_dispute_changelist"),
        )

    def _act(self, request: HttpRequest, dispute: Dispute, form: DecideForm, reopening: ReopenForm) -> bool:
        """Do what was asked for; tell whether anything was done."""
        if "reopen" in request.POST and reopening.is_valid():
            reopen_dispute(dispute, reason=reopening.cleaned_data["reason"], **who_of(request))
            messages.success(request, f"{dispute.number} waits for a decision again.")
            return True
        if "_confirm" in request.POST and form.is_valid():
            said = form.cleaned_data
            if said["remedy"] == DisputeRemedy.CREDIT_NOTE and said["accepted"]:
                require(request, "billing.correct_invoice")
            step = decide_dispute(
                dispute,
                accepted=said["accepted"],
                answer=said["answer"],
                remedy=said["remedy"],
                expected=said["expected"],
                **who_of(request),
            )
            told = f"{dispute.number}: {step.accepted} accepted, {step.declined} declined."
            if step.credit_note is not None:
                told += f" Credit note {step.credit_note.number} is issued."
            messages.success(request, told)
            return True
        return False


def _offer(dispute: Dispute, effect: Sequence[LineEffect]) -> dict[str, str]:
    """Say what the credit note would come to and who gets it, or why there can be none."""
    payer = dispute.printed_on.customer
    try:
        draft = preview_credit(dispute, effect)
    except DisputeRefused as refused:
        return {"refused": refused.message}
    if draft is None:
        return {"refused": "Nothing changes on the invoice, so there is nothing to give back."}
    currency = draft.invoice.currency
    words = f"{money(draft.total, currency)} to {payer}"
    if draft.tax:
        words += f", {money(draft.tax, currency)} of it tax"
    return {"words": words, "number": str(draft.invoice.number)}


def _chosen(
    request: HttpRequest, form: DecideForm, waiting: Sequence[DisputedOutcome]
) -> list[DisputedOutcome]:
    """Give the outcomes whose acceptance is shown: those ticked, all of them before anything was."""
    if not form.is_bound or "_all" in request.POST:
        return list(waiting)
    ticked = set(request.POST.getlist("accepted"))
    return [each for each in waiting if str(each.pk) in ticked]


def _rows(
    dispute: Dispute, outcomes: Sequence[DisputedOutcome], chosen: Sequence[DisputedOutcome]
) -> list[dict[str, Any]]:
    now = timezone.now()
    taken = {each.pk for each in chosen}
    rows = []
    for place, each in enumerate(outcomes):
        story = None
        url = ""
        if each.subject is not None:
            query = urlencode({"customer": dispute.customer.code, "subject": each.subject})
            url = f"{reverse('admin:billing_outcome_subject')}?{query}"
            if place < MOST_STORIES:
                story = subject_story(dispute.customer, each.subject, now=now)
        rows.append(
            {"outcome": each, "ticked": each.pk in taken, "url": url, "steps": story.steps if story else []}
        )
    return rows
