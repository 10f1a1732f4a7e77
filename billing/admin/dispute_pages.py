"""The page of a dispute: its evidence, what accepting comes to, and the decision."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone

from billing.admin.dispute_forms import DecideForm, ReopenForm
from billing.admin.settling_forms import who_of
from billing.dispute_credits import preview_credit
from billing.dispute_effects import LineEffect, preview_effect, total
from billing.disputing import decide_dispute, reopen_dispute
from billing.errors import BillingError, DisputeRefused, FiguresChanged, NotInThisState
from billing.formatting import money
from billing.models import Dispute, DisputedOutcome, DisputedState, DisputeRemedy, DisputeState
from billing.subject_story import subject_story
from customers.staff_pages import ReadOnlyAdmin, put_errors, require

# Stories shown on the page of a dispute; the other outcomes lead to theirs.
MOST_STORIES = 10


class DisputePages(ReadOnlyAdmin):
    """Views that DisputeAdmin serves."""

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
        changed = False
        try:
            done = self._act(request, dispute, form, reopening)
        except NotInThisState as decided:
            messages.warning(request, decided.message)
            done = True
        except FiguresChanged as figures:  # its ticks and its answer stay, with the effect that they have now
            messages.warning(request, figures.message)
            done, changed = False, True
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
            status=400 if form.errors or reopening.errors else 409 if changed else 200,
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
    if "_none" in request.POST:
        return []
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
