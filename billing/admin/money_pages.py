"""Credits and coupons of a customer: balance, ledger, granting, voiding, giving and taking away."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin.form_keys import do_once
from billing.admin.money_forms import AlertForm, GiveForm, GrantForm, ReasonForm, RecurringForm
from billing.alerting import set_alert
from billing.balances import balance_words, coupon_rows, favour_rows, grant_rows, ledger_rows, recurring_rows
from billing.couponing import give_coupon, remove_coupon
from billing.crediting import grant_credit
from billing.errors import BillingError
from billing.formatting import amount_text, day, money
from billing.models import CreditAlert, CreditGrant, CustomerCoupon, GrantInterval, RecurringGrant
from billing.moving import void_credit
from billing.recurring import grant_regularly, stop_granting
from customers.errors import KeyTaken
from customers.models import Customer
from customers.staff_pages import StaffAdmin, put_errors, require


def money_overview(customer: Customer, *, now: Any) -> dict[str, Any]:
    """Give what the customer's page shows of credits and coupons."""
    return {
        "balances": balance_words(customer, now=now),
        "coupons": coupon_rows(customer),
        "favours": favour_rows(customer),
    }


class MoneyPages(StaffAdmin):
    """Adds the pages of credits and coupons to the admin of customers."""

    def money_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/money/", wrap(self.money_view), name="customers_customer_money"),
            path("<int:pk>/money/credit/", wrap(self.grant_view), name="customers_customer_grant"),
            path("<int:pk>/money/alert/", wrap(self.alert_view), name="customers_customer_credit_alert"),
            path("<int:pk>/money/coupon/", wrap(self.give_view), name="customers_customer_coupon"),
            path(
                "<int:pk>/money/credits/<int:grant_pk>/void/",
                wrap(self.void_view),
                name="customers_customer_grant_void",
            ),
            path("<int:pk>/money/regular/", wrap(self.recurring_view), name="customers_customer_recurring"),
            path(
                "<int:pk>/money/regular/<int:row_pk>/stop/",
                wrap(self.recurring_stop_view),
                name="customers_customer_recurring_stop",
            ),
            path(
                "<int:pk>/money/coupons/<int:held_pk>/remove/",
                wrap(self.remove_view),
                name="customers_customer_coupon_remove",
            ),
        ]

    def money_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show balance, credits, ledger and coupons."""
        require(request, "customers.view_customer", "billing.view_creditgrant")
        customer = get_object_or_404(Customer, pk=pk)
        now = timezone.now()
        return self.page(
            request, "admin/billing/customer/money.html", title=f"Credits and coupons of {customer.name}",
            customer=customer, balances=balance_words(customer, now=now), grants=grant_rows(customer, now=now),
            ledger=ledger_rows(customer), coupons=coupon_rows(customer), favours=favour_rows(customer),
            recurring=recurring_rows(customer),
            purpose="Credits pay invoices when these are issued. Coupons take something off before tax.",
        )  # fmt: skip

    def grant_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "customers.view_customer", "billing.add_creditgrant")
        customer = get_object_or_404(Customer, pk=pk)
        form = GrantForm(customer, request.POST or None)
        if request.method == "POST" and form.is_valid():
            now = timezone.now()

            def grant() -> None:
                given = grant_credit(customer, form.terms(), by=str(request.user), now=now)
                words = money(given.amount, given.currency)
                self.log_change(request, customer, f"Granted {words}: {given.name}.")

            try:
                do_once(request, form, grant, now=now)
            except KeyTaken:
                form.ask_again("This form was sent before, and what it said then is granted.")
            except BillingError as refused:
                fields = {form.named.get(name, name): text for name, text in refused.fields.items()}
                put_errors(form, fields, message=refused.message)
            else:
                words = money(form.cleaned_data["amount"], form.cleaned_data["currency"])
                messages.success(request, f"{words} is granted. It pays the next invoices.")
                return redirect("admin:customers_customer_money", pk)
        return self.page(
            request, "admin/billing/customer/grant.html", title=f"Grant a credit to {customer.name}",
            customer=customer, form=form, media=self.media + form.media,
            purpose="An amount that pays this customer's invoices when they are issued.",
        )  # fmt: skip

    def recurring_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "customers.view_customer", "billing.add_recurringgrant")
        customer = get_object_or_404(Customer, pk=pk)
        now = timezone.now()
        form = RecurringForm(customer, request.POST or None, now=now)
        if request.method == "POST" and form.is_valid():

            def grant() -> None:
                row = grant_regularly(customer, form.terms(), by=str(request.user), now=now)
                words = f"{money(row.amount, row.currency)} {row.get_interval_display().lower()}"
                self.log_change(request, customer, f"Grants {words}: {row.name}.")

            try:
                do_once(request, form, grant, now=now)
            except KeyTaken:
                form.ask_again("This form was sent before, and what it said then is granted regularly.")
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                terms = form.terms()
                words = f"{money(terms.amount, terms.currency)} {GrantInterval(terms.interval).label.lower()}"
                messages.success(request, f"{words} is granted from {day(form.cleaned_data['start_on'])} on.")
                return redirect("admin:customers_customer_money", pk)
        return self.page(
            request, "admin/billing/customer/recurring.html", title=f"Grant regularly to {customer.name}",
            customer=customer, form=form, media=self.media + form.media,
            purpose="A credit that is granted anew in every period, once each, until you stop it.",
        )  # fmt: skip

    def recurring_stop_view(self, request: HttpRequest, pk: int, row_pk: int) -> HttpResponse:
        require(request, "customers.view_customer", "billing.change_recurringgrant")
        row = get_object_or_404(
            RecurringGrant.objects.select_related("customer"), pk=row_pk, customer=pk, stopped_at=None
        )
        if request.method == "POST":
            try:
                stop_granting(row, by=str(request.user), now=timezone.now())
            except BillingError as refused:
                messages.warning(request, refused.message)
            else:
                self.log_change(request, row.customer, f"Stopped {row.name}.")
                messages.success(request, f"“{row.name}” is granted no more.")
            return redirect("admin:customers_customer_money", pk)
        return self.page(
            request, "admin/billing/customer/recurring_stop.html", title=f"Stop “{row.name}”?",
            customer=row.customer, row=row, amount=money(row.amount, row.currency),
        )  # fmt: skip

    def void_view(self, request: HttpRequest, pk: int, grant_pk: int) -> HttpResponse:
        require(request, "customers.view_customer", "billing.void_creditgrant")
        grant = get_object_or_404(CreditGrant.objects.select_related("customer"), pk=grant_pk, customer=pk)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            left = money(grant.balance, grant.currency)
            try:
                void_credit(
                    grant, reason=form.cleaned_data["reason"], by=str(request.user), now=timezone.now()
                )
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                self.log_change(request, grant.customer, f"Voided {left} of {grant.name}.")
                messages.success(request, f"{left} of “{grant.name}” is taken back.")
                return redirect("admin:customers_customer_money", pk)
        return self.page(
            request, "admin/billing/customer/grant_void.html", title=f"Void “{grant.name}”?",
            customer=grant.customer, grant=grant, left=money(grant.balance, grant.currency), form=form,
            used=money(grant.amount - grant.balance, grant.currency),
        )  # fmt: skip

    def give_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "customers.view_customer", "billing.add_customercoupon")
        customer = get_object_or_404(Customer, pk=pk)
        now = timezone.now()
        form = GiveForm(customer, request.POST or None, now=now)
        if request.method == "POST" and form.is_valid():
            sent = form.cleaned_data
            try:
                held = give_coupon(
                    customer, sent["coupon"], start_on=sent["start_on"], by=str(request.user), now=now
                )
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                self.log_change(request, customer, f"Gave the coupon {held.coupon.code}.")
                messages.success(request, f"{customer.name} holds the coupon “{held.coupon.name}”.")
                return redirect("admin:customers_customer_money", pk)
        return self.page(
            request, "admin/billing/customer/coupon.html", title=f"Give a coupon to {customer.name}",
            customer=customer, form=form, media=self.media + form.media,
            purpose="What it takes off was agreed when the coupon was made.",
        )  # fmt: skip

    def remove_view(self, request: HttpRequest, pk: int, held_pk: int) -> HttpResponse:
        require(request, "customers.view_customer", "billing.change_customercoupon")
        rows = CustomerCoupon.objects.select_related("customer", "coupon")
        held = get_object_or_404(rows, pk=held_pk, customer=pk)
        if request.method == "POST":
            remove_coupon(held, by=str(request.user), now=timezone.now())
            self.log_change(request, held.customer, f"Took the coupon {held.coupon.code} away.")
            messages.success(request, f"“{held.coupon.name}” is on no later invoice.")
            return redirect("admin:customers_customer_money", pk)
        return self.page(
            request, "admin/billing/customer/coupon_remove.html", title=f"Take “{held.coupon.name}” away?",
            customer=held.customer, held=held,
        )  # fmt: skip

    def alert_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set the balance below which the customer is told, in its own currency."""
        require(request, "customers.view_customer", "billing.change_creditalert")
        customer = get_object_or_404(Customer, pk=pk)
        alert = CreditAlert.objects.filter(customer=customer, currency=customer.currency).first()
        initial = {"threshold": amount_text(alert.threshold, alert.currency)} if alert else None
        form = AlertForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                set_alert(customer, currency=customer.currency, threshold=form.cleaned_data["threshold"])
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                self.log_change(request, customer, "Changed the alert of the credit balance.")
                messages.success(request, "The alert is saved.")
                return redirect("admin:customers_customer_money", pk)
        return self.page(
            request, "admin/billing/customer/credit_alert.html", title=f"Balance alert of {customer.name}",
            customer=customer, form=form,
            purpose="A mail goes to the customer once, when what can be used falls below the amount; again only after "
            "it was above it.",
        )  # fmt: skip
