"""Everything that may happen to a few customers, each as one call; what the application refuses is refused.

After each close the books must agree: the audit, the verification, the reconciliation, and what was issued before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F

from billing import chunk_storing, chunking, closing
from billing.agreed_changes import Author
from billing.auditing import audit
from billing.changing import cancel, change_plan, change_quantity, pause, reactivate, resume
from billing.closing import close_period
from billing.collecting import record_payment, reinstate, reverse_payment, write_off
from billing.correcting import issue_credit_note
from billing.deciding import find_late_usage, waive_late_usage
from billing.disputing import decide_dispute, open_dispute
from billing.errors import BillingError
from billing.holding import approve
from billing.late_credits import credit_late_usage
from billing.line_events import billed_outcomes
from billing.models import (
    ChangedLine,
    CloseReview,
    CreditGrant,
    Dispute,
    Invoice,
    InvoiceLine,
    ParkedCustomer,
    Payment,
    Plan,
    Subscription,
    SubscriptionChange,
)
from billing.months import Month
from billing.moving import move_to_credits
from billing.one_off import Item, create_one_off
from billing.reconciling import reconcile
from billing.subscribing import subscribe
from billing.undoing import undo
from billing.verification import invoices_to_verify, verify
from billing.voiding import void_invoice
from customers.models import BillTo, Customer
from metering.correcting import amend_event, find_event, void_event
from metering.errors import MeteringError
from tests.billing.money import credit, give, tax
from tests.factories import BOUNDS, event, make_customer, make_meter, make_plan, send
from tests.stories.world_sums import LIVE, RATES, TERMS, Sums, Told

ZONES = ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kolkata"]
CURRENCIES = ["USD", "JPY", "KWD"]
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
REFUSED = (BillingError, MeteringError)
MAY_CHANGE = {"status", "amount_paid", "amount_credited", "amount_written_off"}


class KilledHere(BaseException):
    """The closer's process ends here."""


