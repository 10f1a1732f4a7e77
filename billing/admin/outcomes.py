"""Outcomes: what became of each result and why, and the whole story of one subject."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.quality import QualityPages
from billing.models import Outcome
from billing.outcomes import invoices_of, outcomes_of, told_outcomes
from customers.models import Customer
from customers.staff_pages import ReadOnlyAdmin, require
from metering.models import Event, Meter
from metering.outcomes import OutcomeState
from metering.settling import StoredOutcome, outcome_events

COLOURS = {
    OutcomeState.PENDING: "rk-info",
    OutcomeState.SETTLED: "rk-good",
    OutcomeState.REVERSED: "rk-bad",
    OutcomeState.REPEATED: "rk-warn",
    OutcomeState.UNPROVEN: "rk-warn",
    OutcomeState.DISPUTED: "rk-warn",
    OutcomeState.CREDITED: "rk-bad",
}
TIMELINE = 500


class AskForm(forms.Form):
    """Which outcomes to list."""

    state = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[("", "Any state"), *((state.value, state.value.capitalize()) for state in OutcomeState)],
    )
    meter = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    customer = forms.CharField(
        label="Customer code", required=False, widget=UnfoldAdminTextInputWidget({"placeholder": "any"})
    )
    subject = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget({"placeholder": "any"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["meter"]
        choice.choices = [
            ("", "All outcome meters"),
            *((meter.code, meter.label) for meter in Meter.objects.all() if meter.is_outcome),
        ]

    def clean_customer(self) -> Customer | None:
        code = self.cleaned_data["customer"].strip()
        customer = Customer.objects.filter(code=code).first() if code else None
        if code and customer is None:
            raise forms.ValidationError(f"There is no customer with the code “{code}”.")
        return customer


@admin.register(Outcome)
class OutcomeAdmin(QualityPages, ReadOnlyAdmin):
    purpose = (
        "Results your customers pay for. An outcome is pending until its window is over, then settled and billed; "
        "reversed when it was taken back, repeated when its subject counted before, unproven without activity."
    )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.list_view), name="billing_outcome_changelist"),
            *self.quality_urls(),
            path("subject/", wrap(self.subject_view), name="billing_outcome_subject"),
        ]

    def list_view(self, request: HttpRequest) -> HttpResponse:
        """List outcomes, the latest first, by state, meter, customer and subject."""
        require(request, "billing.view_outcome")
        now = timezone.now()
        form = AskForm(request.GET or None)
        asked: Mapping[str, Any] = form.cleaned_data if form.is_bound and form.is_valid() else {}
        meter = Meter.objects.filter(code=asked.get("meter") or "").first()
        events = outcome_events(
            customer=asked.get("customer"), meter=meter, subject=asked.get("subject") or None
        )
        page = outcomes_of(
            events if not form.is_bound or form.is_valid() else events.none(),
            now=now,
            state=OutcomeState(asked["state"]) if asked.get("state") else None,
            after=_place(request.GET.get("after")),
        )
        query = {name: value for name, value in request.GET.items() if name != "after" and value}
        following = ""
        if page.after is not None:
            at, event = page.after
            following = "?" + urlencode(query | {"after": f"{at.isoformat()}~{event}"})
        return self.page(
            request,
            "admin/billing/outcome/list.html",
            title="Outcomes",
            purpose=self.purpose,
            form=form,
            rows=rows_of(page.outcomes),
            following=following,
            first=f"?{urlencode(query)}" if request.GET.get("after") else "",
            has_meters=any(meter.is_outcome for meter in Meter.objects.all()),
        )

    def subject_view(self, request: HttpRequest) -> HttpResponse:
        """Show everything that happened for one subject of a customer: activity, outcomes, signals."""
        require(request, "billing.view_outcome", "metering.view_event")
        customer = get_object_or_404(Customer, code=request.GET.get("customer", "").replace("\x00", ""))
        subject = request.GET.get("subject", "").replace("\x00", "")
        events = list(
            Event.objects.filter(customer=customer, subject=subject)
            .select_related("meter", "customer", "workload")
            .order_by("occurred_at", "id")[: TIMELINE + 1]
        )
        if not events:
            raise Http404
        outcomes = told_outcomes(list(outcome_events(customer=customer, subject=subject)), now=timezone.now())
        targets = {each.event.pk for each in outcomes}
        signals = Event.objects.filter(customer=customer, signal__isnull=False, target_id__in=targets)
        known = {event.pk for event in events}
        events += [event for event in signals.select_related("meter", "workload") if event.pk not in known]
        events.sort(key=lambda event: (event.occurred_at, event.pk))
        by_event = {each.event.pk: each for each in outcomes}
        return self.page(
            request,
            "admin/billing/outcome/subject.html",
            title=subject,
            customer=customer,
            outcomes=rows_of(outcomes),
            timeline=[
                {"event": event, "what": _what(event), "outcome": by_event.get(event.pk)}
                for event in events[:TIMELINE]
            ],
            more=len(events) > TIMELINE,
            back=reverse("admin:billing_outcome_changelist"),
        )


def rows_of(outcomes: list[StoredOutcome]) -> list[dict[str, Any]]:
    """Give the rows of a table of outcomes, each with the page of its subject and its invoice."""
    invoices = invoices_of(outcomes)
    rows = []
    for each in outcomes:
        customer = each.event.customer
        assert customer is not None  # held by outcome_events
        story = ""
        if each.event.subject is not None:
            query = urlencode({"customer": customer.code, "subject": each.event.subject})
            story = f"{reverse('admin:billing_outcome_subject')}?{query}"
        rows.append(
            {
                "outcome": each,
                "event": each.event,
                "colour": COLOURS[each.state],
                "story": story,
                "invoice": invoices.get(each.event.pk, ""),
            }
        )
    return rows


def _what(event: Event) -> str:
    label = event.meter.label if event.meter else str(event.meter_code)
    if event.voided_batch_id is not None:
        return f"{label} (voided)"
    if event.signal is not None:
        return f"{event.signal.capitalize()} {label}"
    return label


def _place(text: str | None) -> tuple[datetime, UUID] | None:
    if not text:
        return None
    at, _, event = text.partition("~")
    try:
        place = datetime.fromisoformat(at), UUID(event)
    except ValueError as none:
        raise Http404 from none
    if place[0].tzinfo is None:
        raise Http404
    return place
