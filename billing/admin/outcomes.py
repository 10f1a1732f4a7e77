"""Outcomes: what became of each result and why, and the whole story of one subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
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

from billing.admin.cost_words import cost_words, percent_words
from billing.admin.forecast import ForecastPages
from billing.admin.quality import QualityPages
from billing.models import Outcome
from billing.outcomes import lines_of, outcomes_of
from billing.subject_margins import earned, subject_margin
from billing.subject_story import Story, StoryOutcome, subject_story
from customers.customer_field import CustomerField
from customers.models import Customer
from customers.staff_pages import ReadOnlyAdmin, require
from metering.models import Meter
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


class AskForm(forms.Form):
    """Which outcomes to list."""

    state = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[("", "Any state"), *((state.value, state.value.capitalize()) for state in OutcomeState)],
    )
    meter = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    customer = CustomerField()
    subject = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget({"placeholder": "any"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["meter"]
        choice.choices = [
            ("", "All outcome meters"),
            *((meter.code, meter.label) for meter in Meter.objects.all() if meter.is_outcome),
        ]


@admin.register(Outcome)
class OutcomeAdmin(QualityPages, ForecastPages, ReadOnlyAdmin):
    purpose = (
        "Results your customers pay for. An outcome is pending until its window is over, then settled and billed; "
        "reversed when it was taken back, repeated when its subject counted before, unproven without activity."
    )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.list_view), name="billing_outcome_changelist"),
            *self.quality_urls(),
            *self.forecast_urls(),
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
        """Show everything that happened for one subject of a customer, and what it earned and cost."""
        require(request, "billing.view_outcome", "metering.view_event")
        customer = get_object_or_404(Customer, code=request.GET.get("customer", "").replace("\x00", ""))
        subject = request.GET.get("subject", "").replace("\x00", "")
        now = timezone.now()
        story = subject_story(customer, subject, now=now)
        if story is None:
            raise Http404
        may_see_cost = request.user.has_perms(["billing.view_costrate", "billing.view_invoice"])
        return self.page(
            request,
            "admin/billing/outcome/subject.html",
            title=subject,
            customer=customer,
            outcomes=rows_of([each.outcome for each in story.outcomes], story.outcomes),
            timeline=story.steps,
            more=story.more,
            margin=_margin(customer, subject, story, now=now) if may_see_cost else None,
            back=reverse("admin:billing_outcome_changelist"),
        )


def _margin(customer: Customer, subject: str, story: Story, *, now: datetime) -> dict[str, Any]:
    """Give price, cost by workload and margin of a subject in words; unknown is said as unknown."""
    events = [step.event.occurred_at for step in story.steps if step.event is not None]
    currency = next((each.line.invoice.currency for each in story.outcomes if each.line), None)
    found = subject_margin(
        customer,
        subject,
        story.outcomes,
        first=min(events),
        last=max(events) + timedelta(microseconds=1),
        currency=currency or customer.currency or "USD",
        now=now,
    )
    return {
        "billed": currency is not None,
        "revenue": cost_words(found.revenue, found.currency),
        "workloads": [(name, cost_words(cost, found.currency)) for name, cost in found.workloads],
        "cost": cost_words(found.cost, found.currency),
        "unknown": found.unknown,
        "margin": None if found.margin is None else cost_words(found.margin, found.currency),
        "percent": percent_words(found.percent),
        "loss": found.margin is not None and found.margin < 0,
    }


def rows_of(outcomes: Sequence[StoredOutcome], stories: Sequence[StoryOutcome] = ()) -> list[dict[str, Any]]:
    """Give the rows of a table of outcomes, each with the page of its subject, its invoice and its price."""
    lines = lines_of(outcomes)
    earns = {each.outcome.event.pk: each for each in stories}
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
                "line": lines.get(each.event.pk),
                "price": _price(earns.get(each.event.pk)),
            }
        )
    return rows


def _price(each: StoryOutcome | None) -> str:
    """Say what an outcome was charged: its part of its line."""
    if each is None or each.line is None:
        return ""
    return cost_words(earned(each), each.line.invoice.currency)


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
