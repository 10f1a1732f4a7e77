"""Invoices: the list, one invoice, its files, and closing a month."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.db.models import F, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from billing.admin.close_page import CloseForm, close_page
from billing.admin.closes import start_close
from billing.admin.csv_files import export_list
from billing.admin.invoice_filters import AgeFilter, MonthFilter, StateFilter
from billing.admin.invoice_overview import PERMISSIONS, invoice_page
from billing.admin.invoice_pages import InvoicePages
from billing.admin.journal_form import JournalForm
from billing.admin.line_event_pages import LineEventPages
from billing.admin.statement import document_rows
from billing.documents import invoice_file_name, invoice_pdf
from billing.evidence import FORMATS, evidence_file
from billing.formatting import amount_text, day, money
from billing.formatting import period as days_words
from billing.lifecycle import Action, State, state_of
from billing.models import BILLED, Invoice, InvoiceStatus
from billing.models.invoices import SETTLED
from billing.printing import DocumentsUnavailable
from billing.totals import total_rows
from customers.staff_pages import link, require

STATE_LABELS = {
    State.DRAFT.value: "warning",
    State.OPEN.value: "info",
    State.PARTLY_PAID.value: "info",
    State.OVERDUE.value: "danger",
    State.PAID.value: "success",
    State.CREDITED.value: "success",
    State.OVERPAID.value: "warning",
    State.WRITTEN_OFF.value: "danger",
    State.VOID.value: "danger",
    State.PART.value: "info",
}
CSV_COLUMNS = (
    "number", "status", "customer_code", "customer", "period_start", "period_end", "currency",
    "subtotal", "discount", "tax", "total", "credits_applied", "amount_paid", "amount_credited",
    "amount_written_off", "issued_at", "due_on",
)  # fmt: skip


@admin.register(Invoice)
class InvoiceAdmin(InvoicePages, LineEventPages):
    purpose = (
        "Closing a month makes one invoice for every customer with a plan. Drafts may still change during their grace "
        "days; an issued invoice never changes."
    )
    empty_title = "No invoices yet"
    empty_text = "Close a month that is over, and every customer with a plan gets its invoice."
    list_before_template = "admin/billing/invoice/list_head.html"
    change_form_template = "admin/billing/invoice/change_form.html"
    list_display = (
        "number_or_draft", "customer_name", "days", "state_badge", "total_amount", "still_due", "due", "pay_link",
    )  # fmt: skip
    list_filter = (StateFilter, AgeFilter, "kind", MonthFilter, "currency")
    list_select_related = ("customer",)
    search_fields = ("number", "customer__name", "customer__code", "plan_name")
    search_help_text = "Number, customer or plan"

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        """Leave out what only leads to a page that this person may not open."""
        shown: Sequence[Any] = super().get_list_display(request)
        may = request.user.has_perm(PERMISSIONS[Action.PAY])
        return [name for name in shown if may or name != "pay_link"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        """List what is sent; a part has a page, which the consolidated invoice leads to."""
        rows: QuerySet[Invoice] = super().get_queryset(request)
        of_one = request.resolver_match is not None and "object_id" in request.resolver_match.kwargs
        return rows if of_one else rows.filter(part_of=None)

    @display(description="Number", ordering="number")
    def number_or_draft(self, invoice: Invoice) -> str:
        return invoice.number or "Draft"

    @display(description="Customer", ordering="customer__name")
    def customer_name(self, invoice: Invoice) -> str:
        return invoice.customer.name

    @display(description="Period", ordering="period_start")
    def days(self, invoice: Invoice) -> str:
        return days_words(invoice.period_start, invoice.period_end)

    @display(description="Status", ordering="status", label=STATE_LABELS)
    def state_badge(self, invoice: Invoice) -> tuple[str, str]:
        state = state_of(invoice, now=timezone.now())
        return state.value, state.label

    @display(description="Total", ordering="total")
    def total_amount(self, invoice: Invoice) -> str:
        return money(invoice.total, invoice.currency)

    @display(description="Amount due", empty_value="")
    def still_due(self, invoice: Invoice) -> str | None:
        if invoice.status in (InvoiceStatus.DRAFT, InvoiceStatus.VOID) or not invoice.amount_due:
            return None
        return money(invoice.amount_due, invoice.currency)

    @display(description="Payment", empty_value="")
    def pay_link(self, invoice: Invoice) -> str | None:
        if invoice.status != InvoiceStatus.ISSUED:
            return None
        return link(reverse("admin:billing_invoice_do", args=[invoice.pk, Action.PAY.value]), "Payment…")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the sums of the rows chosen, by currency, above the list."""
        answer = super().changelist_view(request, extra_context)
        if isinstance(getattr(answer, "context_data", None), dict) and "cl" in answer.context_data:
            answer.context_data["sums"] = _sums(answer.context_data["cl"].queryset)
        return answer

    @display(description="Due", ordering="due_on", empty_value="")
    def due(self, invoice: Invoice) -> str | None:
        return day(invoice.due_on) if invoice.due_on else None

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        invoice: Invoice = kwargs["obj"]
        context |= {
            "invoice": invoice,
            "lines": document_rows(invoice),
            "days": days_words(invoice.period_start, invoice.period_end),
            "totals": total_rows(invoice),
            "total": money(invoice.total, invoice.currency),
            "events_url": True,
            **invoice_page(invoice, request, now=timezone.now()),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("close/", wrap(self.close_view), name="billing_invoice_close"),
            path("export.csv", wrap(self.export_view), name="billing_invoice_export"),
            path("journal/", wrap(self.journal_view), name="billing_invoice_journal"),
            *self.settling_urls(wrap),
            path("<int:pk>/evidence.<str:kind>", wrap(self.evidence_view), name="billing_invoice_evidence"),
            path("<int:pk>/pdf/", wrap(self.pdf_view), name="billing_invoice_pdf"),
            *self.line_urls(wrap),
        ]
        return [*own, *super().get_urls()]

    def close_view(self, request: HttpRequest) -> HttpResponse:
        """Show what closing a month would make; with POST and the permission, make it or let the worker make it."""
        require(request, "billing.view_invoice")
        now = timezone.now()
        form = CloseForm(request.POST or None, now=now, shown=request.GET.get("month", ""))
        if request.method == "POST":
            require(request, "billing.close_month")
            if form.is_valid():
                return redirect("admin:billing_closerun_change", start_close(request, form, now=now).pk)
        return self.page(
            request, "admin/billing/invoice/close.html", title="Close a month", **close_page(form, now=now)
        )

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the invoices of the list, with its search and filters, as CSV."""
        require(request, "billing.view_invoice")
        return export_list(self, request, "invoices.csv", CSV_COLUMNS, _invoice_row, related=["customer"])

    def journal_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the accounting entries of some days: as a page that asks for them, as CSV or as JSON."""
        require(request, "billing.view_invoice")
        form = JournalForm(request.GET or None, now=timezone.now())
        if request.GET and form.is_valid():
            return form.file()
        return self.page(
            request, "admin/billing/invoice/journal.html", title="Export for accounting", form=form,
            media=self.media + form.media, status=400 if form.errors else 200,
            purpose="Invoices, credit notes, payments, write-offs and voids of some days, one row for each entry.",
        )  # fmt: skip

    def pdf_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "billing.view_invoice")
        invoice = get_object_or_404(Invoice, pk=pk)
        try:
            file = invoice_pdf(invoice)
        except DocumentsUnavailable as refused:
            messages.error(request, refused.message)
            return redirect("admin:billing_invoice_change", pk)
        name = invoice_file_name(invoice)
        headers = {"Content-Disposition": f'inline; filename="{name}"'}
        return HttpResponse(file, content_type="application/pdf", headers=headers)

    def evidence_view(self, request: HttpRequest, pk: int, kind: str) -> HttpResponseBase:
        """Give every outcome that an invoice billed, as CSV or JSON, as the customer can have it."""
        require(request, "billing.view_invoice", "metering.view_event")
        if kind not in FORMATS:
            raise Http404
        return evidence_file(get_object_or_404(Invoice.objects.exclude(number=None), pk=pk), kind)


