"""Pages that make invoices: billing something once, and issuing drafts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from billing.admin.invoice_overview import PERMISSIONS
from billing.admin.seller import unnamed_seller
from billing.admin.settling_forms import ItemFormSet, OneOffForm, media_of, who_of
from billing.admin.statement import worked_rows
from billing.approving import issue_draft, refreshed_many
from billing.drafts import AnyDraft
from billing.errors import BillingError, FiguresChanged, KeyTaken
from billing.formatting import money
from billing.lifecycle import Action
from billing.models import Invoice, InvoiceStatus
from billing.one_off import Item, create_one_off, preview_one_off
from billing.rating.decimals import exact_decimal
from billing.totals import total_rows
from customers.staff_pages import ReadOnlyAdmin, put_errors, require

DRAFTS_SHOWN = 100


class IssuingPages(ReadOnlyAdmin):
    """Views that InvoiceAdmin serves."""

    def one_off_view(self, request: HttpRequest) -> HttpResponse:
        """Bill a customer once, without a plan: the first answer shows the invoice, the second makes it."""
        require(request, "billing.view_invoice", "billing.issue_invoice")
        form = OneOffForm(request.POST or None, customer=request.GET.get("customer", ""))
        items = ItemFormSet(request.POST or None, prefix="items")
        drawn = None
        if request.method == "POST" and form.is_valid() and items.is_valid():
            rows = [row for row in items.cleaned_data if row.get("description")]
            lines = [
                Item(
                    row["description"],
                    Decimal(1) if row["quantity"] is None else row["quantity"],
                    row["unit_amount"],
                )
                for row in rows
            ]
            sent, now = form.cleaned_data, timezone.now()
            try:
                if "_confirm" in request.POST:
                    invoice = create_one_off(
                        sent["customer"],
                        lines,
                        key=sent["key"] or None,
                        use_coupons=sent["use_coupons"],
                        at_once=not sent["draft"],
                        expected=sent["expected"],
                        now=now,
                    )
                    messages.success(
                        request, f"{invoice} is {'issued' if invoice.number else 'saved as a draft'}."
                    )
                    return redirect("admin:billing_invoice_change", invoice.pk)
                drawn = preview_one_off(sent["customer"], lines, use_coupons=sent["use_coupons"], now=now)
            except KeyTaken:
                before = Invoice.objects.get(key=sent["key"])
                form.ask_again(
                    f"This form was sent before: {before} of {before.customer} over "
                    f"{money(before.total, before.currency)} is made."
                )
            except BillingError as refused:
                put_errors(form, {}, message=refused.message)
        return self.page(
            request, "admin/billing/invoice/one_off.html", title="Bill something once", form=form, items=items,
            drawn=drawn, lines=worked_rows(drawn.lines, drawn.currency) if drawn else None,
            totals=total_rows(drawn) if drawn else None, draft=bool(form.is_bound and form.data.get("draft")),
            media=media_of(self, form), status=400 if form.errors or (items.is_bound and not items.is_valid()) else 200,
            purpose="A set-up, a day of consulting, goods: lines with quantity and unit price.",
        )  # fmt: skip

    def issue_many_view(self, request: HttpRequest) -> HttpResponse:
        """Issue chosen drafts; each is drawn up once more first. One that changed since it was shown stays a draft."""
        require(request, "billing.view_invoice", PERMISSIONS[Action.ISSUE])
        drafts = list(
            Invoice.objects.filter(status=InvoiceStatus.DRAFT, part_of=None)
            .select_related("customer", "subscription__plan", "subscription__customer")
            .order_by("customer__name", "period_start")[:DRAFTS_SHOWN]
        )
        if request.method == "POST":
            chosen = {int(pk) for pk in request.POST.getlist("draft") if pk.isdecimal() and len(pk) < 19}
            done = 0
            for draft in (each for each in drafts if each.pk in chosen):
                try:
                    issue_draft(draft, expected=_sent_total(request, draft), **who_of(request))
                    done += 1
                except BillingError as refused:
                    messages.warning(request, f"{draft.customer}: {refused.message}")
            messages.success(request, f"{done} {'invoice is' if done == 1 else 'invoices are'} issued.")
            return redirect(
                "admin:billing_invoice_changelist" if done == len(chosen) else "admin:billing_invoice_issue"
            )
        fresh = refreshed_many(drafts, now=timezone.now())
        rows = [_draft_row(draft, fresh.get(draft.pk)) for draft in drafts]
        return self.page(
            request, "admin/billing/invoice/issue.html", title="Issue drafts", rows=rows,
            unnamed=unnamed_seller(),
            purpose="Chosen drafts are drawn up once more, numbered and frozen. One that changed stays a draft.",
        )  # fmt: skip


def _sent_total(request: HttpRequest, draft: Invoice) -> Decimal:
    """Give the total that the page showed for a draft. Raises FiguresChanged for anything that is none."""
    text = request.POST.get(f"total_{draft.pk}", "")
    try:
        return exact_decimal(text)
    except ValueError as refused:
        raise FiguresChanged("Look at its total and choose it again.") from refused


def _draft_row(draft: Invoice, fresh: AnyDraft | BillingError | None) -> dict[str, Any]:
    if isinstance(fresh, BillingError):
        return {"draft": draft, "problem": fresh.message}
    total = draft.total if fresh is None else fresh.total
    return {"draft": draft, "sent": f"{total:f}", "total": money(total, draft.currency)}
