"""What holds for an invoice as a whole: spend that is included, a minimum, a service fee.

The order is fixed. Included spend takes usage off; the minimum looks at what usage and fees then come to; the service
fee is a share of everything before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from billing.rating.exact import ZERO, exactly
from billing.rating.money import round_amount
from billing.rating.proration import prorate
from billing.rating.working import Step, plain


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """Terms of a plan beyond its rates; None: the plan has no such term. Amounts are in its currency."""

    included_spend: Decimal | None = None
    minimum_amount: Decimal | None = None
    service_fee_percent: Decimal | None = None

    def as_json(self) -> dict[str, str | None]:
        return {
            "included_spend": _text(self.included_spend),
            "minimum_amount": _text(self.minimum_amount),
            "service_fee_percent": _text(self.service_fee_percent),
        }


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One line for a term: `kind` is included_spend, minimum or service_fee. `amount` is rounded."""

    kind: str
    amount: Decimal
    working: tuple[Step, ...]


@exactly
def true_up(minimum: Decimal, used: Decimal) -> Decimal:
    """Give what is missing to the minimum of a plan; 0 when it is reached.

    `used` is the sum of the printed lines that count towards the minimum, so it is already rounded.
    """
    return max(minimum - used, ZERO)


@exactly
def apply_plan_terms(
    terms: PlanTerms,
    *,
    usage: Decimal,
    fees: Decimal,
    once: Decimal,
    days_used: int,
    days: int,
    digits: int,
    printed_fees: Decimal | None = None,
) -> list[PlanLine]:
    """Give the lines that the terms of a plan add to an invoice, those with no effect left out.

    `usage`, `fees` and `once` are the sums of the printed lines: usage, subscription rates, one-time fees. One-time
    fees do not count towards the minimum. A period of `days_used` of its `days` owes that share of the minimum;
    included spend, like included units, is not cut. `printed_fees` are the fees on the invoice where they are not those
    of its own days: they bear the service fee, while `fees` count towards the minimum.
    """
    lines = []
    printed = fees if printed_fees is None else printed_fees
    if terms.included_spend is not None and usage > 0:
        off = min(usage, terms.included_spend)
        if off:
            label = f"First {plain(terms.included_spend)} of usage included"
            lines.append(_line("included_spend", -off, Step(label, "included_spend", None, None, -off)))
            usage -= off
    if terms.minimum_amount is not None:
        minimum = prorate(terms.minimum_amount, days_used=days_used, days_in_period=days, digits=digits)
        missing = true_up(minimum, usage + fees)
        if missing:
            part = "" if days_used == days else f" ({days_used} of {days} days)"
            first = Step(f"Minimum of the plan{part}", "minimum", None, None, minimum)
            lines.append(
                _line("minimum", missing, first, Step("Usage and fees", "used", None, None, -(usage + fees)))
            )
            printed += missing
    if terms.service_fee_percent:
        base = usage + printed + once
        exact = base * terms.service_fee_percent.scaleb(-2)
        if exact:
            step = Step("Service fee", "percentage", base, None, exact, percent=terms.service_fee_percent)
            lines.append(_line("service_fee", round_amount(exact, digits), step))
    return lines


def _line(kind: str, amount: Decimal, *steps: Step) -> PlanLine:
    return PlanLine(kind, amount, steps)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
