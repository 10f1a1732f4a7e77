"""Random months: whatever is sent late, corrected, released, waived or made void, every event is accounted for, and
the money of each period is that of its events.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.models import Sum

from billing.adjusting import compute_adjustments
from billing.closing import close_period
from billing.line_settling import drop_flags
from billing.models import BILLED, AdjustmentWaiver, ChangedLine, Invoice, InvoiceLine
from billing.months import Month
from billing.reconciling import events_of, reconcile
from billing.scanning import scan_changes
from customers.models import Customer
from metering.correcting import amend_event, void_event
from metering.ledger import place_batches
from metering.models import Event, Meter
from metering.releasing import release_unmatched
from metering.standings import Standing
from tests.factories import BOUNDS, NOW, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
MONTHS = (8, 9, 10)
WHOLE = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
LATER = datetime(2026, 12, 5, tzinfo=UTC)
STEPS = 18
# Two meters with a price of 2.00, one of which leaves out the channel "test", and one without a price.
METERS = ("tickets_resolved", "calls", "free_thing")


@dataclass
class Sent:
    """What the test knows of one event: whether it costs, and which invoice or waiver took it in or back."""

    customer: str
    meter: str
    month: int
    matched: bool
    left_out: bool
    code: str = ""
    voided: bool = False
    taken_in: int | str | None = None
    taken_back: int | str | None = None

    @property
    def costs(self) -> bool:
        return self.meter != "free_thing" and not self.left_out


@dataclass
class Story:
    """Does the same to the system and to a plain list of events, and says what both should come to."""

    dice: random.Random
    events: dict[str, Sent] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    waived: dict[tuple[str, str, int], Decimal] = field(default_factory=dict)

    # ---- what people do ----

    def send(self) -> None:
        for _ in range(self.dice.randint(1, 4)):
            key = f"evt-{len(self.events)}"
            sent = Sent(
                customer=self.dice.choice(["acme", "globex"]),
                meter=self.dice.choice(METERS),
                month=self.dice.choice(MONTHS),
                matched=self.dice.random() > 0.15,
                left_out=False,
            )
            channel = self.dice.choice(["email", "test"])
            sent.left_out = sent.meter == "calls" and channel == "test"
            self.events[key] = sent
            sent.code = sent.customer if sent.matched else f"{sent.customer}-{key}"
            send(
                event(
                    key,
                    customer=sent.code,
                    meter=sent.meter,
                    occurred_at=f"2026-{sent.month:02d}-{self.dice.randint(1, 28):02d}T10:00:00Z",
                    dimensions={"channel": channel},
                )
            )

    def release(self) -> None:
        """Give an unmatched event's code to a new customer without a plan: from then on it is free of charge."""
        waiting = [key for key, sent in self.events.items() if not sent.matched and not sent.voided]
        if waiting:
            sent = self.events[self.dice.choice(waiting)]
            make_customer(sent.code)
            release_unmatched(now=NOW)
            sent.matched, sent.customer, sent.left_out = True, sent.code, True

    def void(self) -> None:
        key = self.some_key()
        if key:
            void_event(Event.objects.get(key=key), reason="wrong", by="test", now=NOW)
            self.events[key].voided = True

    def amend(self) -> None:
        """Move an event to another month."""
        key = self.some_key()
        if key is None:
            return
        sent, month = self.events[key], self.dice.choice(MONTHS)
        found = Event.objects.get(key=key)
        moved = f"2026-{month:02d}-{28 + self.dice.randint(0, 2)}T12:{len(self.events) % 60:02d}:00Z"
        amended = amend_event(found, {"occurred_at": moved}, reason="late", by="test", now=NOW, bounds=BOUNDS)
        sent.voided = True
        self.events[str(amended.replacement.key)] = Sent(
            sent.customer, sent.meter, month, sent.matched, sent.left_out, sent.code
        )

    def close(self) -> None:
        """Close the next month, or one whose invoices are void; or a closed one, which changes nothing."""
        following = [month for month in MONTHS if month not in self.closed][:1]
        month = self.dice.choice([*following, *self.closed])
        self.close_month(month)

    def close_month(self, month: int) -> None:
        before = set(Invoice.objects.values_list("id", flat=True))
        close_period(Month(2026, month), now=LATER, grace_days=0)
        if month not in self.closed:
            self.closed.append(month)
        for invoice in Invoice.objects.exclude(id__in=before).select_related("customer"):
            own = [sent for sent in self.events.values() if sent.customer == invoice.customer.code]
            for sent in own:
                if sent.matched and (sent.month == month or (sent.month < month and self.is_billed(sent))):
                    self.take(sent, invoice.pk)

    def void_invoice(self) -> None:
        """Make an invoice void: it billed nothing and settled nothing; its own period is billed again as a whole."""
        live = list(Invoice.objects.filter(status__in=BILLED).select_related("customer"))
        if not live:
            return
        invoice = self.dice.choice(live)
        Invoice.objects.filter(pk=invoice.pk).update(status="void")
        for sent in self.events.values():
            own = sent.customer == invoice.customer.code and sent.month == invoice.period_start.month
            if own or sent.taken_in == invoice.pk:
                sent.taken_in = sent.taken_back = None
            elif sent.taken_back == invoice.pk:
                sent.taken_back = None
        for pair in list(self.waived):
            if pair[0] == invoice.customer.code and pair[2] == invoice.period_start.month:
                del self.waived[pair]

    def waive(self) -> None:
        """Decide not to bill or pay back what changed of a line."""
        scan_changes(now=NOW)
        flagged = list(
            ChangedLine.objects.filter(line__invoice__status__in=BILLED).values_list("line_id", flat=True)
        )
        if not flagged:
            return
        position = place_batches()
        [found] = compute_adjustments([self.dice.choice(flagged)], watermark=position)
        AdjustmentWaiver.objects.create(
            line=found.line,
            adjustment_n=found.settled.next_n,
            position=position,
            quantity=found.quantity - found.settled.quantity,
            amount=found.difference,
            reason="not worth it",
            waived_by=get_user_model().objects.get(),
            waived_at=NOW,
        )
        drop_flags([found.line.pk], [position])
        invoice = found.line.invoice
        assert found.line.meter is not None
        pair = (invoice.customer.code, found.line.meter.code, invoice.period_start.month)
        self.waived[pair] = self.waived.get(pair, Decimal(0)) + found.difference
        for sent in self.events.values():
            if (sent.customer, sent.meter, sent.month) == pair and sent.matched:
                self.take(sent, "waiver")

    # ---- what it should come to ----

    def take(self, sent: Sent, by: int | str) -> None:
        if not sent.costs:
            return
        if not sent.voided and sent.taken_in is None:
            sent.taken_in = by
        if sent.voided and sent.taken_in is not None and sent.taken_back is None:
            sent.taken_back = by

    def is_billed(self, sent: Sent) -> bool:
        """Tell whether the period of an event has an invoice: what changed in it goes on the next one."""
        return Invoice.objects.filter(
            customer__code=sent.customer, period_start__month=sent.month, status__in=BILLED, kind="periodic"
        ).exists()

    def some_key(self) -> str | None:
        keys = [key for key, sent in self.events.items() if not sent.voided]
        return self.dice.choice(keys) if keys else None

    def expected(self) -> dict[tuple[str, str], dict[str, int]]:
        counts: dict[tuple[str, str], dict[str, int]] = {}
        for sent in self.events.values():
            if not sent.matched:
                continue
            names = ["accepted"]
            if sent.voided:
                names.append("voided")
                if sent.taken_in is not None and sent.taken_back is None:
                    names.append("voided_after_billing")
            elif not sent.costs:
                names.append("free")
            elif sent.taken_in == "waiver":
                names += ["free", "waived"]
            else:
                names.append("not_yet_billed" if sent.taken_in is None else "billed")
            row = counts.setdefault((sent.customer, sent.meter), dict.fromkeys(NAMES, 0))
            for name in names:
                row[name] += 1
        return counts

    def check(self) -> None:
        place_batches()
        found = reconcile(*WHOLE, by_customer=True)
        codes = (
            dict(Customer.objects.values_list("id", "code")),
            dict(Meter.objects.values_list("id", "code")),
        )
        counts = {
            (codes[0][each.customer_id or 0], codes[1][each.meter_id]): {
                name: getattr(each, name) for name in NAMES
            }
            for each in found.standings
        }
        assert counts == self.expected()
        assert found.difference == 0

    def check_money(self) -> None:
        """Once everything is settled, each period's lines and waivers come to 2.00 for each of its events."""
        for customer in ("acme", "globex"):
            for meter in METERS[:2]:
                for month in MONTHS:
                    lines = InvoiceLine.objects.filter(
                        invoice__customer__code=customer, meter__code=meter, period_start__month=month,
                        invoice__status__in=BILLED,
                    )  # fmt: skip
                    billed: Any = lines.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
                    there = sum(
                        1
                        for sent in self.events.values()
                        if (sent.customer, sent.meter, sent.month) == (customer, meter, month)
                        and sent.matched and sent.costs and not sent.voided
                    )  # fmt: skip
                    assert billed + self.waived.get((customer, meter, month), 0) == 2 * there