class World(Sums):
    """A clock, three customers, and what happens to them."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.serial = 0
        self.told: list[Told] = []
        self.signals: list[tuple[str, str, datetime, str, str]] = []
        self.frozen: dict[int, object] = {}
        self.issued: set[int] = set()
        self.discounted: set[str] = set()

    # What is there from the beginning.

    def begin(
        self,
        zones: list[str],
        plans: list[str],
        currency: str,
        family: bool,
        taxed: bool,
        days: list[int],
        anniversary: bool,
        trial: int,
    ) -> None:
        self.admin = User.objects.create_superuser("boss", "boss@example.test", "x")
        make_meter("tickets", type="sum", unit="ticket")
        make_meter("results", once_per_subject="ever", verification_hours=Decimal(48), unit="result")
        if taxed:
            tax("DE", "19")
        self.currency = currency
        for code, rates in RATES.items():
            make_plan(*rates, code=code, name=code, currency=currency, dispute_days=90, **TERMS.get(code, {}))
        parent = None
        for n in range(3):
            more: dict[str, Any] = {}
            if family and parent is not None:
                more = {"parent": parent, "bill_to": BillTo.PARENT}
            customer = make_customer(f"c{n}", currency=currency, timezone=zones[n], country="DE", **more)
            parent = parent or customer
            self.subscribe(customer, plans[n], date(2026, 3, 1) + timedelta(days=days[n]), trial, anniversary)

    def subscribe(self, customer: Customer, plan: str, day: date, trial: int, anniversary: bool) -> None:
        subscribe(
            customer,
            plan=Plan.objects.get(code=plan),
            start_on=day,
            trial_days=trial,
            trial_usage_free=bool(trial),
            anchor="anniversary" if anniversary else "calendar",
            quantity=2,
        )

    # Time and events.

    def time_passes(self, days: int, hours: int) -> None:
        self.now += timedelta(days=days, hours=hours)

    def usage_arrives(self, customer: int, hours_ago: int, value: str) -> None:
        if value == "-1":
            value = "7"
        at = self.now - timedelta(hours=hours_ago)
        self.serial += 1
        key = f"e{self.serial}"
        self.told.append(Told(key, f"c{customer}", "tickets", at, Fraction(value), ""))
        result = send(
            event(key, meter="tickets", customer=f"c{customer}", occurred_at=at.isoformat(), value=value),
            now=self.now,
        )
        assert result.results[0].status == "accepted", result

    def usage_at_midnight(self, at_edge: int, customer: int, month: int) -> None:
        zone = Customer.objects.get(code=f"c{customer}").timezone
        at = datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) + timedelta(microseconds=at_edge)
        if at > self.now:
            return
        self.usage_arrives_at(customer, at, "4")

    def usage_arrives_at(self, customer: int, at: datetime, value: str) -> None:
        self.serial += 1
        key = f"e{self.serial}"
        self.told.append(Told(key, f"c{customer}", "tickets", at, Fraction(value), ""))
        send(
            event(key, meter="tickets", customer=f"c{customer}", occurred_at=at.isoformat(), value=value),
            now=self.now,
        )

    def result_arrives(self, customer: int, hours_ago: int, subject: int) -> None:
        at = self.now - timedelta(hours=hours_ago)
        self.serial += 1
        key = f"e{self.serial}"
        self.told.append(Told(key, f"c{customer}", "results", at, Fraction(1), f"s{subject}"))
        result = send(
            event(
                key,
                meter="results",
                customer=f"c{customer}",
                occurred_at=at.isoformat(),
                subject=f"s{subject}",
            ),
            now=self.now,
        )
        assert result.results[0].status == "accepted", result

    def signal_arrives(self, customer: int, hours_ago: int, subject: int, kind: str) -> None:
        at = self.now - timedelta(hours=hours_ago)
        self.serial += 1
        key = f"e{self.serial}"
        self.signals.append((key, f"c{customer}", at, kind, f"s{subject}"))
        send(
            event(
                key,
                meter="results",
                customer=f"c{customer}",
                occurred_at=at.isoformat(),
                **{kind: {"subject": f"s{subject}"}},
            ),
            now=self.now,
        )

    def event_is_voided(self, pick: Any) -> None:
        told = pick.choice(self.told)
        if self.attempt(
            lambda: void_event(find_event(told.key, source="api"), reason="wrong", by="x", now=self.now)
        ):
            told.gone = True

    def event_is_amended(self, pick: Any, what: str, hours_ago: int) -> None:
        told = pick.choice(self.told)
        new = Told(told.key, told.customer, told.meter, told.at, told.value, told.subject)
        changes: dict[str, Any] = {}
        if what == "value":
            new.value = Fraction(3)
            changes = {"value": "3"}
        elif what == "occurred_at":
            new.at = self.now - timedelta(hours=hours_ago)
            changes = {"occurred_at": new.at.isoformat()}
        else:
            new.customer = "c1" if told.customer != "c1" else "c2"
            changes = {"customer": new.customer}
        done: list[str] = []

        def amend() -> None:
            found = amend_event(
                find_event(told.key, source="api"),
                changes,
                reason="wrong",
                by="x",
                now=self.now,
                bounds=BOUNDS,
            )
            done.append(str(found.replacement.key))

        if self.attempt(amend):
            told.gone = True
            new.key = done[0]
            self.told.append(new)

    # Closing.

    def month_is_closed(self, back: int, grace: int) -> None:
        month = self.month(back)
        self.attempt(lambda: close_period(month, now=self.now, grace_days=grace))
        self.check()

    def closer_is_killed(self, back: int, at: str, whole: int) -> None:
        month = self.month(back)
        module = chunk_storing if hasattr(chunk_storing, at) else chunking
        real = getattr(module, at)
        calls = []

        def dies(*given: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) <= whole:
                return real(*given, **named)
            raise KilledHere

        with patch.object(module, at, dies), patch.object(closing, "CHUNK", 1), suppress(KilledHere):
            self.attempt(lambda: close_period(month, now=self.now, grace_days=0))
        self.check()

    def month(self, back: int) -> Month:
        year, month = self.now.year, self.now.month - back
        while month < 1:
            year, month = year - 1, month + 12
        return Month(year, month)

    # Plans.

    def a_subscription(self, pick: Any) -> Subscription | None:
        rows = list(Subscription.objects.exclude(end_on=F("start_on")).order_by("id"))
        return pick.choice(rows) if rows else None

    def day(self, offset: int | str) -> Any:
        return offset if isinstance(offset, str) else self.now.date() + timedelta(days=offset)

    def plan_is_changed(self, pick: Any, when: Any, to: str) -> None:
        if row := self.a_subscription(pick):
            self.attempt(
                lambda: change_plan(
                    row, to=Plan.objects.get(code=to), when=self.day(when), author=self.author()
                )
            )
            self.check()

    def seats_are_changed(self, pick: Any, when: Any, seats: int) -> None:
        if row := self.a_subscription(pick):
            self.attempt(lambda: change_quantity(row, seats, when=self.day(when), author=self.author()))

    def it_is_paused(self, pick: Any, when: Any, days: int | None) -> None:
        if row := self.a_subscription(pick):
            day = self.day(when)
            until = None if days is None or isinstance(day, str) else day + timedelta(days=days)
            self.attempt(lambda: pause(row, when=day, until=until, author=self.author()))

    def it_is_resumed(self, pick: Any, when: Any) -> None:
        if row := self.a_subscription(pick):
            self.attempt(lambda: resume(row, when=self.day(when), author=self.author()))

    def it_is_cancelled(self, pick: Any, when: Any) -> None:
        if row := self.a_subscription(pick):
            self.attempt(lambda: cancel(row, when=self.day(when), author=self.author()))

    def it_is_reactivated(self, pick: Any, when: Any) -> None:
        if row := self.a_subscription(pick):
            self.attempt(lambda: reactivate(row, when=self.day(when), author=self.author()))

    def a_change_is_taken_back(self, pick: Any) -> None:
        rows = list(SubscriptionChange.objects.order_by("id"))
        if rows:
            self.attempt(lambda: undo(pick.choice(rows), author=self.author()))
            self.check()

    def author(self) -> Author:
        return Author(self.now, "anna", "asked")

    # Money.

    def an_invoice(self, pick: Any, **chosen: Any) -> Invoice | None:
        rows = list(Invoice.objects.exclude(status="draft").filter(**chosen).order_by("id"))
        return pick.choice(rows) if rows else None

    def it_is_void(self, pick: Any) -> None:
        if row := self.an_invoice(pick):
            self.attempt(lambda: void_invoice(row, reason="wrong", by="x", now=self.now))
            self.check()

    def it_is_credited(self, pick: Any, share: int | None) -> None:
        if row := self.an_invoice(pick):
            amount = None if share is None else Decimal(int(row.total / share))
            self.attempt(
                lambda: issue_credit_note(row, reason="goodwill", amount=amount, by="x", now=self.now)
            )
            self.check()

    def it_is_paid(self, pick: Any, share: int) -> None:
        if row := self.an_invoice(pick):
            amount = Decimal(int(row.amount_due / share))
            self.attempt(
                lambda: record_payment(row, amount=amount, received_on=self.now.date(), by="x", now=self.now)
            )

    def money_moves(self, pick: Any, what: int) -> None:
        if row := self.an_invoice(pick):
            if what == 0:
                self.attempt(lambda: write_off(row, reason="gone", by="x", now=self.now))
            elif what == 1:
                self.attempt(lambda: reinstate(row, reason="back", by="x", now=self.now))
            elif what == 2:
                self.attempt(lambda: move_to_credits(row, by="x", now=self.now))
            else:
                payments = list(Payment.objects.order_by("id"))
                if payments:
                    self.attempt(
                        lambda: reverse_payment(pick.choice(payments), reason="back", by="x", now=self.now)
                    )
            self.check()

    def credit_is_granted(self, customer: int, amount: str, days: int | None) -> None:
        row = Customer.objects.get(code=f"c{customer}")
        until = None if days is None else self.now + timedelta(days=days)
        credit(row, amount, now=self.now, expires_at=until)

    def coupon_is_given(self, customer: int, value: str) -> None:
        row = Customer.objects.get(code=f"c{customer}")
        self.serial += 1
        self.discounted.add(row.code)
        self.attempt(lambda: give(row, value, code=f"k{self.serial}", start_on=date(2026, 1, 1)))

    def one_off_is_made(self, customer: int, quantity: str) -> None:
        row = Customer.objects.get(code=f"c{customer}")
        self.attempt(
            lambda: create_one_off(
                row, [Item("Training", Decimal(quantity), Decimal("9.1"))], use_coupons=True, now=self.now
            )
        )
        self.check()

    def late_usage_is_decided(self, pick: Any, how: str) -> None:
        find_late_usage(now=self.now)
        invoices = sorted(set(ChangedLine.objects.values_list("line__invoice_id", flat=True)))
        if not invoices:
            return
        invoice = pick.choice(invoices)
        shown = dict(ChangedLine.objects.filter(line__invoice=invoice).values_list("pk", "effect_amount"))
        do: Callable[..., Any] = waive_late_usage if how == "waive" else credit_late_usage
        self.attempt(lambda: do(shown, reason="favour", by=self.admin, now=self.now))
        self.check()

    def results_are_disputed(self, pick: Any, remedy: str) -> None:
        lines = list(
            InvoiceLine.objects.filter(meter__code="results", invoice__status__in=LIVE, quantity__gt=0)
            .exclude(kind="fee")
            .order_by("id")
        )
        if not lines:
            return
        line = pick.choice(lines)
        events = list(billed_outcomes(line).order_by("id"))
        if not events:
            return
        chosen = pick.sample(events, 1)
        opened: list[Dispute] = []

        def do_open() -> None:
            opened.append(open_dispute(line, [each.pk for each in chosen], reason="no", by="c", now=self.now))

        def decide() -> None:
            decide_dispute(
                opened[0],
                accepted=list(opened[0].outcomes.values_list("pk", flat=True)),
                answer="yes",
                remedy=remedy,
                by="x",
                now=self.now,
            )

        if self.attempt(do_open):
            self.attempt(decide)
            self.check()

    # What holds after each step.

    def attempt(self, do: Callable[[], object]) -> bool:
        """Do something that may be refused; then nothing is written."""
        sid = transaction.savepoint()
        try:
            do()
        except REFUSED:
            transaction.savepoint_rollback(sid)
            return False
        return True

    def check(self, *, closed: bool = False) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        known: dict[int, object] = {}
        lines: dict[int, list[Any]] = {}
        for line in InvoiceLine.objects.exclude(invoice__status="draft").order_by("id").values():
            lines.setdefault(line["invoice_id"], []).append(line)
        for row in Invoice.objects.exclude(status="draft").values():
            known[row["id"]] = {k: v for k, v in row.items() if k not in MAY_CHANGE}, lines.get(row["id"])
        for pk, before in self.frozen.items():
            assert known[pk] == before, (known[pk], before)
        self.frozen = known
        assert not CreditGrant.objects.filter(balance__lt=0).exists()
        wrong = [(answer.equation.code, answer.named) for answer in audit() if answer.differences]
        if not closed:  # a month that is not closed yet is a gap before one that is
            wrong = [each for each in wrong if each[0] != "periods_tile"]
        assert not wrong, wrong
        differences = verify(invoices_to_verify()).differences
        assert not differences, differences
        reconciled = reconcile(datetime(2025, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC))
        assert reconciled.difference == 0
        bugs = ParkedCustomer.objects.exclude(code__in=["rating_failed"]).values_list("code", "reason")
        assert not bugs, list(bugs)

    # What it all comes to.

    def close_all(self) -> None:
        month = Month(2026, 2)
        while month.first < self.now.date():
            self.attempt(lambda month=month: close_period(month, now=self.now, grace_days=0))  # type: ignore[misc]
            if held := list(CloseReview.objects.filter(held=True).values_list("pk", flat=True)):
                approve(held, reason="right", by=self.admin, now=self.now)
                self.attempt(lambda month=month: close_period(month, now=self.now, grace_days=0))  # type: ignore[misc]
            month = Month.of(month.following)

    def settle_everything(self) -> None:
        """Close what is over, end every plan, and close until nothing is left to come."""
        if not Subscription.objects.exists():
            return
        self.now += timedelta(days=70)
        self.close_all()
        for row in Subscription.objects.filter(end_on=None).order_by("id"):
            self.attempt(lambda row=row: cancel(row, when="now", author=self.author()))  # type: ignore[misc]
        self.now += timedelta(days=45)
        self.close_all()
        self.close_all()
        self.check(closed=True)
        self.compare()
