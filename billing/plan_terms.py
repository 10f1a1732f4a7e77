"""What holds for an invoice as a whole: included spend, minimum, service fee; and what an invoice freezes of it.

The frozen basis is everything but the usage, so that usage which changes later applies the same terms again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.drafts import DraftLine, DuePeriod
from billing.fee_books import Fee, FeeBook
from billing.fees import own_fee
from billing.models import InvoiceKind, LineKind
from billing.rating.commitments import PlanLine, PlanTerms, apply_plan_terms
from billing.rating.exact import ZERO
from billing.rating.money import currency_digits
from billing.rating.working import plain
from billing.subscription_periods import whole_period


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """The terms of a plan and what they look at beside usage, in major units: see apply_plan_terms."""

    terms: PlanTerms
    fees: Decimal
    printed_fees: Decimal
    once: Decimal
    days_used: int
    days: int
    tax_category: str

    def apply(self, usage: Decimal, *, digits: int) -> list[PlanLine]:
        """Give the lines of the terms for a sum of usage."""
        return apply_plan_terms(
            self.terms,
            usage=usage,
            fees=self.fees,
            printed_fees=self.printed_fees,
            once=self.once,
            days_used=self.days_used,
            days=self.days,
            digits=digits,
        )

    def as_json(self) -> dict[str, object]:
        """Give what an invoice freezes, decimals as text. `read_basis` reads it back."""
        return {
            **self.terms.as_json(),
            "fees": f"{self.fees:f}",
            "printed_fees": f"{self.printed_fees:f}",
            "once": f"{self.once:f}",
            "days_used": self.days_used,
            "days": self.days,
            "tax_category": self.tax_category,
        }


def read_basis(frozen: Mapping[str, object]) -> PlanBasis:
    """Read what `PlanBasis.as_json` wrote. Anything else raises KeyError or InvalidOperation."""

    def amount(name: str) -> Decimal | None:
        return None if frozen[name] is None else Decimal(str(frozen[name]))

    return PlanBasis(
        PlanTerms(amount("included_spend"), amount("minimum_amount"), amount("service_fee_percent")),
        fees=Decimal(str(frozen["fees"])),
        printed_fees=Decimal(str(frozen["printed_fees"])),
        once=Decimal(str(frozen["once"])),
        days_used=int(str(frozen["days_used"])),
        days=int(str(frozen["days"])),
        tax_category=str(frozen["tax_category"]),
    )


def plan_basis(
    due: DuePeriod, fees: Sequence[Fee], lines: Sequence[DraftLine], book: FeeBook
) -> PlanBasis | None:
    """Give what holds for an invoice beside its usage; None where the plan has no such terms.

    The minimum looks at the fees of the invoice's own days, also where an earlier invoice carried them, and is owed for
    the days that are neither paused nor in the trial. An invoice at the start has the service fee only.
    """
    plan = due.subscription.plan
    terms = plan.terms
    if due.kind != InvoiceKind.PERIODIC:
        terms = PlanTerms(service_fee_percent=terms.service_fee_percent)
    if terms == PlanTerms():
        return None
    own = ZERO
    if terms.minimum_amount is not None:
        own = sum((own_fee(due, fee, book) for fee in fees), ZERO)
    return PlanBasis(
        terms,
        fees=own,
        printed_fees=_sum(lines, LineKind.SUBSCRIPTION),
        once=_sum(lines, LineKind.ONE_TIME),
        days_used=sum(each.days for each in book.agreement(due).stretches(due.period)),
        days=whole_period(due.subscription, due.period.start_on).days,
        tax_category=plan.tax_category,
    )


def plan_lines(due: DuePeriod, basis: PlanBasis, lines: Sequence[DraftLine]) -> list[DraftLine]:
    """Give the lines of what holds for the invoice as a whole, after its other lines, not yet numbered."""
    plan = due.subscription.plan
    digits = currency_digits(plan.currency)
    return [
        DraftLine(
            n=0,
            kind=line.kind,
            description=describe_plan_line(line),
            rate_id=None,
            meter=None,
            unit="",
            quantity=Decimal(1),
            events=0,
            unit_amount=None,
            amount=line.amount,
            terms={"kind": line.kind, **plan.terms.as_json()},
            working=line.working,
            period=due.period,
            tax_category=plan.tax_category,
        )
        for line in basis.apply(_sum(lines, LineKind.USAGE), digits=digits)
    ]


def describe_plan_line(line: PlanLine) -> str:
    """Name a line as it is printed: Service fee 5 %."""
    name = LineKind(line.kind).label
    percent = line.working[0].percent
    return name if percent is None else f"{name} {plain(percent)} %"


def _sum(lines: Sequence[DraftLine], kind: LineKind) -> Decimal:
    return sum((line.amount for line in lines if line.kind == kind), ZERO)
