"""Which invoices a list shows: by state, by days overdue, by month."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.lifecycle import State, in_state
from billing.models import Invoice, InvoiceStatus
from billing.months import Month

MONTHS_LISTED = 36


UNPAID = "unpaid"


class StateFilter(admin.SimpleListFilter):
    """States as people say them, and all of those in which something is still to be paid."""

    title = "status"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(UNPAID, "Unpaid, also in part"), *((state.value, state.label) for state in State)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        if self.value() == UNPAID:
            return queryset.filter(status=InvoiceStatus.ISSUED)
        if self.value() not in State.values:
            return queryset if not self.value() else queryset.none()
        return in_state(queryset, State(str(self.value())), today=timezone.now().date())


class AgeFilter(admin.SimpleListFilter):
    title = "days overdue"
    parameter_name = "overdue"
    ages = {"1-30": (1, 30), "31-60": (31, 60), "61-90": (61, 90), "90+": (91, None)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(age, age) for age in self.ages]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        if self.value() not in self.ages:
            return queryset if not self.value() else queryset.none()
        today = timezone.now().date()
        least, most = self.ages[str(self.value())]
        rows = in_state(queryset, State.OVERDUE, today=today).filter(
            due_on__lte=today - timedelta(days=least)
        )
        return rows if most is None else rows.filter(due_on__gte=today - timedelta(days=most))


class MonthFilter(admin.SimpleListFilter):
    """The month in which an invoice's period ends."""

    title = "month"
    parameter_name = "month"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        ends = Invoice.objects.order_by("-period_end").values_list("period_end", flat=True).distinct()
        days = [end - timedelta(days=1) for end in ends[: MONTHS_LISTED * 4]]
        months = dict.fromkeys(Month(day.year, day.month) for day in days)
        return [(str(month), month.name) for month in months][:MONTHS_LISTED]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        if not self.value():
            return queryset
        try:
            month = Month.parse(str(self.value()))
        except ValueError:
            return queryset.none()
        return queryset.filter(period_end__gt=month.first, period_end__lte=month.following)
