"""Disputes in the portal: choosing outcomes of a line, saying why, and reading what was answered."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.paginator import InvalidPage, Paginator
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from billing.dispute_rules import (
    MAX_TEXT,
    MOST_OUTCOMES,
    asks_reason,
    disputable_until,
    is_disputable,
    sent_before,
    visible_disputes,
)
from billing.disputing import open_dispute, withdraw_dispute
from billing.errors import BillingError, DisputedBefore, NotInThisState
from billing.formatting import money
from billing.line_events import billed_outcomes
from billing.models import Dispute, DisputedOutcome, DisputeState, DisputeStepKind, InvoiceLine
from billing.portal.access import for_customer, page
from billing.portal.invoices import dispute_words, seen_as, visible_line
from customers.models import Customer

PER_PAGE = 20
PER_TABLE = 50


@require_safe
@for_customer
def disputes(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """List a customer's disputes, the newest first."""
    rows = visible_disputes(customer).select_related("invoice__part_of", "line", "customer")
    try:
        shown = Paginator(rows.prefetch_related("outcomes"), PER_PAGE).page(request.GET.get("page", 1))
    except InvalidPage as missing:
        raise Http404 from missing
    return page(
        request,
        "portal/disputes.html",
        section="invoices",
        disputes=shown,
        rows=[dispute_words(each) | {"invoice": seen_as(each.invoice, customer)} for each in shown],
        pays_for_others=any(each.customer_id != customer.pk for each in shown),
    )


@require_safe
@for_customer
def dispute(request: HttpRequest, *, customer: Customer, pk: int) -> HttpResponseBase:
    """Show one dispute: its outcomes, what became of each, and all that was said."""
    return _dispute_page(request, customer, _visible(customer, pk))


@require_POST
@for_customer
def withdraw(request: HttpRequest, *, customer: Customer, pk: int) -> HttpResponseBase:
    """Take a dispute back: only who asked may do that, while nobody decided it."""
    found = _visible(customer, pk)
    if not _may_withdraw(found, customer):
        raise Http404
    access: Any = request.portal_access  # type: ignore[attr-defined]
    try:
        withdraw_dispute(found, reason=request.POST.get("reason", ""), by=access.email, now=timezone.now())
    except BillingError as refused:
        if isinstance(refused, NotInThisState) and _last_word(found) == (
            DisputeStepKind.WITHDRAWN,
            access.email,
        ):
            return redirect("portal:dispute", pk)  # sent twice: the first did it
        problem = next(iter(refused.fields.values()), refused.message)
        return _dispute_page(request, customer, _visible(customer, pk), problem=problem, status=409)
    return redirect("portal:dispute", pk)


def _last_word(dispute: Dispute) -> tuple[str, str] | None:
    return dispute.steps.order_by("pk").values_list("kind", "by").last()


def _may_withdraw(dispute: Dispute, customer: Customer) -> bool:
    return (dispute.asked_for_id or dispute.customer_id) == customer.pk


def _dispute_page(
    request: HttpRequest, customer: Customer, found: Dispute, *, problem: str = "", status: int = 200
) -> HttpResponseBase:
    return page(
        request,
        "portal/dispute.html",
        section="invoices",
        status=status,
        problem=problem,
        dispute=found,
        invoice=seen_as(found.invoice, customer),
        whose=found.customer if found.customer_id != customer.pk else None,
        paid_by=found.payer if found.customer_id == customer.pk else None,
        at_stake=_at_stake(found),
        steps=found.steps.select_related("credit_note"),
        outcomes=found.outcomes.select_related("decided_by"),
        may_withdraw=found.state == DisputeState.OPEN and _may_withdraw(found, customer),
        max_text=MAX_TEXT,
    )


def _at_stake(dispute: Dispute) -> str:
    """Say what an open dispute comes to when all of it is accepted; nothing where that cannot be told."""
    effect, currency = dispute.at_stake, dispute.invoice.currency
    if dispute.state != DisputeState.OPEN or effect is None:
        return ""
    if not effect:
        return "Without them the invoice comes to the same."
    taxed = " before tax" if dispute.invoice.tax else ""
    change = f"{money(abs(effect), currency)} {'less' if effect < 0 else 'more'}"
    return f"Without them the invoice comes to {change}{taxed}."


def _visible(customer: Customer, pk: int) -> Dispute:
    rows = visible_disputes(customer).select_related(
        "customer", "invoice__customer", "invoice__part_of__customer", "line__meter"
    )
    return get_object_or_404(rows, pk=pk)


@require_POST
@for_customer
def dispute_line(request: HttpRequest, *, customer: Customer, number: str, n: int) -> HttpResponseBase:
    """Ask why the chosen outcomes are disputed, and open the dispute once that is said.

    `take` is `chosen`, `page` or `all`: the outcomes ticked, those shown, or all of the line up to the bound.
    Sent twice, also at once, it leads to the dispute that the first opened.
    """
    invoice, line = visible_line(customer, number, n)
    now = timezone.now()
    chosen, more = _chosen(request, line)
    reason = request.POST.get("reason", "")
    problems: dict[str, str] = {}
    opened: Dispute | None = None
    if "send" in request.POST:
        access: Any = request.portal_access  # type: ignore[attr-defined]
        try:
            opened = open_dispute(
                line,
                chosen,
                reason=reason,
                by=access.email,
                now=now,
                asked_for=customer,
            )
        except BillingError as refused:
            problems = refused.fields or {"line": refused.message}
            if isinstance(refused, DisputedBefore):
                opened = sent_before(line, chosen, reason=reason, by=access.email)
        if opened is not None:
            return redirect("portal:dispute", opened.pk)
    elif not chosen:
        problems = {"outcomes": "Choose at least one outcome: tick it in the list."}
    elif not is_disputable(line, now=now):
        problems = {"line": "The time to dispute outcomes of this invoice is over."}
    rows = list(billed_outcomes(line).filter(pk__in=chosen)[: MOST_OUTCOMES + 1]) if chosen else []
    return page(
        request,
        "portal/dispute_new.html",
        section="invoices",
        status=400 if problems else 200,
        invoice=invoice,
        line=line,
        rows=rows,
        shown=rows[:PER_TABLE],
        hidden=max(len(rows) - PER_TABLE, 0),
        more=more,
        most=MOST_OUTCOMES,
        max_text=MAX_TEXT,
        needs_reason=asks_reason(line),
        until=disputable_until(line.invoice),
        reason=reason,
        reason_problem=problems.pop("reason", ""),
        problems=list(problems.values()),
    )


def _chosen(request: HttpRequest, line: InvoiceLine) -> tuple[list[uuid.UUID], int]:
    """Give the outcomes asked for, and how many of the line there are beyond the bound."""
    take = request.POST.get("take", "chosen")
    if take == "all":
        disputed = DisputedOutcome.objects.filter(dispute__customer=line.invoice.customer_id)
        rows = billed_outcomes(line).exclude(pk__in=disputed.values("event_id"))
        found = list(rows.values_list("pk", flat=True)[:MOST_OUTCOMES])
        return found, max(rows.count() - MOST_OUTCOMES, 0)
    names = request.POST.getlist("shown" if take == "page" else "outcome")[: MOST_OUTCOMES + 1]
    try:
        return list(dict.fromkeys(uuid.UUID(name) for name in names)), 0
    except ValueError as broken:
        raise Http404 from broken
