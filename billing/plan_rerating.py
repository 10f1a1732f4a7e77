"""The terms of a plan as a whole once more in plain Python, from what an invoice froze of them.

It shares no code with billing.rating or billing.plan_terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from billing.models import Invoice, InvoiceLine, LineKind
from billing.rating import currency_digits

# What the terms of a plan as a whole look at, in the order in which they apply.
PLAN_KINDS = (LineKind.INCLUDED_SPEND, LineKind.MINIMUM, LineKind.SERVICE_FEE)

Check = tuple[str, Fraction, Fraction]


def rounded(amount: Fraction, currency: str) -> Fraction:
    """Round once, half away from zero, to the currency's minor unit."""
    scale = 10 ** currency_digits(currency)
    units = int(abs(amount) * scale + Fraction(1, 2))
    return Fraction(-units if amount < 0 else units, scale)


def plan_amounts(frozen: Mapping[str, Any], usage: Fraction, currency: str) -> dict[str, Fraction]:
    """Give what each term comes to for a sum of usage, by kind of line; 0 where it has no effect."""
    included = -min(max(usage, Fraction(0)), _number(frozen["included_spend"]))
    charged = usage + included
    share = Fraction(frozen["days_used"], frozen["days"])
    owed = rounded(_number(frozen["minimum_amount"]) * share, currency)
    missing = Fraction(0)
    if frozen["minimum_amount"] is not None:
        missing = max(owed - charged - Fraction(frozen["fees"]), Fraction(0))
    base = charged + missing + Fraction(frozen["printed_fees"]) + Fraction(frozen["once"])
    fee = rounded(base * _number(frozen["service_fee_percent"]) / 100, currency)
    return {LineKind.INCLUDED_SPEND: included, LineKind.MINIMUM: missing, LineKind.SERVICE_FEE: fee}


def check_plan_lines(invoice: Invoice, lines: list[InvoiceLine]) -> Iterator[Check]:
    """Compare the frozen basis with the printed lines, and name terms that have an effect and no line.

    Fees are not compared where an earlier invoice carries those of these days.
    """
    frozen = invoice.plan_terms
    if frozen is None:
        return
    sums = {
        kind: sum((Fraction(each.amount) for each in lines if each.kind == kind), Fraction(0))
        for kind in LineKind
    }
    yield "the fees that bear the service fee", Fraction(frozen["printed_fees"]), sums[LineKind.SUBSCRIPTION]
    yield "the one-time fees", Fraction(frozen["once"]), sums[LineKind.ONE_TIME]
    at_start = any(each.terms.get("timing") == "at_start" for each in lines)
    if frozen["minimum_amount"] is not None and not at_start:
        yield "the fees that count towards the minimum", Fraction(frozen["fees"]), sums[LineKind.SUBSCRIPTION]
    printed = {each.kind for each in lines}
    for kind, computed in plan_amounts(frozen, sums[LineKind.USAGE], invoice.currency).items():
        if kind not in printed:
            yield f"the {LineKind(kind).label.lower()}", Fraction(0), computed


def plan_line_amount(invoice: Invoice, line: InvoiceLine, lines: list[InvoiceLine]) -> Fraction:
    """Give what a printed line of a term comes to by the usage lines of its invoice."""
    assert invoice.plan_terms is not None  # the caller looks
    usage = sum((Fraction(each.amount) for each in lines if each.kind == LineKind.USAGE), Fraction(0))
    return plan_amounts(invoice.plan_terms, usage, invoice.currency)[line.kind]


def plan_total(invoice: Invoice, lines: list[InvoiceLine], usage: Fraction) -> Fraction:
    """Give what all terms come to for a sum of usage, each less the share of discount its line was billed with."""
    assert invoice.plan_terms is not None  # only those are adjusted
    whole = Fraction(0)
    printed = {line.kind: line for line in lines if line.kind in PLAN_KINDS}
    for kind, amount in plan_amounts(invoice.plan_terms, usage, invoice.currency).items():
        line = printed.get(kind)
        whole += amount
        if line is not None and line.discount:
            whole -= rounded(Fraction(line.discount) * amount / Fraction(line.amount), invoice.currency)
    return whole


def _number(value: Any) -> Fraction:
    return Fraction(0) if value is None else Fraction(str(value))
