"""The page of one customer's plan: what it is, what can be done with it, its timeline and the coming invoices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin.subscription_change_forms import FORMS, ChangeForm
from billing.admin.timeline import coming_invoices, effect_words, timeline, what_happened
from billing.agreed_changes import Author
from billing.agreements import Agreement, agreements_of
from billing.errors import BillingError
from billing.formatting import day
from billing.models import Subscription, SubscriptionChange
from billing.outlooks import Outlook, outlook, show_effect
from billing.overriding import override_differences
from billing.undoing import undo
from customers.models import Customer
from customers.staff_pages import StaffAdmin, put_errors, reason_of, require
from metering.periods import local_day


class SubscriptionPages(StaffAdmin):
    """Adds the pages of a customer's plans to the admin of customers."""

    def subscription_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        one = "<int:pk>/plans/<int:subscription_pk>/"
        return [
            path(one, wrap(self.plan_view), name="customers_customer_plan"),
            path(f"{one}undo/<int:change_pk>/", wrap(self.undo_view), name="customers_customer_plan_undo"),
            path(f"{one}<slug:action>/", wrap(self.plan_change_view), name="customers_customer_plan_change"),
        ]

    def plan_view(self, request: HttpRequest, pk: int, subscription_pk: int) -> HttpResponse:
        require(request, "customers.view_customer", "billing.view_subscription")
        subscription = _subscription(pk, subscription_pk)
        now = timezone.now()
        agreement = agreements_of([subscription])[subscription.pk]
        coming, problem = coming_or_problem(subscription.customer, now=now)
        drafts = [each for each in coming.drafts if each.due.subscription.pk == subscription.pk]
        return self.page(
            request,
            "admin/billing/customer/plan.html",
            title=f"{subscription.plan} for {subscription.customer.name}",
            customer=subscription.customer,
            subscription=subscription,
            state=state_of(subscription, agreement, now=now),
            seats=agreement.seats_on(max(local_day(now, subscription.timezone), subscription.start_on)),
            differences=override_differences(subscription) if subscription.overrides else [],
            actions=_actions(subscription, agreement, now=now),
            timeline=timeline([subscription], now=now),
            coming=coming_invoices(Outlook(tuple(drafts))),
            coming_problem=problem,
        )

    def plan_change_view(
        self, request: HttpRequest, pk: int, subscription_pk: int, action: str
    ) -> HttpResponse:
        """Change a plan: the first answer shows the money effect, the second makes it so."""
        require(request, "customers.view_customer", "billing.change_subscription")
        if action not in FORMS:
            raise Http404
        subscription = _subscription(pk, subscription_pk)
        now = timezone.now()
        agreement = agreements_of([subscription])[subscription.pk]
        form = FORMS[action](subscription, agreement, request.POST or None, now=now)
        effect = None
        if request.method == "POST" and form.is_valid():
            author = _author(request, form.cleaned_data["reason"], now=now)
            try:
                if "_confirm" in request.POST:
                    began = form.make(author)
                    return self._done(request, subscription, f"{form.verb}: from {day(began)}.")
                effect = show_effect(subscription.customer, lambda: form.make(author), now=now)
            except BillingError as refused:
                _put_refusal(form, refused)
        return self.page(
            request,
            "admin/billing/customer/plan_change.html",
            title=f"{form.verb} of {subscription.customer.name}",
            purpose=form.purpose,
            customer=subscription.customer,
            subscription=subscription,
            form=form,
            media=self.media + form.media,
            effect=effect_words(effect) if effect else None,
        )

    def undo_view(self, request: HttpRequest, pk: int, subscription_pk: int, change_pk: int) -> HttpResponse:
        """Take a change back, with the money effect shown first."""
        require(request, "customers.view_customer", "billing.change_subscription")
        subscription = _subscription(pk, subscription_pk)
        rows = SubscriptionChange.objects.select_related("subscription__plan", "following__plan")
        change = get_object_or_404(rows, pk=change_pk, subscription=subscription)
        now = timezone.now()
        reason, problem = reason_of(request, most=400)
        author = _author(request, reason, now=now)
        effect = None
        try:
            if request.method == "POST" and not problem:
                undo(change, author=author)
                return self._done(request, subscription, f"Taken back: {what_happened(change)}.")
            effect = show_effect(
                subscription.customer, lambda: undo(change, author=author).effective_on, now=now
            )
        except BillingError as refused:
            problem = refused.message
        return self.page(
            request,
            "admin/billing/customer/plan_undo.html",
            title=f"Take back: {what_happened(change)}, {day(change.effective_on)}?",
            customer=subscription.customer,
            subscription=subscription,
            effect=effect_words(effect) if effect else None,
            problem=problem,
        )

    def _done(self, request: HttpRequest, subscription: Subscription, sentence: str) -> HttpResponse:
        self.log_change(request, subscription.customer, f"{subscription.plan}: {sentence}")
        messages.success(request, sentence)
        return redirect("admin:customers_customer_change", subscription.customer_id)


def state_of(subscription: Subscription, agreement: Agreement, *, now: datetime) -> str:
    """Say in a word or two where a subscription stands today."""
    today = local_day(now, subscription.timezone)
    if subscription.end_on is not None and subscription.end_on <= max(today, subscription.start_on):
        return "taken back" if subscription.end_on == subscription.start_on else "ended"
    if subscription.start_on > today:
        return "starts later"
    if agreement.is_paused(today):
        return "paused"
    return "in trial" if agreement.in_trial(today) else "running"


def coming_or_problem(customer: Customer, *, now: datetime) -> tuple[Outlook, str]:
    """Give the coming invoices, or none and the sentence that says why they cannot be drawn up."""
    try:
        return outlook(customer, now=now), ""
    except BillingError as refused:
        return Outlook(()), refused.message


def _actions(subscription: Subscription, agreement: Agreement, *, now: datetime) -> list[tuple[str, str]]:
    """Give what may be done now, by the name in the address, with the words of its button."""
    match state_of(subscription, agreement, now=now):
        case "taken back":
            return []
        case "ended":
            return [("reactivate", "Reactivate…")]
        case state:
            pausing = ("resume", "Resume…") if state == "paused" else ("pause", "Pause…")
            return [("change", "Change plan…"), ("quantity", "Change seats…"), pausing, ("cancel", "Cancel…")]


def _subscription(pk: int, subscription_pk: int) -> Subscription:
    rows = Subscription.objects.select_related("plan", "customer")
    return get_object_or_404(rows, pk=subscription_pk, customer=pk)


def _author(request: HttpRequest, reason: str, *, now: datetime) -> Author:
    user: Any = request.user
    return Author(now, user.get_full_name() or user.get_username(), reason)


def _put_refusal(form: ChangeForm, refused: BillingError) -> None:
    """Show a refusal of the day at the field that holds it."""
    day_field = "on" if form.cleaned_data.get("when") == "date" else "when"
    names = {"when": day_field, "end_on": day_field, "start_on": day_field}
    fields = {names.get(name, name): sentence for name, sentence in refused.fields.items()}
    put_errors(form, fields, message=refused.message)
