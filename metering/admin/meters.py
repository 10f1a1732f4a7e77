"""Meters: create one, see its usage arrive."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from customers.code_forms import CodeForm
from customers.history_pages import HistoryAdmin
from customers.staff_pages import bar_chart, say_next
from metering.admin.example_events import curl_line
from metering.defining import frozen_reason
from metering.measuring import measure_series
from metering.meter_types import ONLY_ON
from metering.models import Event, Meter, MeterStatus, validate_dimension
from metering.periods import Interval
from metering.releasing import release_unmatched

CHART_DAYS = 30
LATEST = 10
STATUS_HELP = (
    "A draft counts nothing: its events wait, and count once it is active. A deprecated meter goes on counting, and "
    "takes no new prices."
)
LOOKED_AT = 500  # events whose dimensions are looked through for undeclared names
STATUS_COLOURS = {MeterStatus.ACTIVE: "success", MeterStatus.DRAFT: "info", MeterStatus.DEPRECATED: "warning"}


NAMED = ("label", "code", "unit", "dimensions", "description")
DEFINITION = tuple(name.removesuffix("_id") for name in Meter.DEFINITION_FIELDS)
OUTCOMES = ("once_per_subject", "verification_hours", "evidence_meter", "attempts_meter")
CONVERSION = ("filters", ("factor", "divisor"), ("rounding_function", "rounding_digits"))


class DimensionsField(forms.CharField):
    """Names separated by commas, as a list in the order written."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        names = [name.strip() for name in str(value or "").split(",") if name.strip()]
        for name in names:
            validate_dimension(name)
            if len(name) > 63:
                raise ValidationError(f"“{name}” is longer than 63 characters.")
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValidationError(f"“{repeated}” is named twice.")
        return names

    def validate(self, value: Any) -> None:
        return

    def run_validators(self, value: Any) -> None:
        return


class MeterForm(CodeForm):
    code_from = "label"

    dimensions = DimensionsField(
        required=False, help_text=Meter._meta.get_field("dimensions").help_text, label="Dimensions"
    )

    class Meta:
        model = Meter
        fields = (*NAMED, *DEFINITION, "attempts_meter", "allow_negative", "status")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "status" in self.fields:
            self.fields["status"].help_text = STATUS_HELP
        for name, (type_, _) in ONLY_ON.items():
            if name in self.fields:
                self.fields[name].widget.attrs["data-row-for"] = f"type: {type_.value}"


@admin.register(Meter)
class MeterAdmin(HistoryAdmin):
    form = MeterForm
    purpose = (
        "A meter says what is counted. Prices on a plan are set per meter; events name the meter by its code."
    )
    empty_title = "Create your first meter"
    empty_text = (
        "A meter says what is counted, for example “Tickets Resolved”. Then set its price on Pricing."
    )
    empty_link = ("admin:billing_plan_playbooks", "Start from a playbook")
    change_form_template = "admin/metering/meter/change_form.html"
    list_display = ("label", "code", "type_name", "unit", "dimension_names", "status_badge")
    list_filter = ("type", "status")
    search_fields = ("label", "code", "description")
    compressed_fields = True

    @display(description="Type", ordering="type")
    def type_name(self, meter: Meter) -> str:
        return meter.get_type_display().partition(":")[0]

    @display(description="Dimensions", empty_value="none")
    def dimension_names(self, meter: Meter) -> str:
        return ", ".join(meter.dimensions)

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def status_badge(self, meter: Meter) -> tuple[str, str]:
        return meter.status, meter.get_status_display()

    def get_fieldsets(self, request: HttpRequest, obj: Meter | None = None) -> Any:
        frozen = frozen_reason(obj) if obj is not None else None
        settings_of_type = [name for name, (type_, _) in ONLY_ON.items() if obj is None or obj.type == type_]
        if obj is not None and not frozen:
            settings_of_type = list(ONLY_ON)
        counting = {"fields": ("type", *settings_of_type), "description": _frozen_words(frozen)}
        return [
            ("Definition" if obj else None, {"fields": NAMED if obj is None else (*NAMED, "status")}),
            ("How events are counted", counting),
            (
                "Outcomes: what counts as a result",
                {
                    "fields": OUTCOMES,
                    "description": "For results such as resolved tickets: each subject once, only when it holds, "
                    "only with evidence. Leave all empty to count every event.",
                    "classes": [] if obj is not None and obj.is_outcome else ["collapse"],
                },
            ),
            (
                "Filter, conversion and rounding",
                {"fields": (*CONVERSION, "allow_negative"), "classes": ["collapse"]},
            ),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Meter | None = None) -> Any:
        if obj is None or obj.status == MeterStatus.DRAFT:
            return ()
        return ("code", *DEFINITION) if frozen_reason(obj) else ("code",)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Accept a code from a link, as the page of unmatched events gives."""
        initial = super().get_changeform_initial_data(request)
        code = initial.get("code", "")
        if code and "label" not in initial:
            initial["label"] = code.replace("_", " ").replace("-", " ").title()
        return initial

    def save_model(self, request: HttpRequest, obj: Meter, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        released = release_unmatched(now=timezone.now())
        if released:
            messages.success(request, f"{released:,} events were waiting for this meter and count now.")

    def response_add(
        self, request: HttpRequest, obj: Meter, post_url_continue: str | None = None
    ) -> HttpResponse:
        response = super().response_add(request, obj, post_url_continue)
        if request.user.has_perm("billing.add_plan"):
            say_next(
                request,
                "Next: set its price.",
                url=reverse("admin:billing_plan_add"),
                text="Create a plan on Pricing",
            )
        if "_addanother" in request.POST or "_popup" in request.POST:
            return response
        return redirect("admin:metering_meter_change", obj.pk)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        meter = kwargs.get("obj")
        if meter is not None:
            context |= usage_panel(meter, now=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)


def _frozen_words(reason: str | None) -> str:
    if reason is None:
        return ""
    return f"This cannot be changed any more: {reason}. To count in another way, create another meter."


def usage_panel(meter: Meter, *, now: datetime) -> dict[str, Any]:
    """Give the usage of the last 30 days and the latest events, for the meter's page."""
    start = (now - timedelta(days=CHART_DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    series = measure_series(meter, start=start, end=now, interval=Interval.DAY, zone="UTC")[0]
    latest: QuerySet[Event] = (
        Event.objects.filter(meter=meter, received_at__gte=start)
        .select_related("customer", "workload")
        .order_by("-received_at", "-id")[:LOOKED_AT]
    )
    seen = {name for event in latest for name in event.dimensions or {}}
    return {
        "usage_total": series.total,
        "usage_chart": bar_chart(
            ((f"{point.start:%-d %b}", point.value) for point in series.points), label=meter.label
        ),
        "latest_events": list(latest)[:LATEST],
        "undeclared": sorted(seen - {*meter.dimensions, meter.value_dimension, *meter.filters}),
        "curl": curl_line(meter, now=now),
    }
