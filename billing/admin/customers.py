"""Customers: who they are, the plans they have, what they used, what they will be billed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, OuterRef, Prefetch, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from billing.admin.customer_filters import FamilyFilter, StateFilter, current_subscriptions
from billing.admin.customer_forms import FAMILY, CustomerForm
from billing.admin.customer_overview import overview
from billing.admin.money_pages import MoneyPages, money_overview
from billing.admin.own_prices import OwnPricePages
from billing.admin.portal_pages import PortalPages
from billing.admin.previewing import preview_page
from billing.admin.statements import StatementPages
from billing.admin.subscription_forms import AssignForm
from billing.admin.subscription_pages import SubscriptionPages
from billing.admin.timeline import effect_words
from billing.errors import BillingError
from billing.formatting import day, money
from billing.models import Invoice, InvoiceStatus, Subscription
from billing.models.invoices import SETTLED
from billing.outlooks import show_effect
from billing.subscribing import subscribe
from customers.history_pages import HistoryAdmin
from customers.models import Customer
from customers.staff_pages import put_errors, require, say_next
from metering.releasing import release_unmatched


@admin.register(Customer)
class CustomerAdmin(SubscriptionPages, PortalPages, OwnPricePages, MoneyPages, StatementPages, HistoryAdmin):
    form = CustomerForm
    shows_log = True
    purpose = (
        "Who is billed. Create a customer, assign a plan from a date, see the usage arrive and preview the invoice. "
        "A customer is archived, never deleted."
    )
    empty_title = "Create your first customer"
    empty_text = "Events name a customer by its code; the plan you assign says what the usage costs."
    change_form_template = "admin/billing/customer/change_form.html"
    list_display = ("name", "code", "plans_today", "owes", "currency", "email")
    list_filter = (StateFilter, FamilyFilter, "currency")
    autocomplete_fields = ("parent",)
    search_fields = ("name", "code", "email")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        running = current_subscriptions(timezone.now()).select_related("plan")
        customers: QuerySet[Customer] = super().get_queryset(request)
        due = (
            Invoice.objects.filter(
                customer=OuterRef("pk"),
                currency=OuterRef("currency"),
                status=InvoiceStatus.ISSUED,
                part_of=None,
            )
            .order_by()
            .values("customer")
            .annotate(due=Sum(F("total") - SETTLED))
        )
        return customers.annotate(owed=Subquery(due.values("due"))).prefetch_related(
            Prefetch("subscriptions", running, to_attr="running")
        )

    @display(description="Owes", ordering="owed", empty_value="")
    def owes(self, customer: Any) -> str | None:
        return money(customer.owed, customer.currency) if customer.owed else None

    @display(description="Plan today", empty_value="none")
    def plans_today(self, customer: Any) -> str:
        return ", ".join(str(subscription.plan) for subscription in customer.running)

    def get_fieldsets(self, request: HttpRequest, obj: Customer | None = None) -> Any:
        names = ("name", "code", "email", ("timezone", "currency"), "address", ("payment_days", "locale"))
        tax = (("country", "region"), "tax_id", ("tax_treatment", "tax_exempt_reason"))
        reason = ""
        if obj is not None:
            reason = "The code cannot be changed: events and invoices carry it."
            if self._has_plan(obj):
                reason += (
                    " Time zone and currency are fixed: the billing periods of its plans are counted in them."
                )
        return [
            ("Details" if obj else None, {"fields": names, "description": reason}),
            ("Tax", {"fields": tax}),
            (
                "Family",
                {
                    "fields": (("parent", "bill_to"),),
                    "description": FAMILY,
                    "classes": [] if obj is not None and obj.parent_id else ["collapse"],
                },
            ),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Customer | None = None) -> Any:
        if obj is None:
            return ()
        return ("code", "timezone", "currency") if self._has_plan(obj) else ("code",)

    def _has_plan(self, customer: Customer) -> bool:
        return Subscription.objects.filter(customer=customer).exists()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        if initial.get("code") and "name" not in initial:
            initial["name"] = initial["code"].replace("_", " ").replace("-", " ").title()
        return {"currency": "USD", "timezone": "UTC"} | initial

    def save_model(self, request: HttpRequest, obj: Customer, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change and (released := release_unmatched(now=timezone.now())):
            messages.success(request, f"{released:,} events were waiting for this customer and count now.")

    def response_add(
        self, request: HttpRequest, obj: Customer, post_url_continue: str | None = None
    ) -> HttpResponse:
        response = super().response_add(request, obj, post_url_continue)
        if request.user.has_perm("billing.add_subscription"):
            say_next(
                request,
                "Next:",
                url=reverse("admin:customers_customer_assign", args=[obj.pk]),
                text=f"assign a plan to {obj.name}",
            )
        if "_addanother" in request.POST:
            return response
        return redirect("admin:customers_customer_change", obj.pk)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        customer: Customer | None = kwargs.get("obj")
        if customer is not None:
            context |= overview(customer, now=timezone.now())
            if request.user.has_perm("billing.view_creditgrant"):
                context |= money_overview(customer, now=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/assign/", wrap(self.assign_view), name="customers_customer_assign"),
            path("<int:pk>/preview/", wrap(self.preview_view), name="customers_customer_preview"),
            path("<int:pk>/archive/", wrap(self.archive_view), name="customers_customer_archive"),
        ]
        added = [
            *self.portal_urls(),
            *self.own_price_urls(),
            *self.money_urls(),
            *self.statement_urls(),
            *self.subscription_urls(),
        ]
        return [*own, *added, *super().get_urls()]

    def assign_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Assign a plan: the first answer shows the effect, the second makes it so."""
        require(request, "customers.view_customer", "billing.add_subscription")
        customer = get_object_or_404(Customer, pk=pk)
        now = timezone.now()
        form = AssignForm(customer, request.POST or None, now=now)
        effect = money_effect = None
        if request.method == "POST" and form.is_valid():
            try:
                if "_confirm" in request.POST:
                    subscription = subscribe(customer, **form.cleaned_data)
                    self.log_change(
                        request, customer, f"Assigned {subscription.plan} from {day(subscription.start_on)}."
                    )
                    messages.success(
                        request, f"{subscription.plan} is assigned from {day(subscription.start_on)}."
                    )
                    say_next(
                        request,
                        "Does this customer pay other prices?",
                        url=reverse("admin:customers_customer_prices", args=[pk, subscription.pk]),
                        text="Agree own prices",
                    )
                    return redirect("admin:customers_customer_change", pk)
                effect = form.effect()
                money_effect = show_effect(
                    customer, lambda: subscribe(customer, **form.cleaned_data).start_on, now=now
                )
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
        return self.page(
            request, "admin/billing/customer/assign.html", title=f"Assign a plan to {customer.name}",
            customer=customer, form=form, terms=effect, media=self.media + form.media,
            effect=effect_words(money_effect) if money_effect else None,
            purpose="From the start date on, the customer's usage is billed by the plan.",
        )  # fmt: skip

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the invoice of the running or a past period. Writes nothing."""
        require(request, "customers.view_customer", "billing.view_invoice")
        customer = get_object_or_404(Customer, pk=pk)
        context = preview_page(customer, request.GET, now=timezone.now())
        title = f"Preview for {customer.name}"
        return self.page(
            request, "admin/billing/customer/preview.html", title=title, customer=customer, **context
        )

    def archive_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take a customer out of the list, or back in. Billing goes on as its plans say."""
        require(request, "customers.change_customer")
        customer = get_object_or_404(Customer, pk=pk)
        running = current_subscriptions(timezone.now()).filter(customer=customer).exists()
        if request.method == "POST" and not (running and customer.archived_at is None):
            customer.archived_at = None if customer.archived_at else timezone.now()
            customer.save(update_fields=["archived_at"])
            self.log_change(request, customer, "Archived." if customer.archived_at else "Brought back.")
            messages.success(
                request, f"{customer.name} is {'archived' if customer.archived_at else 'back in the list'}."
            )
            return redirect("admin:customers_customer_change", pk)
        return self.page(
            request, "admin/billing/customer/archive.html", customer=customer, running=running,
            title=f"{'Bring back' if customer.archived_at else 'Archive'} {customer.name}?",
        )  # fmt: skip
