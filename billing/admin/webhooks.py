"""Endpoints of webhooks: registered with a secret that is shown once, changed, tried, switched on and off, removed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.errors import BillingError
from billing.models import WebhookEndpoint, WebhookState
from billing.registering import (
    EndpointTerms,
    change_endpoint,
    register_endpoint,
    remove_endpoint,
    rotate_secret,
    send_failed_again,
    send_test,
)
from billing.webhook_types import CHOOSABLE
from customers.staff_pages import StaffAdmin, log_of, put_errors, require

COLOURS = {"on": "success", "failing": "warning", "broken": "danger", "off": "info", "removed": "info"}
SHOWN = 10


class EndpointForm(forms.Form):
    url = forms.CharField(
        label="URL", max_length=1000, widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "url"}),
        help_text="An https address of the public internet, such as https://hooks.example.com/billing.",
    )  # fmt: skip
    description = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget,
        help_text="Which system listens there, for example “Ledger, production”.",
    )  # fmt: skip
    event_types = forms.MultipleChoiceField(
        label="Events", required=False, choices=[(each.value, f"{each.label} ({each.value})") for each in CHOOSABLE],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None chosen: all of them, those of later versions too.",
    )  # fmt: skip
    contact = forms.EmailField(
        required=False, widget=UnfoldAdminTextInputWidget,
        help_text="Who gets a mail when the endpoint is switched off because it fails for days.",
    )  # fmt: skip
    active = forms.BooleanField(
        label="Switched on", required=False, initial=True, widget=UnfoldBooleanSwitchWidget,
        help_text="While it is off nothing is collected for it; what waits is kept.",
    )  # fmt: skip

    @property
    def terms(self) -> EndpointTerms:
        return EndpointTerms(**self.cleaned_data)


class RemovedFilter(admin.SimpleListFilter):
    title = "removed"
    parameter_name = "removed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "removed")]

    def choices(self, changelist: Any) -> Any:
        first, *rest = super().choices(changelist)
        yield {**first, "display": "in use"}
        yield from rest

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]
    ) -> QuerySet[WebhookEndpoint]:
        return queryset.filter(removed_at__isnull=self.value() != "yes")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(StaffAdmin):
    purpose = (
        "Your systems are told here what happens: an invoice was issued, a budget reached its threshold. Each body is "
        "signed with the secret of its endpoint."
    )
    empty_title = "No endpoints yet"
    empty_text = "Add the address of a system that wants to know what happens."
    list_display = ("name", "address", "hears", "state_badge", "waiting_now", "last_taken")
    list_filter = (RemovedFilter, "active")
    search_fields = ("url", "description")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        rows: QuerySet[WebhookEndpoint] = super().get_queryset(request)
        waiting = Count("deliveries", filter=Q(deliveries__state=WebhookState.WAITING))
        return rows.annotate(waiting=waiting)

    @display(description="Endpoint", ordering="description")
    def name(self, endpoint: WebhookEndpoint) -> str:
        return str(endpoint)

    @display(description="URL", ordering="url")
    def address(self, endpoint: WebhookEndpoint) -> str:
        return endpoint.url if len(endpoint.url) <= 60 else f"{endpoint.url[:59]}…"

    @display(description="Events")
    def hears(self, endpoint: WebhookEndpoint) -> str:
        chosen = endpoint.event_types
        return "all" if not chosen else chosen[0] if len(chosen) == 1 else f"{len(chosen)} kinds"

    @display(description="State", label=COLOURS)
    def state_badge(self, endpoint: WebhookEndpoint) -> tuple[str, str]:
        return endpoint.state

    @display(description="Waiting", ordering="waiting")
    def waiting_now(self, endpoint: Any) -> int:
        return int(endpoint.waiting)

    @display(description="Last taken (UTC)", ordering="last_success_at")
    def last_taken(self, endpoint: WebhookEndpoint) -> str:
        return f"{endpoint.last_success_at:%-d %b %Y, %H:%M}" if endpoint.last_success_at else "–"

    def get_urls(self) -> list[URLPattern]:
        def own(name: str, view: Any) -> URLPattern:
            return path(
                f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"billing_webhookendpoint_{name}"
            )

        return [
            own("secret", self.secret_view),
            own("remove", self.remove_view),
            own("test", self.test_view),
            own("again", self.again_view),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Register an endpoint; the answer to the form is the only page that ever shows its secret."""
        require(request, "billing.add_webhookendpoint")
        form = EndpointForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                endpoint, secret = register_endpoint(
                    form.terms, by=request.user.get_username(), now=timezone.now()
                )
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                self.log_addition(request, endpoint, f"Added {endpoint.url}.")
                return self._secret(request, endpoint, secret, "Copy this secret now")
        return self.page(
            request, "admin/billing/webhook/add.html", title="Add an endpoint", form=form,
            status=400 if form.errors else 200,
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show how an endpoint is doing, what was sent to it last, and what staff say of it."""
        endpoint = self._endpoint(request, object_id)
        may = request.user.has_perm("billing.change_webhookendpoint") and endpoint.removed_at is None
        initial = {name: getattr(endpoint, name) for name in EndpointForm.base_fields}
        form = EndpointForm(request.POST if request.method == "POST" else None, initial=initial)
        if request.method == "POST":
            require(request, "billing.change_webhookendpoint")
            if form.is_valid():
                try:
                    change_endpoint(endpoint, form.terms)
                except BillingError as refused:
                    put_errors(form, refused.fields, message=refused.message)
                else:
                    changed = ", ".join(form.changed_data) or "nothing"
                    self.log_change(request, endpoint, f"Changed: {changed}.")
                    messages.success(request, f"{form.terms.description or form.terms.url} was saved.")
                    return redirect("admin:billing_webhookendpoint_change", endpoint.pk)
        counts = endpoint.deliveries.aggregate(
            waiting=Count("pk", filter=Q(state=WebhookState.WAITING)),
            failed=Count("pk", filter=Q(state=WebhookState.FAILED)),
        )
        return self.page(
            request, "admin/billing/webhook/endpoint.html", title=str(endpoint), status=400 if form.errors else 200,
            endpoint=endpoint, form=form if may else None, counts=counts, state=endpoint.state,
            kinds=[each.label for each in CHOOSABLE if each.value in endpoint.event_types],
            latest=endpoint.deliveries.select_related("message")[:SHOWN],
            may_send=request.user.has_perm("billing.send_webhook") and endpoint.removed_at is None,
            two_secrets=endpoint.old_secret_until is not None and timezone.now() < endpoint.old_secret_until,
            log=log_of(endpoint),
        )  # fmt: skip

    def secret_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "billing.change_webhookendpoint")
        endpoint = self._endpoint(request, pk)
        if request.method == "POST" and endpoint.removed_at is None:
            endpoint, secret = rotate_secret(endpoint, now=timezone.now())
            self.log_change(request, endpoint, "Made a new secret.")
            return self._secret(request, endpoint, secret, "Copy the new secret now")
        return self.page(
            request, "admin/billing/webhook/rotate.html", title="Make a new secret?", endpoint=endpoint
        )

    def remove_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "billing.delete_webhookendpoint")
        endpoint = self._endpoint(request, pk)
        if request.method == "POST":
            remove_endpoint(endpoint, now=timezone.now())
            self.log_change(request, endpoint, "Removed.")
            messages.success(request, f"Nothing more is sent to {endpoint.url}.")
            return redirect("admin:billing_webhookendpoint_changelist")
        waiting = endpoint.deliveries.filter(state=WebhookState.WAITING).count()
        return self.page(
            request, "admin/billing/webhook/remove.html", title=f"Remove “{endpoint}”?", endpoint=endpoint,
            waiting=waiting,
        )  # fmt: skip

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        endpoint = self._sending(request, pk)
        try:
            send_test(endpoint, by=request.user.get_username(), now=timezone.now())
        except BillingError as refused:
            messages.error(request, refused.message)
        else:
            messages.success(
                request, "A test is on its way. Open this page again in a moment to see the answer."
            )
        return redirect("admin:billing_webhookendpoint_change", pk)

    def again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        endpoint = self._sending(request, pk)
        try:
            count = send_failed_again(endpoint, by=request.user.get_username(), now=timezone.now())
        except BillingError as refused:
            messages.error(request, refused.message)
        else:
            self.log_change(request, endpoint, f"Sent {count} again that were given up.")
            messages.success(request, f"{count} that were given up are sent again.")
        return redirect("admin:billing_webhookendpoint_change", pk)

    def _endpoint(self, request: HttpRequest, pk: Any) -> WebhookEndpoint:
        require(request, "billing.view_webhookendpoint")
        if not str(pk).isdecimal() or len(str(pk)) > 18:
            raise Http404
        return get_object_or_404(WebhookEndpoint, pk=pk)

    def _sending(self, request: HttpRequest, pk: int) -> WebhookEndpoint:
        require(request, "billing.send_webhook")
        if request.method != "POST":
            raise Http404
        return self._endpoint(request, pk)

    def _secret(
        self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str, title: str
    ) -> HttpResponse:
        page = self.page(
            request, "admin/billing/webhook/secret.html", title=title, endpoint=endpoint, secret=secret
        )
        page.headers["Cache-Control"] = "no-store"
        return page
