"""The reconciliation of a month: every event from its arrival to an invoice, each number leading to its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget

from billing.models import ReconciliationRun
from billing.months import Month
from billing.reconciling import Reconciliation, events_of, reconcile, reconcile_month
from customers.customer_field import CustomerField
from customers.models import Customer
from customers.staff_pages import ReadOnlyAdmin, require
from metering.models import Event, Meter
from metering.periods import month_period
from metering.standings import Standing

MONTHS_OFFERED = 14
EVENTS_SHOWN = 50
LABELS = {
    Standing.BILLED: "Billed",
    Standing.NOT_YET_BILLED: "Not yet billed",
    Standing.FREE: "Free of charge",
    Standing.VOIDED: "Voided",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The month and customer of a page. `start` and `end` are the month's in UTC. `problem`: no customer is meant."""

    month: Month
    start: datetime
    end: datetime
    customer: Customer | None
    problem: str = ""

    @property
    def query(self) -> dict[str, str]:
        return {"month": str(self.month)} | ({"customer": self.customer.code} if self.customer else {})


class AskForm(forms.Form):
    """Which month, and of which customer."""

    month = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    customer = CustomerField()

    def __init__(self, asked: Asked, *, said: str, now: datetime) -> None:
        super().__init__(initial=asked.query | ({"customer": said} if asked.problem else {}))
        choice: Any = self.fields["month"]
        offered = dict.fromkeys([asked.month, *months_offered(now)])
        choice.choices = [(str(month), month.name) for month in sorted(offered, reverse=True)]


@admin.register(ReconciliationRun)
class ReconciliationAdmin(ReadOnlyAdmin):
    """Its list is one page, computed when it is opened."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.view_invoice")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.month_view), name="billing_reconciliationrun_changelist"),
            path("events/", wrap(self.events_view), name="billing_reconciliation_events"),
        ]

    def month_view(self, request: HttpRequest) -> HttpResponse:
        """Show a month in UTC, of all customers or of one."""
        require(request, "billing.view_invoice")
        now = timezone.now()
        asked = _asked(request, now)
        form = AskForm(asked, said=request.GET.get("customer", ""), now=now)
        if asked.problem:
            return self.page(
                request, "admin/billing/reconciliation/month.html", title="Reconciliation", form=form, asked=asked,
                status=400,
            )  # fmt: skip
        if asked.customer is None:
            found = reconcile_month(asked.month.first, now=now)
        else:
            found = reconcile(asked.start, asked.end, customer=asked.customer)
        run = ReconciliationRun.objects.filter(start=asked.start, end=asked.end).first()
        return self.page(
            request,
            "admin/billing/reconciliation/month.html",
            title="Reconciliation",
            found=found,
            run=run,
            asked=asked,
            form=form,
            rows=_rows(found, asked),
            total=[found.standing("accepted"), *(found.standing(each) for each in Standing)],
            labels=list(LABELS.values()),
            uncounted=_sentence(found.uncounted),
        )

    def events_view(self, request: HttpRequest) -> HttpResponse:
        """Show the events behind one number, the oldest first, a page at a time."""
        require(request, "billing.view_invoice", "metering.view_event")
        asked = _asked(request, timezone.now())
        standing = request.GET.get("standing", "")
        if standing not in list(Standing) or asked.problem:
            raise Http404
        meter = get_object_or_404(Meter, code=request.GET.get("meter", "").replace("\x00", ""))
        after = _event(request.GET.get("after"))
        events = events_of(
            Standing(standing),
            meter=meter,
            start=asked.start,
            end=asked.end,
            customer=asked.customer,
            after=after,
            limit=EVENTS_SHOWN + 1,
        )
        query = asked.query | {"meter": meter.code, "standing": standing}
        shown = events[:EVENTS_SHOWN]
        return self.page(
            request,
            "admin/billing/reconciliation/events.html",
            title=f"{meter.label}: {LABELS[Standing(standing)].lower()}, {asked.month.name}",
            events=shown,
            back=f"{reverse('admin:billing_reconciliationrun_changelist')}?{urlencode(asked.query)}",
            following=f"?{urlencode(query | {'after': str(shown[-1].pk)})}"
            if len(events) > len(shown)
            else "",
            first=f"?{urlencode(query)}" if after else "",
        )


def months_offered(now: datetime) -> list[Month]:
    """Give the running month in UTC and those before it."""
    today = now.astimezone(UTC).date()
    places = [today.year * 12 + today.month - 1 - back for back in range(MONTHS_OFFERED)]
    return [Month(place // 12, place % 12 + 1) for place in places]


def _asked(request: HttpRequest, now: datetime) -> Asked:
    """Read month and customer; a month that is none is the running one, a customer that is none a problem."""
    try:
        month = Month.parse(request.GET.get("month", ""))
    except ValueError:
        month = months_offered(now)[0]
    if not date(2000, 1, 1) <= month.first <= date(2999, 12, 1):
        month = months_offered(now)[0]
    period = month_period(month.year, month.month, "UTC")
    try:
        customer = CustomerField().clean(request.GET.get("customer", ""))
    except forms.ValidationError as refused:
        return Asked(month, period.start, period.end, None, problem=" ".join(refused.messages))
    return Asked(month, period.start, period.end, customer)


def _rows(found: Reconciliation, asked: Asked) -> list[dict[str, Any]]:
    meters = Meter.objects.in_bulk([each.meter_id for each in found.standings])
    url = reverse("admin:billing_reconciliation_events")
    return [
        {
            "meter": meters[each.meter_id],
            "accepted": each.accepted,
            "difference": each.difference,
            "voided_after_billing": each.voided_after_billing,
            "cells": [
                {
                    "count": getattr(each, standing.value),
                    "url": f"{url}?"
                    + urlencode(
                        asked.query | {"meter": meters[each.meter_id].code, "standing": standing.value}
                    ),
                }
                for standing in Standing
            ],
        }
        for each in found.standings
    ]


UNCOUNTED = {
    "signals": ("reversal or confirmation", "reversals and confirmations"),
    "reversed": ("reversed outcome", "reversed outcomes"),
    "repeated": ("outcome whose subject counts already", "outcomes whose subjects count already"),
    "unproven": ("outcome without activity", "outcomes without activity"),
}


def _sentence(uncounted: Mapping[str, int]) -> str:
    """List what does not count as an outcome: 3 reversed outcomes, 1 outcome without activity."""
    return ", ".join(f"{count:,} {UNCOUNTED[name][count != 1]}" for name, count in uncounted.items())


def _event(text: str | None) -> Event | None:
    if not text:
        return None
    try:
        return get_object_or_404(Event, pk=UUID(text))
    except ValueError as none:
        raise Http404 from none
