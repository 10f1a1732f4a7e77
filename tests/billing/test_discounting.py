"""Coupons on invoices: for what, for how long, how often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pytest
from django.db import DatabaseError, connection, transaction

from billing.approving import discard_draft
from billing.closing import close_period
from billing.couponing import CouponTerms, archive_coupon, give_coupon, remove_coupon, save_coupon
from billing.discounting import uses_of
from billing.errors import CouponNotAvailable, InvalidCoupon
from billing.models import Coupon, CustomerCoupon, Invoice, InvoiceDiscount, InvoiceLine, Subscription
from billing.months import Month
from billing.one_off import Item, create_one_off
from billing.previewing import preview_invoice
from billing.voiding import void_invoice
from metering.correcting import void_event
from metering.models import Event
from tests.at_once import told_at_once
from tests.billing.money import cents, give, sums, tax
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
MONTHS = [Month(2026, 8), Month(2026, 9), Month(2026, 10)]
FEE = {"kind": "subscription", "label": "Base fee", "amount": "100.00", "timing": "in_arrears"}


def subscribed(*rates: dict[str, object], **fields: object) -> Subscription:
    make_meter()
    return make_subscription(
        make_customer(), make_plan(*(rates or (FEE,)), **fields), start_on=date(2026, 8, 1)
    )


def closed(*months: Month, now: datetime = NOW) -> list[str]:
    for month in months or MONTHS:
        close_period(month, now=now, grace_days=0)
    return [cents(each.discount) for each in Invoice.objects.order_by("period_start")]


@pytest.mark.parametrize(
    ("terms", "discounts"),
    [
        ({"duration": "once"}, ["10.00", "0.00", "0.00"]),
        ({"duration": "repeating", "invoices": 2}, ["10.00", "10.00", "0.00"]),
        ({"duration": "forever"}, ["10.00", "10.00", "10.00"]),
        ({"start_on": date(2026, 9, 30)}, ["0.00", "10.00", "10.00"]),
        ({"start_on": date(2026, 10, 1)}, ["0.00", "0.00", "10.00"]),
        ({"plan_codes": ("support",)}, ["10.00", "10.00", "10.00"]),
    ],
)
def test_a_coupon_lasts_as_long_as_it_says(terms: dict[str, object], discounts: list[str]) -> None:
    give(subscribed().customer, "10%", **terms)
    assert closed() == discounts


def test_a_coupon_of_another_plan_or_currency_takes_nothing_off_and_is_not_used() -> None:
    customer = subscribed().customer
    make_plan(code="other")
    give(customer, "10%", code="o", plan_codes=("other",))
    give(customer, "5", code="e", currency="EUR")
    assert closed() == ["0.00", "0.00", "0.00"]
    assert not InvoiceDiscount.objects.exists()


def test_a_coupon_for_one_rate_leaves_the_other_lines() -> None:
    give(subscribed(FEE, TICKETS).customer, "50%", rates=("tickets_resolved",))
    send(*(event(f"e{n}") for n in range(10)))
    closed(Month(2026, 10))
    lines = InvoiceLine.objects.values_list("description", "discount")
    assert {name: cents(off) for name, off in lines} == {"Base fee": "0.00", "Tickets Resolved": "10.00"}


def test_included_spend_is_taken_off_before_a_coupon() -> None:
    """100 tickets are 200.00; 50.00 are included; 10 % of the other 150.00 is 15.00."""
    give(subscribed(TICKETS, included_spend=Decimal(50)).customer, "10%")
    send(*(event(f"e{n}") for n in range(100)))
    closed(Month(2026, 10))
    invoice = Invoice.objects.get()
    assert (cents(invoice.subtotal), cents(invoice.discount)) == ("150.00", "15.00")


def test_a_fixed_coupon_never_takes_more_than_there_is_and_an_empty_invoice_does_not_use_it() -> None:
    give(subscribed(TICKETS).customer, "500", duration="once")
    assert closed(Month(2026, 8), Month(2026, 9)) == ["0.00", "0.00"]
    send(event("one"))
    assert closed(Month(2026, 10)) == ["0.00", "0.00", "2.00"]
    assert Invoice.objects.get(discount__gt=0).total == 0


def test_a_void_invoice_gives_the_use_back() -> None:
    give(subscribed().customer, "10%", duration="once")
    assert closed(*MONTHS[:2]) == ["10.00", "0.00"]
    Invoice.objects.filter(discount__gt=0).update(status="void")
    assert closed(Month(2026, 10)) == ["10.00", "0.00", "10.00"]
    assert list(InvoiceDiscount.objects.order_by("id").values_list("use_n", flat=True)) == [1, 2]


def test_two_invoices_of_one_close_share_a_coupon_the_earlier_period_first() -> None:
    customer = subscribed().customer
    make_subscription(
        customer, make_plan(FEE, code="addon"), start_on=date(2026, 10, 10), end_on=date(2026, 10, 20)
    )
    give(customer, "10", duration="once")
    closed(Month(2026, 10))
    used = InvoiceDiscount.objects.get()
    assert (used.invoice.plan_code, used.amount) == ("addon", 10)


def test_one_use_cannot_be_on_two_invoices() -> None:
    give(subscribed().customer, "10%")
    closed()
    row = InvoiceDiscount.objects.order_by("id")[0]
    draft = Invoice.objects.order_by("id")[0]
    with pytest.raises(DatabaseError, match="invoicediscount_used_once"), transaction.atomic():
        InvoiceDiscount.objects.create(
            invoice=draft, n=9, customer_coupon=row.customer_coupon, use_n=1, name="x", kind="percent", value=1,
            amount=1,
        )  # fmt: skip


def test_a_removed_coupon_is_on_no_later_invoice_and_issued_ones_keep_it() -> None:
    held = give(subscribed().customer, "10%")
    closed(Month(2026, 8))
    remove_coupon(held, by="tests", now=NOW)
    assert closed() == ["10.00", "0.00", "0.00"]


def test_a_late_event_is_credited_at_the_discounted_price() -> None:
    """Ten tickets of October cost 20.00, 25 % off: 15.00. One is taken back in November: 1.50 back, not 2.00."""
    subscription = subscribed(TICKETS)
    give(subscription.customer, "25%", duration="once")
    send(*(event(f"e{n}") for n in range(10)))
    closed(Month(2026, 10))
    assert cents(Invoice.objects.get().total) == "15.00"
    void_event(Event.objects.get(key="e0"), reason="counted in error", by="tests", now=NOW)
    draft = preview_invoice(subscription, now=NOW)
    assert [(each.kind, cents(each.amount)) for each in draft.lines if each.amount] == [
        ("adjustment", "-1.50")
    ]
    for n in range(1, 10):
        void_event(Event.objects.get(key=f"e{n}"), reason="counted in error", by="tests", now=NOW)
    close_period(Month(2026, 11), now=datetime(2026, 12, 5, tzinfo=UTC), grace_days=0)
    assert cents(Invoice.objects.order_by("-period_start")[0].subtotal) == "-15.00"


def test_a_coupon_can_be_given_as_often_as_it_says() -> None:
    held = give(make_customer("a"), "10%", code="rare", max_redemptions=1)
    with pytest.raises(CouponNotAvailable, match="was given 1 times"):
        give_coupon(make_customer("b"), held.coupon, by="tests", now=NOW)
    remove_coupon(held, by="tests", now=NOW)
    assert give_coupon(make_customer("c"), held.coupon, by="tests", now=NOW).pk


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"valid_from": date(2026, 11, 21)}, "can be given from 2026-11-21"),
        ({"valid_until": date(2026, 11, 20)}, "could be given until 2026-11-20"),
    ],
)
def test_a_coupon_is_given_in_its_days_only(terms: dict[str, date], words: str) -> None:
    with pytest.raises(CouponNotAvailable, match=words):
        give(make_customer(), "10%", **terms)
    assert not CustomerCoupon.objects.exists()


def test_an_archived_coupon_and_one_already_held_are_refused() -> None:
    held = give(make_customer(), "10%")
    with pytest.raises(CouponNotAvailable, match="holds the coupon"):
        give_coupon(held.customer, held.coupon, by="tests", now=NOW)
    archive_coupon(held.coupon, now=NOW)
    with pytest.raises(CouponNotAvailable, match="is archived"):
        give_coupon(make_customer("b"), held.coupon, by="tests", now=NOW)


TERMS = {"code": "x", "name": "X", "kind": "percent", "value": Decimal(10)}


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"value": Decimal(101)}, "value"),
        ({"value": Decimal(0)}, "value"),
        ({"currency": "USD"}, "currency"),
        ({"kind": "fixed"}, "currency"),
        ({"kind": "fixed", "currency": "JPY", "value": Decimal("1.5")}, "value"),
        ({"kind": "gift"}, "kind"),
        ({"duration": "repeating"}, "invoices"),
        ({"invoices": 3}, "invoices"),
        ({"duration": "always"}, "duration"),
        ({"plan_codes": ("nope",)}, "plan_codes"),
        ({"rates": ("nope",)}, "rates"),
        ({"max_redemptions": 0}, "max_redemptions"),
        ({"valid_from": date(2026, 2, 1), "valid_until": date(2026, 2, 1)}, "valid_until"),
        ({"name": " "}, "name"),
    ],
)
def test_terms_that_make_no_sense_are_named_and_nothing_is_written(
    terms: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidCoupon) as refused:
        save_coupon(CouponTerms(**(TERMS | terms)))
    assert list(refused.value.fields) == [field]
    assert not Coupon.objects.exists()


def test_what_a_given_coupon_takes_off_stays() -> None:
    held = give(make_customer(), "10%", code="x", name="X")
    with pytest.raises(InvalidCoupon, match="Customers hold this coupon"):
        save_coupon(
            CouponTerms(**(TERMS | {"value": Decimal(50), "duration": "forever"})), coupon=held.coupon
        )
    with pytest.raises(DatabaseError, match="what it takes off stays"), transaction.atomic():
        Coupon.objects.update(value=50)
    changed = CouponTerms(**(TERMS | {"duration": "forever", "max_redemptions": 3}))
    assert save_coupon(changed, coupon=held.coupon).max_redemptions == 3


@pytest.mark.django_db(transaction=True)
def test_the_last_redemption_goes_to_one_of_two_at_once() -> None:
    coupon = save_coupon(CouponTerms(**(TERMS | {"max_redemptions": 1})))
    customers = [make_customer(f"c{n}") for n in range(8)]
    told = told_at_once(*(partial(give_coupon, each, coupon, by="tests", now=NOW) for each in customers))
    assert told == ["coupon_not_available"] * 7 + ["done"]
    assert CustomerCoupon.objects.count() == 1


def test_a_one_off_invoice_uses_coupons_only_when_asked_and_only_those_for_no_plan_or_rate() -> None:
    make_meter()
    customer = make_customer()
    tax("DE", "19")
    customer.country = "DE"
    customer.save()
    once = give(customer, "10%", duration="once")
    give(customer, "20.00")
    give(customer, "50%", code="of-plan", plan_codes=(make_plan().code,))
    give(customer, "5.00", code="euros", currency="EUR")
    items = [Item("Consulting", Decimal(1), Decimal("100.00")), Item("Back", Decimal(1), Decimal("-10.00"))]
    assert create_one_off(customer, items, now=NOW).discount == 0
    # 10 % of 100.00, then 20.00 off the 90.00 that is left; nothing off the line below zero.
    draft = create_one_off(customer, items, use_coupons=True, at_once=False, now=NOW)
    assert sums(draft) == {
        "subtotal": "90.00",
        "discount": "30.00",
        "tax": "11.40",
        "total": "71.40",
        "amount_due": "71.40",
    }
    assert [line.discount for line in draft.lines.all()] == [Decimal(30), Decimal(0)]
    # The draft holds the single use; discarded, it gives it back.
    assert create_one_off(customer, items, use_coupons=True, now=NOW).discount == 20
    discard_draft(draft)
    again = create_one_off(customer, items, use_coupons=True, now=NOW)
    assert (again.discount, uses_of([once])[once.pk].live) == (30, 1)
    void_invoice(again, reason="Wrong", by="clerk", now=NOW)
    assert uses_of([once])[once.pk].live == 0


@pytest.mark.django_db(transaction=True)
def test_eight_one_off_invoices_at_once_share_one_use() -> None:
    customer = make_customer()
    give(customer, "10%", duration="once")

    def bill(n: int) -> Decimal:
        try:
            item = Item("Consulting", Decimal(1), Decimal("100.00"))
            return create_one_off(customer, [item], use_coupons=True, key=f"k{n}", now=NOW).total
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(bill, range(8))) == [Decimal(90), *[Decimal(100)] * 7]


@pytest.mark.django_db(transaction=True)
def test_four_that_send_one_key_at_once_get_the_same_invoice_though_it_used_the_coupon_up() -> None:
    """Double clicks and impatient clients: everybody gets the invoice, nobody is told that the key is taken."""
    customer = make_customer()
    give(customer, "10%", duration="once")
    item = Item("Consulting", Decimal(1), Decimal("100.00"))

    def bill(_: int) -> tuple[str, Decimal]:
        try:
            made = create_one_off(
                customer, [item], use_coupons=True, key="order-1", expected=Decimal(90), now=NOW
            )
            return str(made), made.total
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(bill, range(4))) == [("INV-2026-000001", Decimal(90))] * 4
    assert Invoice.objects.count() == 1
