"""Coupons as staff and integrations write them: made, changed, given to customers, taken away again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from billing.errors import CouponNotAvailable, InvalidCoupon
from billing.models import Coupon, CouponDuration, CouponType, CustomerCoupon, Plan, Rate, RateKind
from billing.models.plans import MAX_AMOUNT
from billing.rating.errors import UnknownCurrency
from billing.rating.money import currency_digits, round_amount
from customers.models import Customer
from metering.periods import local_day

# What stays as it was once a customer holds the coupon.
AGREED = ("code", "name", "kind", "value", "currency", "duration", "invoices", "plan_codes", "rates")
MAX_INVOICES = 1_200


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """The terms of a coupon; see Coupon for what each means."""

    code: str
    name: str
    kind: str
    value: Decimal
    currency: str = ""
    duration: str = CouponDuration.ONCE.value
    invoices: int | None = None
    plan_codes: Sequence[str] = ()
    rates: Sequence[str] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    max_redemptions: int | None = None


def save_coupon(terms: CouponTerms, *, coupon: Coupon | None = None) -> Coupon:
    """Make a coupon, or change one. What is agreed with customers that hold it stays.

    Raises InvalidCoupon naming every wrong field; ValidationError for what no column can hold.
    """
    check_coupon(terms, coupon=coupon)
    row = coupon or Coupon()
    for name, value in _values(terms).items():
        setattr(row, name, value)
    row.full_clean()
    row.save()
    return row


def check_coupon(terms: CouponTerms, *, coupon: Coupon | None = None) -> None:
    """Raise InvalidCoupon naming every field that makes no sense, is taken, or is agreed with customers."""
    _check(terms)
    taken = Coupon.objects.filter(code=terms.code)
    if (taken.exclude(pk=coupon.pk) if coupon else taken).exists():
        message = f"There is a coupon with the code “{terms.code}” already. Choose another code."
        raise InvalidCoupon(message, fields={"code": message})
    if coupon is not None and coupon.given.exists():
        values = _values(terms)
        changed = [name for name in AGREED if getattr(coupon, name) != values[name]]
        if changed:
            message = "Customers hold this coupon: what it takes off stays. Make another coupon."
            raise InvalidCoupon(message, fields=dict.fromkeys(changed, message))


def archive_coupon(coupon: Coupon, *, now: datetime) -> None:
    """Take a coupon out of what can be given. Customers that hold it keep it."""
    coupon.archived_at = coupon.archived_at or now
    coupon.save(update_fields=["archived_at"])


def give_coupon(
    customer: Customer, coupon: Coupon, *, start_on: date | None = None, by: str, now: datetime
) -> CustomerCoupon:
    """Give a coupon to a customer, for invoices whose period goes on past the beginning of `start_on` (None: today).

    Raises CouponNotAvailable when it cannot be given now, or when the customer holds it.
    """
    today = local_day(now, customer.timezone)
    for problem in (
        "is archived" if coupon.archived_at else "",
        f"can be given from {coupon.valid_from} on"
        if coupon.valid_from and today < coupon.valid_from
        else "",
        f"could be given until {coupon.valid_until}"
        if coupon.valid_until and today >= coupon.valid_until
        else "",
    ):
        if problem:
            message = f"The coupon {coupon.code} {problem}."
            raise CouponNotAvailable(message, fields={"coupon": message})
    held = CustomerCoupon(
        customer=customer, coupon=coupon, start_on=start_on or today, given_at=now, given_by=by
    )
    try:
        with transaction.atomic():
            held.save()
    except IntegrityError as refused:
        if "customercoupon_held_once" in str(refused):
            message = f"{customer.name} holds the coupon {coupon.code} already."
        elif "customercoupon_within_redemptions" in str(refused):
            message = f"The coupon {coupon.code} was given {coupon.max_redemptions} times: no more."
        else:
            raise
        raise CouponNotAvailable(message, fields={"coupon": message}) from refused
    return held


def remove_coupon(held: CustomerCoupon, *, by: str, now: datetime) -> None:
    """Take a coupon away: it is on no invoice drawn up from now on. Issued ones keep their discount."""
    CustomerCoupon.objects.filter(pk=held.pk, removed_at=None).update(removed_at=now, removed_by=by)
    held.refresh_from_db()


def rate_choices() -> list[tuple[str, str]]:
    """Give what a coupon can be limited to: meters that plans price, and fees by their name."""
    found: dict[str, str] = {}
    for rate in Rate.objects.select_related("meter").order_by("id"):
        if rate.kind == RateKind.USAGE and rate.meter is not None:
            found[rate.meter.code] = rate.meter.label
        elif label := str(rate.terms.get("label", "")):
            found[label] = label
    return sorted(found.items(), key=lambda each: each[1])


def _values(terms: CouponTerms) -> dict[str, object]:
    return {
        name: list(value) if isinstance(value := getattr(terms, name), tuple) else value
        for name in CouponTerms.__dataclass_fields__
    }


def _check(terms: CouponTerms) -> None:
    problems: dict[str, str] = {}
    if not terms.name.strip() or len(terms.name) > 200:
        problems["name"] = "Give the coupon a name of 1 to 200 characters; it is printed on invoices."
    if terms.kind == CouponType.PERCENT:
        if not 0 < terms.value <= 100:
            problems["value"] = "Give a percentage above 0, up to 100."
        if terms.currency:
            problems["currency"] = "A percentage has no currency. Leave it empty."
    elif terms.kind == CouponType.FIXED:
        problems |= _amount_problems(terms)
    else:
        problems["kind"] = "Choose percent or fixed."
    if terms.duration not in CouponDuration.values:
        problems["duration"] = "Choose once, repeating or forever."
    elif terms.duration == CouponDuration.REPEATING:
        if terms.invoices is None or not 1 <= terms.invoices <= MAX_INVOICES:
            problems["invoices"] = "Say for how many invoices it lasts, from 1."
    elif terms.invoices is not None:
        problems["invoices"] = "Only a repeating coupon lasts for a number of invoices."
    if terms.max_redemptions is not None and not 1 <= terms.max_redemptions < 2**31:
        problems["max_redemptions"] = "Give a number from 1, or leave it empty."
    if terms.valid_from and terms.valid_until and terms.valid_until <= terms.valid_from:
        problems["valid_until"] = "The coupon could never be given. Choose a later day."
    known_plans = set(Plan.objects.filter(code__in=terms.plan_codes).values_list("code", flat=True))
    if unknown := [code for code in terms.plan_codes if code not in known_plans]:
        problems["plan_codes"] = f"There is no plan {', '.join(unknown)}."
    if terms.rates:
        known_rates = {code for code, _ in rate_choices()}
        if unknown := [name for name in terms.rates if name not in known_rates]:
            problems["rates"] = (
                f"No plan has a rate {', '.join(unknown)}. Give codes of meters or names of fees."
            )
    if problems:
        raise InvalidCoupon(next(iter(problems.values())), fields=problems)


def _amount_problems(terms: CouponTerms) -> dict[str, str]:
    try:
        digits = currency_digits(terms.currency)
    except UnknownCurrency:
        return {"currency": "A fixed amount needs a currency, such as USD."}
    if not 0 < terms.value < MAX_AMOUNT:
        return {"value": "Give an amount above 0."}
    if round_amount(terms.value, digits) != terms.value:
        return {"value": f"{terms.currency} has {digits} decimals; give an amount with no more."}
    return {}
