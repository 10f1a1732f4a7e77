"""Which customers a list shows: archived, without a plan, parents and children."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.models import Subscription
from customers.models import BillTo, Customer


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("archived", "archived"), ("without_plan", "without a plan today"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        first, *rest = super().choices(changelist)
        yield {**first, "display": "not archived"}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: QuerySet[Customer]) -> QuerySet[Customer]:
        match self.value():
            case "all":
                return queryset
            case "archived":
                return queryset.exclude(archived_at=None)
            case "without_plan":
                return queryset.filter(archived_at=None).exclude(
                    pk__in=current_subscriptions(timezone.now()).values("customer")
                )
        return queryset.filter(archived_at=None)


class FamilyFilter(admin.SimpleListFilter):
    title = "family"
    parameter_name = "family"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("parents", "with children"),
            ("children", "with a parent"),
            ("paid_for", "billed to a parent"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Customer]) -> QuerySet[Customer]:
        match self.value():
            case "parents":
                return queryset.filter(Exists(Customer.objects.filter(parent=OuterRef("pk"))))
            case "children":
                return queryset.exclude(parent=None)
            case "paid_for":
                return queryset.filter(bill_to=BillTo.PARENT)
        return queryset


def current_subscriptions(now: datetime) -> QuerySet[Subscription]:
    """Give the subscriptions of today or later, by the calendar of UTC."""
    today: date = now.date()
    return Subscription.objects.filter(Q(end_on=None) | Q(end_on__gt=today)).order_by("start_on")
