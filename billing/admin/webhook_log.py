"""What was sent to endpoints and by mail: each body with every try and its answer."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.decorators import display

from billing.errors import BillingError
from billing.models import MailState, NoticeMail, WebhookAttempt, WebhookDelivery, WebhookState
from billing.registering import send_again
from customers.staff_pages import ReadOnlyAdmin, require

COLOURS = {WebhookState.WAITING: "info", WebhookState.DELIVERED: "success", WebhookState.FAILED: "danger"}
MAIL_COLOURS = {
    MailState.QUEUED: "info",
    MailState.SENDING: "info",
    MailState.UNSURE: "warning",
    MailState.SENT: "success",
    MailState.FAILED: "danger",
}


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    purpose = (
        "Everything that was sent to your systems, or waits to be. What is not taken is tried again for three days; "
        "the page of each shows the body and every answer."
    )
    empty_title = "Nothing was sent yet"
    empty_text = "Deliveries appear here as soon as an endpoint listens and something happens."
    list_display = ("kind", "subject", "endpoint", "state_badge", "attempts", "answered", "made_at")
    list_filter = ("state", "endpoint", "message__type")
    list_select_related = ("message", "endpoint")
    search_fields = ("message__subject",)
    search_help_text = (
        "The number of an invoice, the code of a customer, or the beginning of what it is about."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        rows: QuerySet[WebhookDelivery] = super().get_queryset(request)
        last = WebhookAttempt.objects.filter(delivery=OuterRef("pk")).order_by("-at", "-id")
        return rows.annotate(
            last_status=Subquery(last.values("status")[:1]), last_error=Subquery(last.values("error")[:1])
        )

    @display(description="Event", ordering="message__type")
    def kind(self, delivery: WebhookDelivery) -> str:
        return delivery.message.type

    @display(description="About", ordering="message__subject")
    def subject(self, delivery: WebhookDelivery) -> str:
        return delivery.message.subject

    @display(description="State", ordering="state", label=COLOURS)
    def state_badge(self, delivery: WebhookDelivery) -> tuple[str, str]:
        return delivery.state, delivery.get_state_display()

    @display(description="Last answer")
    def answered(self, delivery: Any) -> str:
        said = str(delivery.last_status or delivery.last_error or "")
        return said if len(said) <= 60 else f"{said[:59]}…"

    @display(description="Happened", ordering="message__made_at")
    def made_at(self, delivery: WebhookDelivery) -> Any:
        return delivery.message.made_at

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = path("<int:pk>/again/", wrap(self.again_view), name="billing_webhookdelivery_again")
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the body and every try."""
        require(request, "billing.view_webhookdelivery")
        if not object_id.isdecimal() or len(object_id) > 18:
            raise Http404
        delivery = get_object_or_404(self.model.objects.select_related("message", "endpoint"), pk=object_id)
        return self.page(
            request,
            "admin/billing/webhook/delivery.html",
            title=f"{delivery.message.type}: {delivery.message.subject}",
            delivery=delivery,
            body=json.dumps(json.loads(delivery.message.body), indent=2, ensure_ascii=False),
            tries=delivery.tries.all(),
            may_send=request.user.has_perm("billing.send_webhook") and delivery.endpoint.removed_at is None,
        )

    def again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        require(request, "billing.send_webhook")
        if request.method != "POST":
            raise Http404
        delivery = get_object_or_404(WebhookDelivery, pk=pk)
        try:
            send_again(delivery, by=request.user.get_username(), now=timezone.now())
        except BillingError as refused:
            messages.error(request, refused.message)
        else:
            messages.success(request, "It is sent again, with the same id.")
        return redirect("admin:billing_webhookdelivery_change", pk)


@admin.register(NoticeMail)
class NoticeMailAdmin(ReadOnlyAdmin):
    purpose = "Mails without a document: alerts and notices, to customers and to staff."
    empty_title = "No notices yet"
    empty_text = "Alerts of budgets and credit balances appear here once they are written."
    list_display = ("subject", "to", "state_badge", "attempts", "written_at", "sent_at")
    list_filter = ("state",)
    search_fields = ("to", "subject")
    fields = ("to", "subject", "body", "state", "attempts", "error", "written_at", "sent_at")

    @display(description="State", ordering="state", label=MAIL_COLOURS)
    def state_badge(self, notice: NoticeMail) -> tuple[str, str]:
        return notice.state, notice.get_state_display()
