"""Invoices: the list, one invoice with the events behind each line, and closing a month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from billing.admin.close_page import CloseForm, close_page
from billing.admin.closes import start_close
from billing.admin.csv_files import csv_response
from billing.admin.invoice_overview import PERMISSIONS, invoice_page
from billing.admin.invoice_pages import InvoicePages
from billing.admin.journal_form import JournalForm
from billing.admin.statement import document_rows, invoice_rows
from billing.documents import invoice_file_name, invoice_pdf
from billing.evidence import FORMATS, evidence_file
from billing.formatting import amount_text, day, money
from billing.formatting import period as days_words
from billing.lifecycle import Action, State, in_state, state_of
from billing.line_events import change_of, events_json, events_of_line
from billing.models import BILLED, Invoice, InvoiceLine, InvoiceStatus
from billing.models.invoices import SETTLED
from billing.months import Month
from billing.printing import DocumentsUnavailable
from billing.totals import total_rows
from customers.staff_pages import link, require
from metering.histories import event_histories
from metering.models import Event

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
EVENTS_SHOWN = 50
MONTHS_LISTED = 36
CSV_COLUMNS = (
    "number", "status", "customer_code", "customer", "period_start", "period_end", "currency",
    "subtotal", "discount", "tax", "total", "credits_applied", "amount_paid", "amount_credited",
    "amount_written_off", "issued_at", "due_on",
)  # fmt: skip
EVENT_COLUMNS = ("key", "occurred_at", "value", "subject", "workload", "dimensions", "received_at")


UNPAID = "unpaid"


class StateFilter(admin.SimpleListFilter):
    """States as people say them, and all of those in which something is still to be paid."""

    title = "status"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(UNPAID, "Unpaid, also in part"), *((state.value, state.label) for state in State)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        if self.value() == UNPAID:
            return queryset.filter(status=InvoiceStatus.ISSUED)
        if self.value() not in State.values:
            return queryset if not self.value() else queryset.none()
        return in_state(queryset, State(str(self.value())), today=timezone.now().date())


class AgeFilter(admin.SimpleListFilter):
    title = "days overdue"
    parameter_name = "overdue"
    ages = {"1-30": (1, 30), "31-60": (31, 60), "61-90": (61, 90), "90+": (91, None)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(age, age) for age in self.ages]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        if self.value() not in self.ages:
            return queryset if not self.value() else queryset.none()
        today = timezone.now().date()
        least, most = self.ages[str(self.value())]
        rows = in_state(queryset, State.OVERDUE, today=today).filter(
            due_on__lte=today - timedelta(days=least)
        )
        return rows if most is None else rows.filter(due_on__gte=today - timedelta(days=most))


class MonthFilter(admin.SimpleListFilter):
    """The month in which an invoice's period ends."""

    title = "month"
    parameter_name = "month"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        ends = Invoice.objects.order_by("-period_end").values_list("period_end", flat=True).distinct()
        days = [end - timedelta(days=1) for end in ends[: MONTHS_LISTED * 4]]
        months = dict.fromkeys(Month(day.year, day.month) for day in days)
        return [(str(month), month.name) for month in months][:MONTHS_LISTED]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        if not self.value():
            return queryset
        try:
            month = Month.parse(str(self.value()))
        except ValueError:
            return queryset.none()
        return queryset.filter(period_end__gt=month.first, period_end__lte=month.following)


@admin.register(Invoice)
class InvoiceAdmin(InvoicePages):
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
            path("<int:pk>/lines/<int:n>/", wrap(self.events_view), name="billing_invoice_events"),
            path(
                "<int:pk>/lines/<int:n>/events.csv",
                wrap(self.events_csv_view),
                name="billing_invoice_events_csv",
            ),
            path(
                "<int:pk>/lines/<int:n>/events.json",
                wrap(self.events_json_view),
                name="billing_invoice_events_json",
            ),
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
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return redirect("admin:billing_invoice_changelist")
        rows = changelist.get_queryset(request).select_related("customer")
        return csv_response("invoices.csv", CSV_COLUMNS, (_invoice_row(row) for row in rows.iterator(1000)))

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

    def events_view(self, request: HttpRequest, pk: int, n: int) -> HttpResponse:
        require(request, "billing.view_invoice", "metering.view_event")
        line = _line(pk, n)
        page = Paginator(_events(line, newest_first=True), EVENTS_SHOWN).get_page(request.GET.get("page"))
        return self.page(
            request, "admin/billing/invoice/events.html", title=f"Events behind line {n} of {line.invoice}",
            invoice=line.invoice, line=line, row=invoice_rows(line.invoice, [line])[0], page=page,
            days=days_words(line.period_start, line.period_end),
        )  # fmt: skip

    def events_csv_view(self, request: HttpRequest, pk: int, n: int) -> HttpResponseBase:
        require(request, "billing.view_invoice", "metering.view_event")
        line = _line(pk, n)
        rows = (_event_row(event) for event in _events(line, newest_first=False).iterator(1000))
        return csv_response(f"{line.invoice.number or 'draft'}-line-{n}-events.csv", EVENT_COLUMNS, rows)

    def events_json_view(self, request: HttpRequest, pk: int, n: int) -> HttpResponseBase:
        """Stream the events of a line with the whole history of each."""
        require(request, "billing.view_invoice", "metering.view_event")
        line = _line(pk, n)
        name = f"{line.invoice.number or 'draft'}-line-{n}-events.json"
        return StreamingHttpResponse(
            events_json(line, lambda events: _event_bodies(events, line)),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def _event_bodies(events: Sequence[Event], line: InvoiceLine) -> Iterator[dict[str, object]]:
    histories = event_histories(events)
    for event in events:
        yield {
            "key": event.key,
            "source": event.source,
            "occurred_at": event.occurred_at,
            "received_at": event.received_at,
            "subject": event.subject,
            "workload": event.workload.name if event.workload else None,
            "dimensions": event.dimensions or {},
            "value": f"{Decimal(event.counted_value):f}",
            "change": change_of(event, line),
            "history": [
                {"at": each.at, "what": each.what, "key": each.key, "by": each.by, "reason": each.reason}
                for each in histories[event.pk]
            ],
        }


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


def _line(invoice_pk: int, n: int) -> InvoiceLine:
    rows = InvoiceLine.objects.select_related("invoice", "meter", "adjusts__invoice")
    line = get_object_or_404(rows, Q(invoice=invoice_pk) | Q(invoice__part_of=invoice_pk), n=n)
    if line.meter_id is None and line.adjusts_id is None:
        raise Http404("This line has no events: it is a fixed fee.")
    return line


def _events(line: InvoiceLine, *, newest_first: bool) -> QuerySet[Event]:
    events = events_of_line(line).select_related("workload")
    return events.reverse() if newest_first else events


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


def _event_row(event: Event) -> list[object]:
    dimensions = "; ".join(f"{name}={value}" for name, value in sorted((event.dimensions or {}).items()))
    return [
        event.key, event.occurred_at.isoformat(), Decimal(event.counted_value), event.subject or "",
        event.workload.name if event.workload else "", dimensions, event.received_at.isoformat(),
    ]  # fmt: skip
