"""Customers billed together: which drafts go on one consolidated invoice of a parent, and the tax of the whole.

A period of a child that is billed to its parent goes on the invoice of the parent for all periods that end on the same
day, those of the parent's own plans among them. Coupons stay with the customer that holds them: they come off its own
lines. Tax is the parent's, on the sum of all lines and rounded once per rate; credits are the parent's, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from billing.drafts import ConsolidatedDraft, DraftLine, DuePeriod, GroupKey, InvoiceDraft
from billing.rating.money import currency_digits
from billing.taxing import TaxTable, tax_lines
from customers.models import Customer
from metering.periods import Period


def shared_groups(due: Iterable[DuePeriod]) -> set[GroupKey]:
    """Give the groups that become consolidated invoices: those with a period of a child billed to its parent."""
    return {each.group for each in due if is_billed_to_parent(each.subscription.customer)}


def is_billed_to_parent(customer: Customer) -> bool:
    return customer.payer_id != customer.pk


def payers_of(due: Iterable[DuePeriod]) -> dict[int, Customer]:
    """Load the parents that pay for some of the periods, in one query; none when nobody pays for another."""
    wanted = {
        each.subscription.customer.payer_id for each in due if is_billed_to_parent(each.subscription.customer)
    }
    return Customer.objects.in_bulk(wanted) if wanted else {}


def consolidate(
    parts: Sequence[InvoiceDraft], payer: Customer, table: TaxTable, *, recipient: Mapping[str, str]
) -> ConsolidatedDraft:
    """Put drafts without tax on one invoice: the payer's own plans first, then its children by name.

    Lines are numbered through, so that a number names one line of the whole.
    """
    ordered = sorted(
        parts,
        key=lambda part: (
            part.customer.pk != payer.pk,
            part.customer.name,
            part.customer.pk,
            part.due.period.start_on,
            part.due.subscription.pk,
            part.due.kind,
        ),
    )
    first, currency = ordered[0], ordered[0].currency
    period = Period(
        min(part.due.period.start_on for part in ordered),
        max(part.due.period.end_on for part in ordered),
        payer.timezone,
    )
    lines = [line for part in ordered for line in part.lines]
    lines = [replace(line, n=n) for n, line in enumerate(lines, start=1)]
    taxed = tax_lines(lines, payer, table, period=period, digits=currency_digits(currency))
    placed = _placed(ordered, taxed.lines, billed_to=payer)
    subtotal = sum((part.subtotal for part in ordered), Decimal(0))
    discount = sum((part.discount for part in ordered), Decimal(0))
    return ConsolidatedDraft(
        customer=payer,
        parts=placed,
        period=period,
        currency=currency,
        subtotal=subtotal,
        discount=discount,
        tax=taxed.added,
        tax_included=taxed.included,
        taxes=taxed.taxes,
        total=subtotal - discount + taxed.added,
        issuer=first.issuer,
        recipient=recipient,
    )


def _placed(
    parts: Sequence[InvoiceDraft], lines: Sequence[DraftLine], *, billed_to: Customer
) -> tuple[InvoiceDraft, ...]:
    """Give the lines back to their parts, and write on each who pays for it."""
    placed = []
    until = 0
    for n, part in enumerate(parts, start=1):
        since, until = until, until + len(part.lines)
        recipient = dict(part.recipient) | {"billed_to": billed_to.code}
        placed.append(replace(part, lines=tuple(lines[since:until]), recipient=recipient, part_n=n))
    return tuple(placed)
