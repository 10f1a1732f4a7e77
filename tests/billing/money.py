"""What the tests of discounts, credits and tax are made of."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from billing.couponing import CouponTerms, give_coupon, save_coupon
from billing.crediting import CreditTerms, grant_credit
from billing.models import CreditGrant, CustomerCoupon, Invoice, TaxRate
from customers.models import Customer
from tests.factories import NOW

LONG_AGO = date(2026, 1, 1)


def give(customer: Customer, value: str, *, start_on: date = LONG_AGO, **terms: Any) -> CustomerCoupon:
    """A coupon made and given: "10%" or an amount in the customer's currency; for ever unless said otherwise."""
    percent = value.endswith("%")
    defaults: dict[str, Any] = {
        "code": f"c-{value.strip('%')}-{customer.code}",
        "name": f"{value} off",
        "kind": "percent" if percent else "fixed",
        "value": Decimal(value.strip("%")),
        "currency": "" if percent else customer.currency,
        "duration": "forever",
    }
    coupon = save_coupon(CouponTerms(**(defaults | terms)))
    return give_coupon(customer, coupon, start_on=start_on, by="tests", now=NOW)


def credit(customer: Customer, amount: str, *, now: datetime = NOW, **terms: Any) -> CreditGrant:
    defaults = {"currency": customer.currency, "name": f"{amount} credit"}
    return grant_credit(customer, CreditTerms(Decimal(amount), **(defaults | terms)), by="tests", now=now)


def tax(country: str, percent: str, category: str = "standard", **fields: Any) -> TaxRate:
    return TaxRate.objects.create(
        country=country, percent=Decimal(percent), category=category, **({"name": "VAT"} | fields)
    )


def cents(value: Decimal) -> str:
    return f"{value:.2f}"


def sums(invoice: Invoice) -> dict[str, str]:
    names = ("subtotal", "discount", "tax", "tax_included", "total", "credits_applied", "amount_due")
    return {name: cents(getattr(invoice, name)) for name in names if getattr(invoice, name)}
