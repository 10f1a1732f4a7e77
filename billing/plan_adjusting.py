"""What the minimum, the included spend and the service fee of closed periods come to once their usage changed.

They look at the usage of an invoice as a whole, so all its usage lines are priced again; the difference to what was
billed and adjusted of those terms is an adjustment of its own, beside that of the usage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.models import AdjustmentWaiver, Invoice, InvoiceLine, InvoiceStatus, LineKind
from billing.plan_terms import describe_plan_line, read_basis
from billing.rating import Step
from billing.rating.exact import ZERO, exactly
from billing.rating.money import currency_digits, round_fraction

PLAN_KINDS = (LineKind.INCLUDED_SPEND, LineKind.MINIMUM, LineKind.SERVICE_FEE)


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """What the terms of the plan come to now and what stands of them, after discounts, in major units.

    `now` is what each comes to, by the kind of its line.
    """

    working: tuple[Step, ...]
    difference: Decimal
    label: str
    tax_category: str
    now: Mapping[str, Decimal]


def discount_share(line: InvoiceLine, amount: Decimal, *, digits: int) -> Decimal:
    """Give the discount of a line that comes to another amount now, in the proportion it was billed with."""
    if not line.discount:
        return ZERO
    return round_fraction(Fraction(line.discount) * Fraction(amount) / Fraction(line.amount), digits)


def usage_beside(lines: Iterable[InvoiceLine]) -> list[InvoiceLine]:
    """Give the other usage lines of invoices whose plan terms look at all of them."""
    lines = list(lines)
    invoices = {
        line.invoice_id
        for line in lines
        if line.invoice.plan_terms is not None and line.invoice.status != InvoiceStatus.VOID
    }
    if not invoices:
        return []
    rows = InvoiceLine.objects.filter(invoice__in=invoices, kind=LineKind.USAGE)
    rows = rows.exclude(pk__in=[line.pk for line in lines])
    return list(rows.select_related("invoice__subscription", "meter", "rate"))


def plan_differences(
    invoices: Collection[Invoice], usage: Mapping[int, Decimal], *, without_drafts: Collection[int]
) -> dict[int, PlanDifference]:
    """Apply the frozen terms to the usage of invoices as it is now, given by invoice; also where that does not differ.

    What adjusted an invoice that is void by now is taken back. `without_drafts` settle nothing. Three queries.
    """
    having = {each.pk: each for each in invoices if each.plan_terms is not None}
    if not having:
        return {}
    printed: dict[int, dict[str, InvoiceLine]] = {pk: {} for pk in having}
    for line in InvoiceLine.objects.filter(invoice__in=having, kind__in=PLAN_KINDS):
        printed[line.invoice_id][line.kind] = line
    settled = _settled(having, without_drafts=without_drafts)
    found = {}
    for pk, invoice in having.items():
        is_void = invoice.status == InvoiceStatus.VOID
        lines = {} if is_void else printed[pk]
        before = settled[pk] + sum((line.amount - line.discount for line in lines.values()), ZERO)
        found[pk] = _difference(invoice, None if is_void else usage[pk], lines, before=before)
    return found


@exactly
def _difference(
    invoice: Invoice, usage: Decimal | None, printed: Mapping[str, InvoiceLine], *, before: Decimal
) -> PlanDifference:
    assert invoice.plan_terms is not None  # only those are asked about
    basis = read_basis(invoice.plan_terms)
    digits = currency_digits(invoice.currency)
    steps: list[Step] = []
    names: list[str] = []
    by_kind: dict[str, Decimal] = {}
    for line in [] if usage is None else basis.apply(usage, digits=digits):
        name = describe_plan_line(line)
        steps.append(Step(f"{name}, now", "now", None, None, line.amount))
        by_kind[line.kind] = line.amount
        names.append(name)
        of = printed.get(line.kind)
        if of is not None and (discount := discount_share(of, line.amount, digits=digits)):
            steps.append(Step(f"Discount of {name}", "discount", None, None, -discount))
            by_kind[line.kind] -= discount
    names += [line.description for line in printed.values() if line.description not in names]
    if not steps:
        steps.append(Step("Nothing owed now", "now", None, None, ZERO))
    steps.append(Step("Billed before", "before", None, None, -before))
    now = sum(by_kind.values(), ZERO)
    label = ", ".join(names) or "plan terms"
    return PlanDifference(tuple(steps), now - before, label, basis.tax_category, by_kind)


def _settled(invoices: Collection[int], *, without_drafts: Collection[int]) -> dict[int, Decimal]:
    """Give what live adjustments and waivers settled of the plan terms of invoices."""
    sums = dict.fromkeys(invoices, ZERO)
    earlier = InvoiceLine.objects.filter(adjusts__invoice__in=invoices, adjusts_plan=True)
    earlier = earlier.exclude(invoice__in=without_drafts).exclude(invoice__status=InvoiceStatus.VOID)
    rows: list[tuple[int, Decimal]] = list(earlier.values_list("adjusts__invoice_id", "amount"))
    waived = AdjustmentWaiver.objects.filter(line__invoice__in=invoices, adjusts_plan=True).exclude(
        line__invoice__status=InvoiceStatus.VOID
    )
    rows += waived.values_list("line__invoice_id", "amount")
    for pk, amount in rows:
        sums[pk] = _plus(sums[pk], amount)
    return sums


@exactly
def _plus(one: Decimal, other: Decimal) -> Decimal:
    return one + other


def first_of_each(lines: Sequence[InvoiceLine]) -> dict[int, int]:
    """Give the changed line that carries the difference of each invoice's plan terms: line by invoice."""
    first: dict[int, int] = {}
    for line in lines:
        first.setdefault(line.invoice_id, line.pk)
    return first
