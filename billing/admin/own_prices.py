"""What one customer pays in place of its plan: each price beside the plan's, written in the price editor."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.admin.break_even import break_even_address
from billing.admin.rate_form import RateForm
from billing.admin.rates import editor_context, preview_fragment
from billing.agreed_changes import Author
from billing.errors import BillingError
from billing.formatting import day
from billing.models import Invoice, InvoiceStatus, Rate, Subscription
from billing.overriding import override_differences
from billing.summaries import rate_name, rate_sentence
from billing.versions import agree_terms, move_day
from customers.staff_pages import StaffAdmin, require


class FromForm(forms.Form):
    """The first day of a price."""

    on = forms.DateField(
        label="From",
        widget=UnfoldAdminTextInputWidget({"type": "date"}),
        help_text="The first day that is billed at this price. Invoiced days stay as they are.",
    )


class OwnPricePages(StaffAdmin):
    """Adds the pages of a customer's own prices to the admin of customers."""

    def own_price_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        of = "<int:pk>/plans/<int:subscription_pk>/prices/"
        return [
            path(of, wrap(self.own_prices_view), name="customers_customer_prices"),
            path(f"{of}<int:rate_pk>/", wrap(self.own_price_view), name="customers_customer_price"),
            path(
                f"{of}<int:rate_pk>/preview/",
                wrap(require_POST(self.own_price_preview_view)),
                name="customers_customer_price_preview",
            ),
        ]

    def own_prices_view(self, request: HttpRequest, pk: int, subscription_pk: int) -> HttpResponse:
        """Put what was agreed beside the plan, rate by rate."""
        require(request, "customers.view_customer", "billing.view_subscription")
        subscription = _subscription(pk, subscription_pk)
        plan = subscription.plan
        own = {each.position: each.agreed for each in override_differences(subscription)}
        rows = [
            {
                "rate": rate,
                "name": rate_name(rate),
                "in_plan": rate_sentence(rate, plan),
                "agreed": own.get(place, ""),
            }
            for place, rate in enumerate(plan.rates.select_related("meter"))
        ]
        return self.page(
            request, "admin/billing/customer/prices.html", title=f"Own prices of {subscription.customer.name}",
            subscription=subscription, customer=subscription.customer, plan=plan, rows=rows,
            may_write=request.user.has_perm("billing.change_subscription") and not _is_over(subscription),
            purpose="What this customer pays in place of the plan. The plan itself stays as it is for everybody else.",
        )  # fmt: skip

    def own_price_view(
        self, request: HttpRequest, pk: int, subscription_pk: int, rate_pk: int
    ) -> HttpResponse:
        """Write the price of one rate for one customer, from a day on; `_remove` goes back to the plan's."""
        require(request, "customers.view_customer", "billing.change_subscription")
        subscription = _subscription(pk, subscription_pk)
        rate = get_object_or_404(Rate.objects.select_related("meter"), pk=rate_pk, plan=subscription.plan)
        back = reverse("admin:customers_customer_prices", args=[pk, subscription_pk])
        posted = request.POST if request.method == "POST" else None
        looks = "_preview" in request.POST
        form = _form(subscription, rate, request, spare=looks, quiet="_refresh" in request.POST)
        starts = FromForm(posted, initial={"on": _usual_day(subscription)})
        if posted is not None and not (looks or form.quiet) and starts.is_valid():
            removes = "_remove" in posted
            if removes or form.is_valid():
                following = self._agree(
                    request,
                    subscription,
                    rate,
                    None if removes else _agreed(form),
                    on=starts.cleaned_data["on"],
                )
                if following is not None:
                    return redirect("admin:customers_customer_prices", pk, following.pk)
        return self.page(
            request, "admin/billing/customer/price.html", back=back, save="Agree this price", on=starts["on"],
            title=f"{rate_name(rate)} for {subscription.customer.name}", in_plan=rate_sentence(rate, subscription.plan),
            preview_url=f"{reverse('admin:customers_customer_price_preview', args=[pk, subscription_pk, rate_pk])}?",
            has_own=str(rate.pk) in subscription.overrides,
            break_even=break_even_address(request, form),
            **editor_context(form),
        )  # fmt: skip

    def own_price_preview_view(
        self, request: HttpRequest, pk: int, subscription_pk: int, rate_pk: int
    ) -> HttpResponse:
        """Rate what is being agreed. Writes nothing."""
        require(request, "customers.view_customer", "billing.change_subscription")
        subscription = _subscription(pk, subscription_pk)
        rate = get_object_or_404(Rate.objects.select_related("meter"), pk=rate_pk, plan=subscription.plan)
        return preview_fragment(request, _form(subscription, rate, request))

    def _agree(
        self, request: HttpRequest, subscription: Subscription, rate: Rate, terms: Any, *, on: date
    ) -> Subscription | None:
        user: Any = request.user
        author = Author(timezone.now(), user.get_full_name() or user.get_username())
        try:
            following = agree_terms(subscription, rate=rate, terms=terms, on=on, author=author)
        except BillingError as refused:
            messages.error(request, refused.message)
            return None
        what = "as in the plan" if terms is None else rate_sentence(rate, subscription.plan, terms=terms)
        sentence = f"{rate_name(rate)}: {what}, from {day(max(on, following.start_on))}."
        self.log_change(request, subscription.customer, f"Own price. {sentence}")
        messages.success(request, sentence)
        return following


def _subscription(customer: int, pk: int) -> Subscription:
    rows = Subscription.objects.select_related("plan", "customer")
    return get_object_or_404(rows, pk=pk, customer=customer)


def _form(subscription: Subscription, rate: Rate, request: HttpRequest, **options: bool) -> RateForm:
    return RateForm(
        request.POST if request.method == "POST" else None, plan=subscription.plan, kind=rate.kind, rate=rate,
        agreed=subscription.overrides.get(str(rate.pk)), is_override=True, **options,
    )  # fmt: skip


def _agreed(form: RateForm) -> dict[str, object]:
    """Give the terms without the name of the line, which stays the plan's."""
    terms = form.terms()
    if terms["kind"] == "usage":
        terms.pop("label", None)
    return terms


def _usual_day(subscription: Subscription) -> date:
    """Offer the first day while nothing is invoiced, else the day the running period ends."""
    if Invoice.objects.filter(subscription=subscription).exclude(status=InvoiceStatus.VOID).exists():
        return move_day(subscription, on=None, now=timezone.now())
    return subscription.start_on


def _is_over(subscription: Subscription) -> bool:
    return subscription.end_on is not None and subscription.end_on <= timezone.now().date()
