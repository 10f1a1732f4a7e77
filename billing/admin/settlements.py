"""Credit notes and payments: lists to search, one credit note with its lines and its PDF."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from billing.admin.csv_files import export_list
from billing.documents import credit_note_document, credit_note_file_name, credit_note_pdf
from billing.formatting import amount_text, day, money
from billing.models import CreditNote, Payment
from billing.printing import DocumentsUnavailable
from customers.staff_pages import ReadOnlyAdmin, link, require
from metering.periods import local_day

NOTE_COLUMNS = (
    "number", "issued_on", "invoice", "customer_code", "customer", "reason", "currency", "total",
)  # fmt: skip
PAYMENT_COLUMNS = (
    "received_on", "kind", "invoice", "customer_code", "customer", "method", "reference", "currency", "amount",
)  # fmt: skip


@admin.register(CreditNote)
class CreditNoteAdmin(ReadOnlyAdmin):
    purpose = (
        "What was taken back of issued invoices. Write one from the page of its invoice; it never changes."
    )
    empty_title = "No credit notes"
    empty_text = "Open an invoice and choose “Credit note”."
    list_before_template = "admin/billing/creditnote/list_head.html"
    change_form_template = "admin/billing/creditnote/change_form.html"
    list_display = ("number", "issued", "invoice_link", "customer_name", "reason", "total_amount")
    list_display_links = ("number",)
    list_filter = ("currency", "issued_at")
    list_select_related = ("invoice__customer",)
    search_fields = (
        "number",
        "invoice__number",
        "invoice__customer__name",
        "invoice__customer__code",
        "reason",
    )
    search_help_text = "Number, invoice, customer or reason"

    @display(description="Date", ordering="issued_at")
    def issued(self, note: CreditNote) -> str:
        return day(local_day(note.issued_at, note.zone))

    @display(description="Invoice", ordering="invoice__number")
    def invoice_link(self, note: CreditNote) -> str:
        return link(reverse("admin:billing_invoice_change", args=[note.invoice_id]), note.invoice.number)

    @display(description="Customer", ordering="invoice__customer__name")
    def customer_name(self, note: CreditNote) -> str:
        return note.invoice.customer.name

    @display(description="Total", ordering="total")
    def total_amount(self, note: CreditNote) -> str:
        return money(note.total, note.currency)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        note: CreditNote = kwargs["obj"]
        context |= {"note": note, "document": credit_note_document(note)}
        return super().render_change_form(request, context, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the sums of the rows chosen, by currency, above the list."""
        return with_sums(super().changelist_view(request, extra_context), "total")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("export.csv", wrap(self.export_view), name="billing_creditnote_export"),
            path("<int:pk>/pdf/", wrap(self.pdf_view), name="billing_creditnote_pdf"),
        ]
        return [*own, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the credit notes of the list, with its search and filters, as CSV."""
        require(request, "billing.view_creditnote")
        return export_list(self, request, "credit-notes.csv", NOTE_COLUMNS, _note_row)

    def pdf_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "billing.view_creditnote")
        note = get_object_or_404(CreditNote.objects.select_related("invoice"), pk=pk)
        try:
            file = credit_note_pdf(note)
        except DocumentsUnavailable as refused:
            messages.error(request, refused.message)
            return redirect("admin:billing_creditnote_change", pk)
        headers = {"Content-Disposition": f'inline; filename="{credit_note_file_name(note)}"'}
        return HttpResponse(file, content_type="application/pdf", headers=headers)


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    purpose = "Money that came in, went back, or was taken back. Record it from the page of its invoice."
    empty_title = "No payments"
    empty_text = "Choose “Payment…” beside an open invoice."
    list_before_template = "admin/billing/payment/list_head.html"
    list_display = (
        "received",
        "kind_words",
        "invoice_link",
        "customer_name",
        "method",
        "reference",
        "amount_words",
    )
    list_display_links = None
    list_filter = ("kind", "method", "currency", "received_on")
    list_select_related = ("invoice__customer",)
    search_fields = ("reference", "invoice__number", "invoice__customer__name", "invoice__customer__code")
    search_help_text = "Reference, invoice or customer"
    ordering = ("-received_on", "-id")

    @display(description="Day", ordering="received_on")
    def received(self, payment: Payment) -> str:
        return day(payment.received_on)

    @display(
        description="Kind",
        ordering="kind",
        label={"payment": "success", "refund": "info", "reversal": "warning"},
    )
    def kind_words(self, payment: Payment) -> tuple[str, str]:
        return payment.kind, payment.get_kind_display()

    @display(description="Invoice", ordering="invoice__number")
    def invoice_link(self, payment: Payment) -> str:
        return link(
            reverse("admin:billing_invoice_change", args=[payment.invoice_id]), payment.invoice.number
        )

    @display(description="Customer", ordering="invoice__customer__name")
    def customer_name(self, payment: Payment) -> str:
        return payment.invoice.customer.name

    @display(description="Amount", ordering="amount")
    def amount_words(self, payment: Payment) -> str:
        return money(payment.amount, payment.currency)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the sums of the rows chosen, by currency, above the list."""
        return with_sums(super().changelist_view(request, extra_context), "amount")

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export.csv", export, name="billing_payment_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the payments of the list, with its search and filters, as CSV."""
        require(request, "billing.view_payment")
        return export_list(self, request, "payments.csv", PAYMENT_COLUMNS, _payment_row)


def with_sums(answer: Any, amount: str) -> Any:
    """Add the sums of a list's rows to its page, by currency."""
    if isinstance(getattr(answer, "context_data", None), dict) and "cl" in answer.context_data:
        rows = answer.context_data["cl"].queryset.order_by("currency").values("currency")
        answer.context_data["sums"] = [
            money(row["sum"], row["currency"]) for row in rows.annotate(sum=Sum(amount))
        ]
    return answer


def _note_row(note: CreditNote) -> list[object]:
    customer = note.invoice.customer
    return [
        note.number, local_day(note.issued_at, note.zone), note.invoice.number, customer.code, customer.name,
        note.reason, note.currency, Decimal(amount_text(note.total, note.currency)),
    ]  # fmt: skip


def _payment_row(payment: Payment) -> list[object]:
    customer = payment.invoice.customer
    return [
        payment.received_on, payment.kind, payment.invoice.number, customer.code, customer.name,
        payment.method, payment.reference, payment.currency,
        Decimal(amount_text(payment.amount, payment.currency)),
    ]  # fmt: skip
