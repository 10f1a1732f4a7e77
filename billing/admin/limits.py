"""Limits: the most a customer may use of a meter in a billing period, in units or in money."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.admin.csv_files import csv_response
from billing.errors import InvalidLimit, RatingFailed
from billing.formatting import amount_text, money, quantity_of
from billing.limiting import Standing, known_standings, standings
from billing.models import LimitKind, LimitSetter, UsageLimit
from billing.reserving import held_reservations
from billing.restricting import USUAL_REMINDERS, check_limit
from customers.history_pages import HistoryAdmin
from customers.staff_pages import put_errors, require

COLUMNS = (
    "customer_code", "customer", "meter", "set_by", "at_the_limit", "in", "limit", "used", "reserved", "remaining",
    "percent", "starts_again", "reminds_at",
)  # fmt: skip
CHUNK = 1_000
HELD_SHOWN = 20
COLOURS = {LimitKind.HARD: "danger", LimitKind.SOFT: "warning"}


class PercentagesField(forms.CharField):
    """Whole percentages, separated by commas."""

    widget = UnfoldAdminTextInputWidget

    def clean(self, value: Any) -> list[int]:
        parts = [part.strip().rstrip("%").strip() for part in str(value or "").split(",")]
        found = []
        for part in filter(None, parts):
            if not part.isdecimal() or len(part) > 4 or not 1 <= int(part) <= 1000:
                raise ValidationError(
                    f"“{part}” is no whole percentage from 1 to 1000. Write them as 50, 80, 100."
                )
            found.append(int(part))
        if len(set(found)) != len(found):
            raise ValidationError("A percentage is named twice.")
        return sorted(found)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value


class LimitForm(forms.ModelForm):
    remind_at = PercentagesField(
        required=False,
        label="Remind at percent",
        initial=list(USUAL_REMINDERS),
        help_text=UsageLimit._meta.get_field("remind_at").help_text,
    )

    class Meta:
        model = UsageLimit
        fields = ("customer", "meter", "quantity", "amount", "kind", "remind_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and self.instance.is_money:
            self.initial["amount"] = amount_text(self.instance.amount, self.instance.customer.currency)

    def _post_clean(self) -> None:
        """Refuse by field what the API would refuse, before anything is written."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            check_limit(self.instance)
        except InvalidLimit as refused:
            put_errors(self, refused.fields, message=refused.message)


