"""Disputes: the queue of what customers ask, with what is at stake and what was given back."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Case, F, QuerySet, When
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from billing.admin.csv_files import export_list
from billing.admin.dispute_pages import DisputePages
from billing.admin.dispute_queue import (
    COLUMNS,
    AgeFilter,
    PlanFilter,
    age_words,
    csv_row,
    in_queue,
    waiting_sums,
)
from billing.formatting import money
from billing.models import Dispute, DisputeState
from customers.staff_pages import link, require


@admin.register(Dispute)
class DisputeAdmin(DisputePages):
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
        row_of = partial(csv_row, now=timezone.now())
        related = ["customer", "invoice__customer", "invoice__part_of__customer", "line"]
        return export_list(self, request, "disputes.csv", COLUMNS, row_of, related=related)

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
