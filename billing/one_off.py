"""Invoices on demand: a customer, lines with quantity and unit price, no plan. Issued like every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from django.db import IntegrityError, transaction

from billing.discounting import held_coupons
from billing.drafts import DraftCredit, DraftDiscount, DraftLine, DraftTax
from billing.errors import FiguresChanged, InvalidAmount, KeptChanging, KeyTaken
from billing.formatting import WIDE
from billing.invoice_rows import invoice_discount, invoice_line
from billing.issuing import issue
from billing.models import (
    Invoice,
    InvoiceDiscount,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    TaxCategory,
)
from billing.parties import issuer_now, keep_words, recipient_of
from billing.rating import Step, currency_digits, round_amount
from billing.spending import Owed, planned_credits
from billing.taxing import tax_lines, tax_table
from customers.models import Customer
from metering.periods import Period, local_day

MOST_LINES = 500
MOST = Decimal(10) ** 18
DECIMALS = 18
LONGEST_DESCRIPTION, LONGEST_UNIT = 400, 40
TRIES = 10


@dataclass(frozen=True, slots=True)
class Item:
    """One line to bill: quantity times unit price, rounded once. A price below zero gives something back."""

    description: str
    quantity: Decimal
    unit_amount: Decimal
    unit: str = ""
    tax_category: str = TaxCategory.STANDARD.value


@dataclass(frozen=True, slots=True)
class OneOff:
    """A one-off invoice drawn up and not stored. Amounts are in major units.

    `total` is `subtotal - discount + tax`. Credits are known in previews only: they are taken when it is issued.
    """

    customer: Customer
    currency: str
    period: Period
    lines: tuple[DraftLine, ...]
    discounts: tuple[DraftDiscount, ...]
    taxes: tuple[DraftTax, ...]
    subtotal: Decimal
    tax: Decimal
    tax_included: Decimal
    credits_applied: Decimal = Decimal(0)
    credits: tuple[DraftCredit, ...] = ()

    @property
    def discount(self) -> Decimal:
        return sum((each.amount for each in self.discounts), Decimal(0))

    @property
    def total(self) -> Decimal:
        return self.subtotal - self.discount + self.tax


def draw_up_one_off(
    customer: Customer, items: Sequence[Item], *, currency: str = "", use_coupons: bool = False, now: datetime
) -> OneOff:
    """Compute an invoice over some items in a currency, the customer's by default; nothing is stored.

    `use_coupons` takes off what the customer's coupons do that are for no plan or rate. Raises InvalidAmount naming
    the line.
    """
    currency = currency or customer.currency
    digits = currency_digits(currency)
    amounts = _amounts(items, digits=digits)
    today = local_day(now, customer.timezone)
    period = Period(today, today + timedelta(days=1), customer.timezone)
    lines = [
        _line(n, item, amount, period)
        for n, (item, amount) in enumerate(zip(items, amounts, strict=True), start=1)
    ]
    discounts: tuple[DraftDiscount, ...] = ()
    if use_coupons:
        lines, discounts = held_coupons([customer.pk]).take_without_plan(
            customer.pk, period, lines, currency=currency, digits=digits
        )
    taxed = tax_lines(lines, customer, tax_table(), period=period, digits=digits)
    return OneOff(
        customer=customer,
        currency=currency,
        period=period,
        lines=tuple(taxed.lines),
        discounts=discounts,
        taxes=tuple(taxed.taxes),
        subtotal=sum(amounts, Decimal(0)),
        tax=taxed.added,
        tax_included=taxed.included,
    )


def preview_one_off(
    customer: Customer, items: Sequence[Item], *, currency: str = "", use_coupons: bool = False, now: datetime
) -> OneOff:
    """Compute an invoice over some items, and what credits would pay of it now; nothing is stored.

    Raises InvalidAmount naming the line.
    """
    drawn = draw_up_one_off(customer, items, currency=currency, use_coupons=use_coupons, now=now)
    (planned,) = planned_credits([Owed(customer.pk, drawn.currency, drawn.total)], now=now)
    return replace(drawn, credits_applied=planned.applied, credits=planned.credits)


def create_one_off(
    customer: Customer,
    items: Sequence[Item],
    *,
    currency: str = "",
    key: str | None = None,
    use_coupons: bool = False,
    at_once: bool = True,
    expected: Decimal | None = None,
    now: datetime,
) -> Invoice:
    """Draw up an invoice over some items, and issue it unless told otherwise, in one transaction.

    A `key` sent again gives the invoice of the first time, also to those who send it at the same moment. Raises
    InvalidAmount naming the line; KeyTaken for another customer or other lines, or where the first time left a draft
    that is to be issued now; FiguresChanged when `expected`, the total that was shown, is no longer what it comes to;
    KeptChanging when others use up the same coupons all the time.
    """
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                drawn = draw_up_one_off(customer, items, currency=currency, use_coupons=use_coupons, now=now)
                return _store(drawn, key=key, at_once=at_once, expected=expected, now=now)
        except IntegrityError as refused:
            if not any(each in str(refused) for each in ("invoicediscount_used_once", "invoice_key_once")):
                raise
    raise KeptChanging("The customer's coupons kept being used while the invoice was made. Try again.")


def _store(
    drawn: OneOff, *, key: str | None, at_once: bool, expected: Decimal | None, now: datetime
) -> Invoice:
    customer, period = drawn.customer, drawn.period
    if key is not None and (made := Invoice.objects.filter(key=key).first()) is not None:
        if not _says(made, drawn, at_once=at_once, expected=expected):
            message = "This key stands for another invoice. Use a new key for a new invoice."
            raise KeyTaken(message, fields={"key": message})
        return made
    if expected is not None and expected != drawn.total:
        raise FiguresChanged("It comes to another total by now. Look at it again.")
    invoice = Invoice(
        customer=customer,
        subscription=None,
        kind=InvoiceKind.ONE_OFF,
        starts_at=period.start,
        ends_at=period.end,
        period_start=period.start_on,
        period_end=period.end_on,
        zone=period.zone,
        currency=drawn.currency,
        subtotal=drawn.subtotal,
        discount=drawn.discount,
        tax=drawn.tax,
        tax_included=drawn.tax_included,
        taxes=[tax.as_json() for tax in drawn.taxes],
        total=drawn.total,
        issuer=issuer_now(),
        recipient=recipient_of(customer),
        plan_name="",
        plan_code="",
        plan_version=0,
        watermark=0,
        drawn_up_at=now,
        issue_after=now,
        key=key,
    )
    keep_words([invoice.recipient])
    invoice.save(force_insert=True)
    InvoiceLine.objects.bulk_create(invoice_line(invoice, line) for line in drawn.lines)
    InvoiceDiscount.objects.bulk_create(invoice_discount(invoice, each) for each in drawn.discounts)
    if at_once:
        issue([invoice], now=now)
    return Invoice.objects.get(pk=invoice.pk)


def _says(made: Invoice, drawn: OneOff, *, at_once: bool, expected: Decimal | None) -> bool:
    """Tell whether an invoice is what is asked for again; not by totals drawn up now: it may have used up a coupon."""
    fields = ("description", "quantity", "unit", "unit_amount", "amount", "tax_category")
    before = list(made.lines.order_by("n").values_list(*fields))
    said = [tuple(getattr(line, name) for name in fields) for line in drawn.lines]
    if at_once and made.status == InvoiceStatus.DRAFT:
        return False
    same = (made.customer_id, made.currency, before) == (drawn.customer.pk, drawn.currency, said)
    return same and expected in (None, made.total)


def _amounts(items: Sequence[Item], *, digits: int) -> list[Decimal]:
    if not 1 <= len(items) <= MOST_LINES:
        message = f"Give 1 to {MOST_LINES} lines."
        raise InvalidAmount(message, fields={"lines": message})
    problems: dict[str, str] = {}
    amounts = []
    for place, item in enumerate(items):
        if not 1 <= len(item.description.strip()) <= LONGEST_DESCRIPTION:
            problems[f"lines.{place}.description"] = (
                f"Say in 1 to {LONGEST_DESCRIPTION} letters what is billed."
            )
        if len(item.unit) > LONGEST_UNIT:
            problems[f"lines.{place}.unit"] = f"A unit has {LONGEST_UNIT} letters at most."
        if not (item.quantity.is_finite() and 0 < item.quantity < MOST and _fits(item.quantity)):
            problems[f"lines.{place}.quantity"] = (
                f"Give a quantity above zero with up to {DECIMALS} decimals."
            )
        elif not (item.unit_amount.is_finite() and abs(item.unit_amount) < MOST and _fits(item.unit_amount)):
            problems[f"lines.{place}.unit_amount"] = f"Give a price with up to {DECIMALS} decimals."
        else:
            with localcontext(WIDE):
                amounts.append(round_amount(item.quantity * item.unit_amount, digits))
            if abs(amounts[-1]) >= MOST:
                problems[f"lines.{place}.quantity"] = "This is more than any invoice can be."
    if problems:
        raise InvalidAmount(next(iter(problems.values())), fields=problems)
    return amounts


def _fits(value: Decimal) -> bool:
    with localcontext(WIDE):
        return value == round_amount(value, DECIMALS)


def _line(n: int, item: Item, amount: Decimal, period: Period) -> DraftLine:
    with localcontext(WIDE):
        exact = item.quantity * item.unit_amount
    return DraftLine(
        n=n,
        kind=LineKind.ITEM,
        description=item.description.strip(),
        rate_id=None,
        meter=None,
        unit=item.unit,
        quantity=item.quantity,
        events=0,
        unit_amount=item.unit_amount,
        amount=amount,
        terms={},
        working=(Step("", "units", item.quantity, item.unit_amount, exact),),
        period=period,
        tax_category=item.tax_category,
    )