@admin.register(UsageLimit)
class UsageLimitAdmin(HistoryAdmin):
    form = LimitForm
    purpose = (
        "How much of a meter a customer may use in one billing period, in units or in money. Your systems ask before "
        "they work (entitlements in the API); customers are told what part is used. Events are always taken and "
        "billed: a limit answers, it drops nothing."
    )
    empty_title = "No limits"
    empty_text = "Everybody may use as much as they like. Add a limit for a customer and a meter."
    list_before_template = "admin/billing/usagelimit/list_head.html"
    list_display = (
        "customer",
        "meter",
        "most_words",
        "used_words",
        "kind_badge",
        "setter",
        "reminders_words",
    )
    list_filter = ("meter", "kind", "set_by")
    list_select_related = ("customer", "meter")
    search_fields = ("customer__name", "customer__code")
    autocomplete_fields = ("customer", "meter")
    fields = ("customer", "meter", ("quantity", "amount"), "kind", "remind_at")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Measure what the shown limits are about together, not one by one."""
        shown = super().get_changelist_instance(request)
        limits: list[Any] = list(shown.result_list)
        for limit, standing in zip(limits, known_standings(limits, now=timezone.now()), strict=True):
            limit.standing = standing
        return shown

    @display(description="Limit")
    def most_words(self, limit: UsageLimit) -> str:
        if limit.is_money:
            return money(limit.most, limit.customer.currency)
        return quantity_of(limit.most, limit.meter.unit)

    @display(description="Used now")
    def used_words(self, limit: Any) -> SafeString:
        found: Standing | None = limit.standing
        if found is None:
            return format_html("{}", "no price")
        return format_html(
            '<span class="rk-share rk-budget {}"><svg viewBox="0 0 100 8" preserveAspectRatio="none"'
            ' aria-hidden="true">'
            '<rect width="{}" height="8" rx="1" /></svg> {} ({} %)</span>',
            "rk-over" if found.is_reached else "", min(found.percent, 100), found.words(found.used), found.percent,
        )  # fmt: skip

    @display(description="At the limit", ordering="kind", label=COLOURS)
    def kind_badge(self, limit: UsageLimit) -> tuple[str, str]:
        return limit.kind, limit.get_kind_display().partition(":")[0]

    @display(description="Set by", ordering="set_by")
    def setter(self, limit: UsageLimit) -> str:
        return "the customer" if limit.set_by == LimitSetter.CUSTOMER else "staff"

    @display(description="Reminds at")
    def reminders_words(self, limit: UsageLimit) -> str:
        return ", ".join(f"{each} %" for each in limit.remind_at) or "never"

    @display(description="Used now")
    def used_now(self, limit: UsageLimit) -> str:
        # A refused form has written into the row what it was sent.
        stored = UsageLimit.objects.select_related("customer", "meter").get(pk=limit.pk)
        try:
            found = standings([stored], now=timezone.now())[0]
        except RatingFailed as unpriced:
            return unpriced.message
        held = f", {found.words(found.held)} reserved" if found.held else ""
        until = f"{found.period.end:%-d %b %Y, %H:%M} UTC"
        return f"{found.words(found.used)} ({found.percent} %){held}; starts again on {until}"

    @display(description="Reserved")
    def reserved(self, limit: UsageLimit) -> str:
        """Name what is held, the oldest first: where work died, its reservation stands here."""
        held = held_reservations(limit.customer, limit.meter, now=timezone.now())
        words = [
            f"{each.key}: {quantity_of(each.quantity, limit.meter.unit)} since {each.made_at:%-d %b %Y, %H:%M} UTC"
            + (f", until {each.expires_at:%-d %b, %H:%M} UTC" if each.expires_at else "")
            for each in held[:HELD_SHOWN]
        ]
        if len(held) > HELD_SHOWN:
            words.append(f"{len(held) - HELD_SHOWN} more")
        return "; ".join(words) or "Nothing."

    @display(description="Reached")
    def reached(self, limit: UsageLimit) -> str:
        rows = limit.reminders.all()[:12]
        told = "; ".join(f"{row.percent} % on {row.reached_at:%-d %b %Y, %H:%M} UTC" for row in rows)
        return told or "Nothing that is reminded of."

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [path("export.csv", wrap(self.export_view), name="billing_usagelimit_export")]
        return [*own, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Give the limits of the list, with its search and filters, as CSV with exact figures."""
        require(request, "billing.view_usagelimit")
        try:
            changelist = super().get_changelist_instance(request)
        except IncorrectLookupParameters:
            return redirect("admin:billing_usagelimit_changelist")
        limits = list(changelist.get_queryset(request).select_related("customer", "meter"))
        return csv_response("limits.csv", COLUMNS, _csv_rows(limits, now=timezone.now()))

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.fields if obj is None else (*self.fields, "used_now", "reserved", "reached")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return () if obj is None else ("customer", "meter", "used_now", "reserved", "reached")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What a customer set for itself is the customer's to change; staff may take it away."""
        if obj is not None and obj.set_by == LimitSetter.CUSTOMER:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A limit may go: it is no record of anything that was billed."""
        return bool(request.user.has_perm("billing.delete_usagelimit"))


def _csv_rows(limits: list[UsageLimit], *, now: datetime) -> Iterator[list[object]]:
    for first in range(0, len(limits), CHUNK):
        chunk = limits[first : first + CHUNK]
        for limit, standing in zip(chunk, known_standings(chunk, now=now), strict=True):
            yield _csv_row(limit, standing)


def _csv_row(limit: UsageLimit, standing: Standing | None) -> list[object]:
    def text(value: Decimal) -> str:
        return amount_text(value, limit.customer.currency) if limit.is_money else f"{value.normalize():f}"

    figures: list[object] = [""] * 5
    if standing is not None:
        figures = [
            text(standing.used), text(standing.held), text(standing.remaining), standing.percent,
            f"{standing.period.end:%Y-%m-%dT%H:%M:%SZ}",
        ]  # fmt: skip
    return [
        limit.customer.code, limit.customer.name, limit.meter.code, limit.set_by, limit.kind,
        limit.customer.currency if limit.is_money else limit.meter.unit or "units", text(limit.most), *figures,
        ", ".join(map(str, limit.remind_at)),
    ]  # fmt: skip
