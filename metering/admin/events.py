"""Events as they were stored: browsing, and what waits for a meter or a customer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from customers.staff_pages import BoundedPaginator, ReadOnlyAdmin, put_errors, require
from metering.correcting import MAX_REASON, void_event
from metering.errors import MeteringError
from metering.histories import event_history
from metering.incoming import event_id
from metering.models import Event, EventBatch, Meter
from metering.unmatched import Reason, Waiting, waiting_by_reason


class ReceivedFilter(admin.SimpleListFilter):
    """Bounds the list by time received, where the index is cheap; the last week unless asked for more."""

    title = "received"
    parameter_name = "received"
    DAYS: ClassVar = {"1": "in the last 24 hours", "30": "in the last 30 days", "all": "at any time"}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.DAYS.items())

    def choices(self, changelist: Any) -> Any:
        first, *rest = super().choices(changelist)
        yield {**first, "display": "in the last 7 days"}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        if self.value() == "all":
            return queryset
        days = {"1": 1, "30": 30}.get(self.value() or "", 7)
        return queryset.filter(received_at__gte=timezone.now() - timedelta(days=days))


class MeterFilter(admin.SimpleListFilter):
    title = "meter"
    parameter_name = "meter"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Meter.objects.values_list("code", "label"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(meter__code=self.value()) if self.value() else queryset


class VoidForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_REASON,
        widget=UnfoldAdminTextInputWidget,
        help_text="It stays with the event, with your name and the time.",
    )


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    purpose = (
        "What integrations sent, as it was stored. Events are never changed. "
        "Times are in UTC. Search by the exact key, the customer's code or the subject."
    )
    empty_title = "No events here"
    empty_text = "Events arrive through the API. Each meter's page shows a command that sends one."
    list_display = ("key", "meter_name", "customer_name", "counted", "happened", "received", "subject")
    list_filter = (ReceivedFilter, MeterFilter)
    list_select_related = ("meter", "customer")
    search_fields = ("key",)
    search_help_text = "Key, customer code or subject"
    ordering = ("-received_at", "-id")
    paginator = BoundedPaginator
    show_full_result_count = False
    change_form_template = "admin/metering/event/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        unmatched = path(
            "unmatched/", self.admin_site.admin_view(self.unmatched_view), name="metering_event_unmatched"
        )
        void = path("<uuid:pk>/void/", self.admin_site.admin_view(self.void_view), name="metering_event_void")
        return [unmatched, void, *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by what is indexed or exact: the key's id in any known source, a customer, a subject."""
        term = search_term.strip()
        if not term:
            return queryset, False
        sources = EventBatch.objects.order_by("source").values_list("source", flat=True).distinct()
        ids = {event_id(source, term) for source in sources}
        by_key = Event.objects.filter(id__in=ids)
        if by_key.exists():
            return by_key.select_related("meter", "customer").order_by("-received_at"), False
        return queryset.filter(customer__code=term) | queryset.filter(subject=term), False

    @display(description="Meter", empty_value="none yet")
    def meter_name(self, event: Event) -> str:
        return event.meter.label if event.meter else f"{event.meter_code} (unmatched)"

    @display(description="Customer")
    def customer_name(self, event: Event) -> str:
        return event.customer.name if event.customer else f"{event.customer_code} (unmatched)"

    @display(description="Value")
    def counted(self, event: Event) -> str:
        return f"{event.counted_value:,f}"

    @display(description="Happened", ordering="occurred_at")
    def happened(self, event: Event) -> str:
        return f"{event.occurred_at:%-d %b %Y, %H:%M:%S}"

    @display(description="Received", ordering="received_at")
    def received(self, event: Event) -> str:
        return f"{event.received_at:%-d %b %Y, %H:%M:%S}"

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        event: Event = kwargs["obj"]
        context |= {
            "event": event,
            "batch": EventBatch.objects.filter(pk=event.batch_id).first(),
            "released": EventBatch.objects.filter(pk=event.released_batch_id).first()
            if event.released_batch_id
            else None,
            "history": event_history(event),
            "dimensions": sorted((event.dimensions or {}).items()),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"subtitle": _about_stored(), **(extra_context or {})})

    def void_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Take an event out of every count, with a reason that stays with it."""
        require(request, "metering.view_event", "metering.change_event")
        event = get_object_or_404(Event.objects.select_related("meter", "customer"), pk=pk)
        form = VoidForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            by, reason = request.user.get_username(), form.cleaned_data["reason"]
            try:
                void_event(event, reason=reason, by=by, now=timezone.now())
            except MeteringError as refused:
                put_errors(form, {refused.field or "": refused.message}, message=refused.message)
            else:
                messages.success(request, f"The event {event.key} no longer counts.")
                return redirect("admin:metering_event_change", pk)
        return self.page(
            request,
            "admin/metering/event/void.html",
            title=f"Void the event {event.key}?",
            event=event,
            form=form,
        )

    def unmatched_view(self, request: HttpRequest) -> HttpResponse:
        """What unmatched events wait for, each with the step that makes them count."""
        require(request, "metering.view_event")
        groups = [_advice(request, waiting) for waiting in waiting_by_reason()]
        return self.page(
            request,
            "admin/metering/event/unmatched.html",
            title="Unmatched events",
            groups=groups,
            purpose="Events that name a meter or a customer that does not exist. They are kept, "
            "and count by themselves once it exists.",
        )


def _about_stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = 'metering_event'::regclass")
        rows = int(cursor.fetchone()[0])
    return f"about {rows:,} stored" if rows > 0 else ""


def _advice(request: HttpRequest, waiting: Waiting) -> dict[str, Any]:
    """Put a reason into words, with the page that settles it where this person may use it."""
    code = waiting.code
    match waiting.reason:
        case Reason.UNKNOWN_METER:
            reason, todo = f"There is no meter “{code}”.", "Create this meter"
            url, needed = _with_code("admin:metering_meter_add", code), "metering.add_meter"
        case Reason.UNKNOWN_CUSTOMER:
            reason, todo = f"There is no customer “{code}”.", "Create this customer"
            url, needed = _with_code("admin:customers_customer_add", code), "customers.add_customer"
        case Reason.DRAFT_METER:
            reason, todo = f"The meter “{code}” is a draft.", "Open the meter and activate it"
            url, needed = _meter_page(code), "metering.change_meter"
        case _:
            reason = f"The meter “{code}” cannot count these events: they lack a value, subject or dimension it needs."
            todo, url, needed = "Send them again, complete and with new keys", "", ""
    return {
        "waiting": waiting,
        "reason": reason,
        "todo": todo,
        "url": url if needed and request.user.has_perm(needed) else "",
    }


def _with_code(name: str, code: str) -> str:
    return f"{reverse(name)}?{urlencode({'code': code})}"


def _meter_page(code: str) -> str:
    return reverse(
        "admin:metering_meter_change", args=[Meter.objects.values_list("pk", flat=True).get(code=code)]
    )
