"""Areas invoice.*: rounding, discounts, tax and the minimum of a plan."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from billing.rating import Usage, currency_digits, rate, round_amount
from billing.rating.commitments import true_up
from billing.rating.discounts import Coupon, CouponKind, discount
from billing.rating.proration import prorate
from billing.rating.taxes import Taxed, tax_inside, tax_on
from tests.acceptance.adapters.pricing import number, terms
from tests.acceptance.adapters.registry import Figures, adapts

COUPON_KINDS = {"percent": "percent", "percentage": "percent", "fixed": "fixed", "amount": "fixed"}


def digits_of(currency: str | None) -> int:
    return currency_digits((currency or "usd").upper())


def coupon(kind: str, value: Any, *, digits: int) -> Coupon:
    """An amount is one of the currency; a percentage keeps its digits."""
    used = CouponKind(COUPON_KINDS[kind.lower()])
    return Coupon(used, number(value) if used is CouponKind.PERCENT else round_amount(number(value), digits))


@adapts("invoice.rounding", required="amount", optional="currency")
def rounding(*, amount: Any, currency: str | None = None) -> Figures:
    return {"rounded": round_amount(number(amount), digits_of(currency))}


@adapts("invoice.rounding", required="cents")
def rounding_of_cents(*, cents: Any) -> Figures:
    return {"rounded": round_amount(number(cents), 0)}


@adapts("invoice.rounding", required="quantity unit", optional="currency")
def line(*, quantity: Any, unit: Any, currency: str | None = None) -> Figures:
    rating = rate(terms("per_unit", unit_amount=unit), Usage(number(quantity)))
    rounded = round_amount(rating.amount, digits_of(currency))
    return {"line": rounded, "rounded": rounded}


@adapts("invoice.rounding", required="lines", optional="currency usage")
def subtotal(
    *,
    lines: list[Any] | dict[str, Any],
    usage: list[dict[str, Any]] | None = None,
    currency: str | None = None,
) -> Figures:
    """A line is an amount, or a quantity of a unit that has a price; the lines of `usage` are such."""
    amounts = [lines["each"]] * int(lines["count"]) if isinstance(lines, dict) else [*lines, *(usage or [])]
    rounded = [
        line(**amount, currency=currency)["line"]
        if isinstance(amount, dict)
        else round_amount(number(amount), digits_of(currency))
        for amount in amounts
    ]
    return {"lines": rounded, "subtotal": sum(rounded, Decimal(0)), "total": sum(rounded, Decimal(0))}


@adapts(
    "invoice.minimum_commitment", required="commitment used", optional="currency days_used days_in_period"
)
@adapts(
    "invoice.minimum_commitment", required="commitment lines", optional="currency days_used days_in_period"
)
def minimum_commitment(
    *,
    commitment: Any,
    used: Any = None,
    lines: list[Any] | None = None,
    currency: str | None = None,
    days_used: Any = 1,
    days_in_period: Any = 1,
) -> Figures:
    """Usage of several lines is the sum of the rounded ones. A part of a period owes that part of the minimum."""
    printed = subtotal(lines=[used] if lines is None else lines, currency=currency)["subtotal"]
    owed = prorate(
        number(commitment),
        days_used=int(days_used),
        days_in_period=int(days_in_period),
        digits=digits_of(currency),
    )
    missing = true_up(owed, printed)
    return {"usage": printed, "true_up": missing, "total": printed + missing}


@adapts("invoice.discount", required="price percent_off", optional="currency")
@adapts("invoice.discount", required="price amount_off", optional="currency")
def discount_of_line(
    *, price: Any, percent_off: Any = None, amount_off: Any = None, currency: str | None = None
) -> Figures:
    digits = digits_of(currency)
    kind, value = ("fixed", amount_off) if percent_off is None else ("percent", percent_off)
    used = coupon(kind, value, digits=digits)
    return discounted([number(price)], [used], digits=digits)


@adapts("invoice.discount", "invoice.order", required="price coupons", optional="currency")
@adapts("invoice.discount", "invoice.order", required="subtotal coupons", optional="currency")
@adapts("invoice.discount", "invoice.order", required="lines coupons", optional="currency")
def coupons_on_lines(*, coupons: list[dict[str, Any]], currency: str | None = None, **given: Any) -> Figures:
    (amounts,) = given.values()
    lines = [number(amount) for amount in (amounts if isinstance(amounts, list) else [amounts])]
    digits = digits_of(currency)
    return discounted(lines, [coupon(**item, digits=digits) for item in coupons], digits=digits)


def discounted(amounts: list[Decimal], coupons: list[Coupon], *, digits: int) -> Figures:
    printed = [round_amount(amount, digits) for amount in amounts]
    subtotal = sum(printed, Decimal(0))
    off = discount(printed, coupons, digits=digits)
    left = subtotal - off.total
    return {"discount": off.total, "split": off.by_line, "final": left, "total": left, "subtotal": subtotal}


@adapts("invoice.discount_split", required="lines_cents fixed_discount_cents")
@adapts("invoice.discount_split", required="lines_cents discount_cents")
@adapts("invoice.discount_split", required="lines_cents percent_off")
def discount_split(
    *,
    lines_cents: list[int],
    fixed_discount_cents: Any = None,
    discount_cents: Any = None,
    percent_off: Any = None,
) -> Figures:
    lines = [number(cents) for cents in lines_cents]
    if percent_off is not None:
        used = coupon("percent", percent_off, digits=0)
    else:
        cents = discount_cents if fixed_discount_cents is None else fixed_discount_cents
        used = coupon("fixed", cents, digits=0)
    result = discount(lines, [used], digits=0)
    return {
        "split": result.by_line,
        "discount_cents": result.total,
        "taxable_cents": [line - part for line, part in zip(lines, result.by_line, strict=True)],
    }


@adapts("invoice.order", required="subtotal_cents coupons")
@adapts("invoice.order", required="lines_cents coupons")
def order_of_coupons(*, coupons: list[dict[str, Any]], **given: Any) -> Figures:
    (cents,) = given.values()
    lines = [number(amount) for amount in (cents if isinstance(cents, list) else [cents])]
    result = discounted(lines, [coupon(**item, digits=0) for item in coupons], digits=0)
    return {
        "discount_cents": result["discount"],
        "total_cents": result["total"],
        "split": result["split"],
    }


TAX = "invoice.tax_inclusive", "invoice.tax_exclusive", "invoice.tax"


@adapts(*TAX, required="gross_cents tax_percent", optional="behaviour")
@adapts(*TAX, required="net_cents tax_percent", optional="behaviour")
def tax(
    *, tax_percent: Any, gross_cents: Any = None, net_cents: Any = None, behaviour: str | None = None
) -> Figures:
    """The amount is the price as it is listed: with tax inside, or without where the behaviour is exclusive."""
    listed = number(net_cents if gross_cents is None else gross_cents)
    taxed = taxed_as(behaviour or ("exclusive" if gross_cents is None else "inclusive"), listed, tax_percent)
    return {"net_cents": taxed.net, "tax_cents": taxed.tax, "gross_cents": taxed.gross}


@adapts(*TAX, required="gross tax_percent", optional="behaviour currency")
@adapts(*TAX, required="net tax_percent", optional="behaviour currency")
def tax_in_a_currency(
    *,
    tax_percent: Any,
    gross: Any = None,
    net: Any = None,
    behaviour: str | None = None,
    currency: str | None = None,
) -> Figures:
    digits = digits_of(currency)
    listed = round_amount(number(net if gross is None else gross), digits)
    named = behaviour or ("exclusive" if gross is None else "inclusive")
    taxed = taxed_as(named, listed, tax_percent, digits=digits)
    return {"net": taxed.net, "tax": taxed.tax, "gross": taxed.gross}


def taxed_as(behaviour: str, listed: Decimal, percent: Any, *, digits: int = 0) -> Taxed:
    functions = {"inclusive": tax_inside, "exclusive": tax_on}
    return functions[behaviour](listed, number(percent), digits=digits)
