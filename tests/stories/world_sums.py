"""What a customer must have been billed in the end: plain Python over the facts, with fractions, no query of usage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import F

from billing.models import AdjustmentWaiver, Invoice, InvoiceLine, Subscription, SubscriptionChange
from billing.rating.money import currency_digits
from customers.models import Customer
from metering.incoming import event_id
from metering.meter_types import OncePerSubject
from metering.models import Event, EventCorrection
from metering.outcomes import OutcomeFact, settle

WINDOW = timedelta(hours=48)
LIVE = ("issued", "paid", "written_off", "part")


def fee(amount: str, timing: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "subscription", "label": "Base", "amount": amount, "timing": timing} | fields


def usage(meter: str, model: str, **terms: Any) -> dict[str, Any]:
    return {"kind": "usage", "meter": meter, "model": model} | terms


TIERS = [{"up_to": "10", "unit_amount": "0.333"}, {"up_to": None, "unit_amount": "0.1"}]
DEARER = [{"up_to": "10", "unit_amount": "0.1"}, {"up_to": None, "unit_amount": "0.333"}]
# Rates by plan: fee (amount, timing, per seat), and what usage costs, as a function of the quantity of a period.
RATES: dict[str, list[dict[str, Any]]] = {
    "ahead": [
        fee("31", "at_start", per_seat=True),
        usage("tickets", "graduated", tiers=TIERS),
        usage("results", "per_unit", unit_amount="1.99"),
    ],
    "advance": [
        fee("50", "in_advance"),
        usage("tickets", "per_unit", unit_amount="0.0375"),
        usage("results", "per_unit", unit_amount="3"),
    ],
    "arrears": [
        fee("70", "in_arrears", per_seat=True),
        usage("tickets", "package", package_amount="5", package_size="3"),
    ],
    "floor": [usage("tickets", "volume", tiers=DEARER), usage("results", "per_unit", unit_amount="0.5")],
    "year": [fee("365", "at_start"), usage("tickets", "per_unit", unit_amount="1")],
}
TERMS: dict[str, dict[str, Any]] = {
    "floor": {"minimum_amount": Decimal(20), "included_spend": Decimal(2), "service_fee_percent": Decimal(5)},
    "year": {"billing_period": "yearly", "usage_period": "monthly"},
}


def rounded(value: Fraction, currency: str) -> Fraction:
    """Half away from zero to the minor unit."""
    scale = 10 ** currency_digits(currency)
    units = (abs(value) * scale * 2 + 1) // 2
    return Fraction(units if value >= 0 else -units, scale)


def price(terms: dict[str, Any], quantity: Fraction) -> Fraction:
    match terms["model"]:
        case "per_unit":
            return quantity * Fraction(terms["unit_amount"])
        case "package":
            packages = -(-quantity // Fraction(terms["package_size"]))
            return packages * Fraction(terms["package_amount"])
        case "graduated":
            return min(quantity, Fraction(10)) * Fraction("0.333") + max(
                quantity - 10, Fraction(0)
            ) * Fraction("0.1")
        case "volume":
            return quantity * Fraction("0.1" if quantity <= 10 else "0.333")
    raise AssertionError(terms)


@dataclass
class Told:
    """An event on a meter as it was sent; `gone` once it was voided or replaced."""

    key: str
    customer: str
    meter: str
    at: datetime
    value: Fraction
    subject: str
    gone: bool = False


class Sums:
    """The facts, and what they come to. `compare` raises AssertionError with both sides."""

    now: datetime
    currency: str
    told: list[Told]
    signals: list[tuple[str, str, datetime, str, str]]
    discounted: set[str]

    def compare(self) -> None:
        assert not Invoice.objects.filter(status="draft").exclude(kind="one_off").exists(), list(
            Invoice.objects.filter(status="draft").values("kind", "period_start", "customer__code", "total")
        )
        for row in Subscription.objects.exclude(end_on=F("start_on")).select_related("plan", "customer"):
            if row.end_on is None or row.start_on >= self.now.date() or row.end_on > self.now.date():
                continue
            for terms in RATES[row.plan.code]:
                if terms["kind"] == "usage":
                    self.compare_usage(row, terms)
                else:
                    self.compare_fee(row, terms)

    def compare_usage(self, row: Subscription, terms: dict[str, Any]) -> None:
        """What lines, adjustments and waivers come to is the price of what was used; coupons aside."""
        if row.customer.code in self.discounted:
            return
        right = Fraction(0)
        for start, last in self.periods(row):
            free_until = row.trial_end_on if row.trial_usage_free else None
            first = max(start, free_until or start)
            if first < last:
                quantity = self.measured(row.customer, terms["meter"], first, last, row.timezone)
                right += rounded(price(terms, quantity), self.currency)
        lines = InvoiceLine.objects.filter(
            invoice__subscription=row, meter__code=terms["meter"], kind="usage"
        )
        live = lines.filter(invoice__status__in=LIVE)
        later = InvoiceLine.objects.filter(adjusts__in=lines, adjusts_plan=False, invoice__status__in=LIVE)
        waived = AdjustmentWaiver.objects.filter(line__in=live, adjusts_plan=False)
        amounts = [*live.values_list("amount", flat=True), *later.values_list("amount", flat=True)]
        amounts += waived.values_list("amount", flat=True)
        told = [
            each for each in self.told if (each.customer, each.meter) == (row.customer.code, terms["meter"])
        ]
        self.same(amounts, right, row, told)

    def compare_fee(self, row: Subscription, terms: dict[str, Any]) -> None:
        """The fee of each of its periods, by the days and seats of the facts, is billed once."""
        lines = InvoiceLine.objects.filter(kind="subscription", rate__plan=row.plan, invoice__status__in=LIVE)
        if terms["timing"] == "in_arrears":
            lines = lines.filter(invoice__subscription=row)
        else:
            lines = lines.filter(subscription=row)
        right = Fraction(0)
        for first, last, whole in self.fee_periods(row):
            days = range(first.toordinal(), last.toordinal())
            seats = [self.seats(row, date.fromordinal(day)) for day in days]
            used = sum(seats if terms.get("per_seat") else [min(each, 1) for each in seats])
            right += rounded(Fraction(terms["amount"]) * used / whole, self.currency)
        facts = SubscriptionChange.objects.filter(subscription=row).order_by("id")
        changes = list(facts.values_list("kind", "effective_on"))
        self.same(lines.values_list("amount", flat=True), right, row, changes)

    def same(self, billed: Iterable[Decimal], right: Fraction, row: Subscription, facts: object) -> None:
        one = sum((Fraction(each) for each in billed), Fraction(0))
        if one == right:
            return
        said = (
            InvoiceLine.objects.filter(invoice__customer=row.customer)
            .order_by("id")
            .values_list(
                "invoice__number", "invoice__status", "description", "period_start", "quantity", "amount"
            )
        )
        where = (row.pk, str(row), row.start_on, row.end_on)
        raise AssertionError(f"{float(one)} is billed, {float(right)} is right: {where} {facts} {list(said)}")

    def seats(self, row: Subscription, day: date) -> int:
        """Seats to pay for on a day, by the facts as they were written down; 0 while nothing is owed."""
        if row.trial_end_on is not None and day < row.trial_end_on:
            return 0
        facts = list(SubscriptionChange.objects.filter(subscription=row).order_by("id"))
        undone = {each.undoes_id for each in facts}
        facts = [each for each in facts if each.pk not in undone]
        seats = row.quantity
        by_day: dict[date, int] = {}
        pauses: list[list[Any]] = []
        for each in facts:
            if each.kind == "quantity":
                by_day[each.effective_on] = each.quantity or 0
            elif each.kind == "pause":
                pauses.append([each.effective_on, each.until_on])
            elif each.kind == "resume":
                for one in pauses:
                    if one[0] < each.effective_on and (one[1] is None or each.effective_on < one[1]):
                        one[1] = each.effective_on
        for from_on in sorted(by_day):
            if from_on <= day:
                seats = by_day[from_on]
        paused = any(first <= day and (last is None or day < last) for first, last in pauses)
        return 0 if paused else seats

    def anchored(self, row: Subscription) -> date | None:
        return None if row.anchor == "calendar" else (row.anchored_on or row.start_on)

    def periods(self, row: Subscription) -> Iterable[tuple[date, date]]:
        for first, last, _ in self.cut(row, 1):
            yield first, last

    def fee_periods(self, row: Subscription) -> Iterable[tuple[date, date, int]]:
        return self.cut(row, 12 if row.plan.code == "year" else 1)

    def cut(self, row: Subscription, months: int) -> Iterable[tuple[date, date, int]]:
        anchor = self.anchored(row) or date(2026, 1, 1)
        end = row.end_on
        assert end is not None
        n = -24
        while True:
            first, last = _months_on(anchor, n * months), _months_on(anchor, (n + 1) * months)
            n += 1
            if first >= end:
                return
            if last <= row.start_on:
                continue
            yield max(first, row.start_on), min(last, end), (last - first).days

    def measured(self, customer: Customer, meter: str, first: date, last: date, zone: str) -> Fraction:
        start = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        end = datetime(last.year, last.month, last.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        mine = [
            each
            for each in self.told
            if each.customer == customer.code and each.meter == meter and not each.gone
        ]
        if meter == "tickets":
            return sum((each.value for each in mine if start <= each.at < end), Fraction(0))
        facts = [
            OutcomeFact(UUID(event_id("api", each.key)), customer.pk, each.at, each.subject) for each in mine
        ]
        facts += [
            OutcomeFact(UUID(event_id("api", key)), customer.pk, at, subject, signal=kind)
            for key, code, at, kind, subject in self.signals
            if code == customer.code
        ]
        for taken in Event.objects.filter(source="dispute", customer=customer):
            facts.append(
                OutcomeFact(
                    taken.pk,
                    customer.pk,
                    taken.occurred_at,
                    None,
                    signal="reverses",
                    target_id=taken.target_id,
                )
            )
        values = {UUID(event_id("api", each.key)): each.value for each in mine}
        settled = settle(facts, once=OncePerSubject.EVER, window=WINDOW, replaced=self.replaced())
        return sum(
            (values[each.fact.id] for each in settled if each.counts and start <= each.settles_at < end),
            Fraction(0),
        )

    def replaced(self) -> dict[UUID, UUID]:
        rows = EventCorrection.objects.exclude(replacement_id=None).values_list("event_id", "replacement_id")
        return {old: new for old, new in rows if new is not None}


def _months_on(anchor: date, months: int) -> date:
    place = anchor.year * 12 + anchor.month - 1 + months
    year, month = divmod(place, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return date(year, month + 1, min(anchor.day, (following - timedelta(days=1)).day))
