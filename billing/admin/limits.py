"""Limits: the most a customer may use of a meter in a billing period."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from simple_history.admin import SimpleHistoryAdmin
from unfold.decorators import display

from billing.entitling import entitlement
from billing.formatting import quantity_of
from billing.models import LimitKind, UsageLimit
from customers.staff_pages import StaffAdmin

COLOURS = {LimitKind.HARD: "danger", LimitKind.SOFT: "warning"}


@admin.register(UsageLimit)
class UsageLimitAdmin(SimpleHistoryAdmin, StaffAdmin):
    purpose = (
        "How much of a meter a customer may use in one billing period. Your systems ask before they work "
        "(entitlements in the API). Events are always taken and billed: a limit answers, it drops nothing."
    )
    empty_title = "No limits"
    empty_text = "Everybody may use as much as they like. Add a limit for a customer and a meter."
    list_display = ("customer", "meter", "most", "kind_badge")
    list_filter = ("meter", "kind")
    list_select_related = ("customer", "meter")
    search_fields = ("customer__name", "customer__code")
    autocomplete_fields = ("customer", "meter")
    fields = ("customer", "meter", "quantity", "kind")

    @display(description="Limit", ordering="quantity")
    def most(self, limit: UsageLimit) -> str:
        return quantity_of(limit.quantity, limit.meter.unit)

    @display(description="At the limit", ordering="kind", label=COLOURS)
    def kind_badge(self, limit: UsageLimit) -> tuple[str, str]:
        return limit.kind, limit.get_kind_display().partition(":")[0]

    @display(description="Used now")
    def used_now(self, limit: UsageLimit) -> str:
        found = entitlement(limit.customer, limit.meter, now=timezone.now())
        held = f", {quantity_of(found.reserved, limit.meter.unit)} reserved" if found.reserved else ""
        until = f"{found.resets_at:%-d %b %Y, %H:%M} UTC"
        return f"{quantity_of(found.used, limit.meter.unit)}{held}; starts again on {until}"

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.fields if obj is None else (*self.fields, "used_now")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return () if obj is None else ("customer", "meter", "used_now")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A limit may go: it is no record of anything that was billed."""
        return bool(request.user.has_perm("billing.delete_usagelimit"))