NAMES = ("accepted", "billed", "not_yet_billed", "free", "voided", "waived", "voided_after_billing")
STEP_WEIGHTS = {"send": 6, "void": 3, "amend": 2, "release": 1, "close": 4, "void_invoice": 1, "waive": 1}


@pytest.mark.parametrize("seed", range(5))
def test_every_event_is_accounted_for_whatever_happens(seed: int) -> None:
    get_user_model().objects.create_user("clerk")
    for meter in METERS:
        filters = {"channel": ["email"]} if meter == "calls" else {}
        make_meter(meter, dimensions=["channel"], filters=filters)
    plan = make_plan(
        *({"kind": "usage", "meter": code, "model": "per_unit", "unit_amount": "2"} for code in METERS[:2])
    )
    for code in ("acme", "globex"):
        make_subscription(make_customer(code), plan, start_on=datetime(2026, 8, 1).date())  # noqa: DTZ001
    story = Story(random.Random(seed))
    for step in story.dice.choices(list(STEP_WEIGHTS), list(STEP_WEIGHTS.values()), k=STEPS):
        getattr(story, step)()
        story.check()
    for month in MONTHS:
        story.close_month(month)
    # November's invoice takes in what is late for October, and takes back what adjusted invoices that are void.
    close_period(Month(2026, 11), now=LATER, grace_days=0)
    found = reconcile(*WHOLE)
    assert (found.standing("not_yet_billed"), found.taken_back, found.difference) == (0, 0, 0)
    story.check_money()
    for standing in Standing:
        listed = sum(
            len(events_of(standing, meter=meter, start=WHOLE[0], end=WHOLE[1], limit=1_000))
            for meter in Meter.objects.all()
        )
        assert listed == found.standing(standing.value)
