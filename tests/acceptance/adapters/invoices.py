"""Areas invoice.*: rounding, discounts, tax and the minimum of a plan."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from billing.rating import Usage, currency_digits, parse_rate, rate, round_amount
from billing.rating.commitments import true_up
from billing.rating.discounts import Coupon, CouponKind, discount
from billing.rating.taxes import tax_inside, tax_on
from billing.rating.terms import UsageRate
from tests.acceptance.adapters.rating import number
from tests.acceptance.adapters.registry import Figures, adapts


def digits_of(currency: str | None) -> int:
    return currency_digits((currency or "usd").upper())


def coupon(kind: str, value: Any) -> Coupon:
    return Coupon(CouponKind("percent" if kind == "percentage" else kind), number(value))


@adapts("invoice.rounding", required="amount currency")
def rounding(*, amount: Any, currency: str) -> Figures:
    return {"rounded": round_amount(number(amount), digits_of(currency))}


@adapts("invoice.rounding", required="cents")
def rounding_of_cents(*, cents: Any) -> Figures:
    return {"rounded": round_amount(number(cents), 0)}


@adapts("invoice.rounding", required="quantity unit currency")
def line(*, quantity: Any, unit: Any, currency: str) -> Figures:
    terms = parse_rate({"kind": "usage", "meter": "case", "model": "per_unit", "unit_amount": unit})
    assert isinstance(terms, UsageRate)
    rounded = round_amount(rate(terms, Usage(number(quantity))).amount, digits_of(currency))
    return {"line": rounded, "rounded": rounded}


@adapts("invoice.rounding", required="lines currency")
def subtotal(*, lines: list[Any] | dict[str, Any], currency: str) -> Figures:
    amounts = [lines["each"]] * int(lines["count"]) if isinstance(lines, dict) else lines
    rounded = [
        line(**amount, currency=currency)["line"]
        if isinstance(amount, dict)
        else round_amount(number(amount), digits_of(currency))
        for amount in amounts
    ]
    return {"lines": rounded, "subtotal": sum(rounded, Decimal(0)), "total": sum(rounded, Decimal(0))}


@adapts("invoice.minimum_commitment", required="commitment used currency")
def minimum_commitment(*, commitment: Any, used: Any, currency: str) -> Figures:
    printed = round_amount(number(used), digits_of(currency))
    missing = true_up(number(commitment), printed)
    return {"usage": printed, "true_up": missing, "total": printed + missing}


@adapts("invoice.discount", required="price percent_off", optional="currency")
@adapts("invoice.discount", required="price amount_off", optional="currency")
def discount_of_line(
    *, price: Any, percent_off: Any = None, amount_off: Any = None, currency: str | None = None
) -> Figures:
    digits = digits_of(currency)
    printed = round_amount(number(price), digits)
    used = coupon("fixed", amount_off) if percent_off is None else coupon("percent", percent_off)
    off = discount([printed], [used], digits=digits).total
    return {"discount": off, "final": printed - off}


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
        used = coupon("percent", percent_off)
    else:
        used = coupon("fixed", discount_cents if fixed_discount_cents is None else fixed_discount_cents)
    result = discount(lines, [used], digits=0)
    return {
        "split": result.by_line,
        "discount_cents": result.total,
        "taxable_cents": [line - part for line, part in zip(lines, result.by_line, strict=True)],
    }


@adapts("invoice.order", required="subtotal_cents coupons")
def order_of_coupons(*, subtotal_cents: Any, coupons: list[dict[str, Any]]) -> Figures:
    subtotal = number(subtotal_cents)
    off = discount([subtotal], [coupon(**item) for item in coupons], digits=0).total
    return {"discount_cents": off, "total_cents": subtotal - off}


@adapts("invoice.tax_inclusive", required="gross_cents tax_percent", optional="behaviour")
@adapts("invoice.tax_inclusive", required="net_cents tax_percent", optional="behaviour")
def tax(
    *, tax_percent: Any, gross_cents: Any = None, net_cents: Any = None, behaviour: str | None = None
) -> Figures:
    expected_behaviour = "exclusive" if gross_cents is None else "inclusive"
    assert behaviour in (None, expected_behaviour), f"{behaviour} is not {expected_behaviour}"
    if gross_cents is None:
        taxed = tax_on(number(net_cents), number(tax_percent), digits=0)
    else:
        taxed = tax_inside(number(gross_cents), number(tax_percent), digits=0)
    return {"net_cents": taxed.net, "tax_cents": taxed.tax, "gross_cents": taxed.gross}
