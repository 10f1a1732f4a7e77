"""Conflicts: a key that was used again for other content. What is stored and what was offered, side by side."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from customers.staff_pages import BoundedPaginator, ReadOnlyAdmin
from metering.incoming import parse_instant
from metering.models import Event, EventConflict
from metering.storing import Content, stored_contents

FIELDS = (
    "meter",
    "customer",
    "value",
    "occurred_at",
    "subject",
    "workload",
    "dimensions",
    "signal",
    "target_id",
)


@admin.register(EventConflict)
class EventConflictAdmin(ReadOnlyAdmin):
    purpose = (
        "A key names one event for ever. Here a key came again with other content: the first event stands, "
        "the second was refused. If the second was right, send it with a key of its own."
    )
    empty_title = "No conflicts"
    empty_text = "No key was used for two different events. Nothing to do."
    list_display = ("key", "source", "offered_meter", "offered_customer", "received")
    search_fields = ("key",)
    list_filter = ("source",)
    paginator = BoundedPaginator
    show_full_result_count = False
    change_form_template = "admin/metering/eventconflict/change_form.html"

    @display(description="Meter offered")
    def offered_meter(self, conflict: EventConflict) -> str:
        return str(conflict.offered.get("meter", ""))

    @display(description="Customer offered")
    def offered_customer(self, conflict: EventConflict) -> str:
        return str(conflict.offered.get("customer", ""))

    @display(description="Received", ordering="received_at")
    def received(self, conflict: EventConflict) -> str:
        return f"{conflict.received_at:%-d %b %Y, %H:%M:%S}"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return []

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        conflict: EventConflict = kwargs["obj"]
        stored = stored_contents([conflict.event_id.hex]).get(conflict.event_id.hex)
        context |= {
            "conflict": conflict,
            "rows": compare(stored, conflict.offered) if stored else [],
            "stored_event": Event.objects.filter(pk=conflict.event_id).first(),
        }
        return super().render_change_form(request, context, *args, **kwargs)


def compare(stored: Content, offered: dict[str, Any]) -> list[dict[str, Any]]:
    """Give each field with its stored and offered value, and whether they differ."""
    same = {
        "value": lambda: _decimal(stored.value) == _decimal(offered.get("value")),
        "occurred_at": lambda: stored.occurred_at == parse_instant(str(offered.get("occurred_at"))),
    }
    rows = []
    for name in FIELDS:
        was, now = _text(getattr(stored, name)), _text(offered.get(name))
        if name in ("signal", "target_id") and not was and not now:
            continue  # most events are no signals
        equal = same[name]() if name in same else was == now
        rows.append({"name": name.replace("_", " "), "stored": was, "offered": now, "differs": not equal})
    return rows


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _text(value: Any) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name} = {text}" for name, text in sorted(value.items()))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
