"""The queue of disputes as staff choose and export it: by state, age, plan and customer, with what is at stake."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import Count, DecimalField, Min, OuterRef, Q, QuerySet, Subquery, Sum, TextField
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone

from billing.formatting import amount_text, money
from billing.models import Dispute, DisputeState, DisputeStep, Plan

COLUMNS = (
    "dispute", "state", "opened_at", "age_days", "customer", "billed_to", "invoice", "line", "plan", "outcomes", "open",
    "accepted", "declined", "withdrawn", "at_stake", "given_back", "currency", "opened_by", "reason", "answer",
)  # fmt: skip
OLD_DAYS = (2, 7, 14)


class AgeFilter(admin.SimpleListFilter):
    """Open disputes by how long they wait."""

    title = "waiting"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(days), f"{days} days or more") for days in OLD_DAYS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Dispute]) -> QuerySet[Dispute]:
        days = {str(each): each for each in OLD_DAYS}.get(self.value() or "")
        if days is None:
            return queryset if not self.value() else queryset.none()
        until = timezone.now() - timedelta(days=days)
        return queryset.filter(state=DisputeState.OPEN, opened_at__lte=until)


class PlanFilter(admin.SimpleListFilter):
    """The plan of the disputed invoice, all of its versions."""

    title = "plan"
    parameter_name = "plan"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        plans = Plan.objects.filter(subscriptions__invoices__disputes__isnull=False)
        return list(dict(plans.order_by("-name", "version").values_list("code", "name")).items())[::-1]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Dispute]) -> QuerySet[Dispute]:
        return queryset.filter(invoice__plan_code=self.value()) if self.value() else queryset


def in_queue(rows: QuerySet[Dispute]) -> QuerySet[Dispute]:
    """Add how many outcomes a dispute has in each state, what was given back, and the last answer."""
    decided = DisputeStep.objects.filter(dispute=OuterRef("pk"), kind="decided")
    sums = decided.order_by().values("dispute").annotate(sum=Sum("amount")).values("sum")
    states = {
        f"{state}_count": Count("outcomes", filter=Q(outcomes__state=state), distinct=True)
        for state in ("open", "accepted", "declined", "withdrawn")
    }
    return rows.annotate(
        count=Count("outcomes", distinct=True),
        given=Coalesce(Subquery(sums), Decimal(0), output_field=DecimalField()),
        answer=Subquery(decided.order_by("-id").values("text")[:1], output_field=TextField()),
        **states,
    )


def waiting_sums(rows: QuerySet[Dispute]) -> list[dict[str, str]]:
    """Say how many disputes wait, since when, and what is at stake, for each currency."""
    waiting = rows.filter(state=DisputeState.OPEN).order_by()
    sums = waiting.values("invoice__currency").annotate(
        count=Count("id"), stake=Sum("at_stake"), oldest=Min("opened_at")
    )
    return [
        {
            "stake": money(-(row["stake"] or Decimal(0)), row["invoice__currency"]),
            "words": f"at stake in {row['count']:,} that wait, the oldest since {row['oldest']:%-d %b %Y}"
            if row["count"] > 1
            else f"at stake in one that waits since {row['oldest']:%-d %b %Y}",
        }
        for row in sums.order_by("invoice__currency")
    ]


def age_days(dispute: Dispute, *, now: datetime) -> int | None:
    """Give how many days an open dispute waits; None of one that nobody waits for."""
    return (now - dispute.opened_at).days if dispute.state == DisputeState.OPEN else None


def age_words(dispute: Dispute, *, now: datetime) -> str:
    days = age_days(dispute, now=now)
    if days is None:
        return "–"
    return (
        "today" if days == 0 else "1\N{NO-BREAK SPACE}day" if days == 1 else f"{days:,}\N{NO-BREAK SPACE}days"
    )


def csv_row(dispute: Any, *, now: datetime) -> list[object]:
    """Give a dispute as a row of COLUMNS; amounts are before tax, above 0 when they are for the customer."""
    currency = dispute.invoice.currency

    def back(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else Decimal(amount_text(-amount, currency))

    return [
        dispute.number,
        dispute.state,
        f"{dispute.opened_at:%Y-%m-%dT%H:%M:%SZ}",
        age_days(dispute, now=now),
        dispute.customer.code,
        dispute.printed_on.customer.code,
        dispute.printed_on.number,
        dispute.line.n,
        dispute.invoice.plan_code,
        dispute.count,
        dispute.open_count,
        dispute.accepted_count,
        dispute.declined_count,
        dispute.withdrawn_count,
        back(dispute.at_stake),
        back(dispute.given),
        currency,
        dispute.opened_by,
        dispute.reason,
        dispute.answer,
    ]