def _sums(rows: QuerySet[Invoice]) -> list[dict[str, str]]:
    """Add up the chosen invoices by currency; drafts and void ones count for nothing that is due."""
    found = (
        rows.order_by("currency")
        .values("currency")
        .annotate(
            sum_total=Sum("total", filter=~Q(status=InvoiceStatus.VOID)),
            sum_due=Sum(F("total") - SETTLED, filter=Q(status__in=BILLED)),
        )
    )
    return [
        {
            "currency": row["currency"],
            "total": money(row["sum_total"] or Decimal(0), row["currency"]),
            "due": money(row["sum_due"] or Decimal(0), row["currency"]),
        }
        for row in found
    ]


def _invoice_row(invoice: Invoice) -> list[object]:
    amounts = (
        invoice.subtotal, invoice.discount, invoice.tax, invoice.total, invoice.credits_applied, invoice.amount_paid,
        invoice.amount_credited, invoice.amount_written_off,
    )  # fmt: skip
    return [
        invoice.number or "", invoice.status, invoice.customer.code, invoice.recipient.get("name", ""),
        invoice.period_start, invoice.period_end, invoice.currency,
        *(Decimal(amount_text(amount, invoice.currency)) for amount in amounts),
        invoice.issued_at.isoformat() if invoice.issued_at else "", invoice.due_on or "",
    ]  # fmt: skip
