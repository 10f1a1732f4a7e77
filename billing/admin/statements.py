"""A customer's statement of account in the admin: as a page, as the PDF that the customer gets, as CSV."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, re_path
from django.utils import timezone

from billing.accounts import balances, statement_file_name, statement_pdf
from billing.printing import DocumentsUnavailable
from billing.statement_files import DaysForm, statement_csv
from customers.models import Customer
from customers.staff_pages import StaffAdmin, require

MAY = ("customers.view_customer", "billing.view_invoice", "billing.view_payment", "billing.view_creditnote")


class StatementPages(StaffAdmin):
    """Adds the statement of account to the admin of customers."""

    def statement_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/statement/", wrap(self.statement_view), name="customers_customer_statement"),
            re_path(
                r"^(?P<pk>\d+)/statement/(?P<kind>pdf|csv)/$",
                wrap(self.statement_file_view),
                name="customers_customer_statement_file",
            ),
        ]

    def statement_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what is due, and every entry of the chosen days with the balance after it."""
        require(request, *MAY)
        customer = get_object_or_404(Customer, pk=pk)
        now = timezone.now()
        chooser = DaysForm(request.GET, customer=customer, now=now)
        for field in chooser.fields.values():
            field.widget.attrs["class"] = "rk-select"
        shown = chooser.statement() if chooser.is_valid() else None
        return self.page(
            request, "admin/billing/customer/statement.html", title=f"Statement of account of {customer.name}",
            status=200 if shown else 400, customer=customer, chooser=chooser, document=shown,
            balances=balances(customer, now=now), query=request.GET.urlencode(),
            purpose="Every invoice, credit note and payment with the balance after it, as the customer sees it.",
        )  # fmt: skip

    def statement_file_view(self, request: HttpRequest, pk: int, kind: str) -> HttpResponse:
        """Download the statement as `pdf`, in the customer's language, or `csv`; 404 for days that cannot be chosen."""
        require(request, *MAY)
        customer = get_object_or_404(Customer, pk=pk)
        chooser = DaysForm(request.GET, customer=customer, now=timezone.now())
        if not chooser.is_valid():
            raise Http404
        shown = chooser.statement()
        headers = {
            "Content-Disposition": f'attachment; filename="{statement_file_name(shown, suffix=f".{kind}")}"'
        }
        if kind == "csv":
            return HttpResponse(statement_csv(shown), content_type="text/csv; charset=utf-8", headers=headers)
        try:
            return HttpResponse(statement_pdf(shown), content_type="application/pdf", headers=headers)
        except DocumentsUnavailable as missing:
            messages.error(request, missing.message)
            return redirect("admin:customers_customer_statement", pk)
