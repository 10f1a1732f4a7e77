"""Giving accepted outcomes back now: the credit note that takes exactly the difference, and settles only that.

The difference may lie in several printed lines: the usage, the service fee, included spend that is used less. What a
plan asks for instead, such as more of its minimum, is kept back from the usage where it is taxed alike. Other late
usage of the lines stays for the next invoice: what is settled here is the outcomes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.correcting import CreditNoteDraft, issue_credit_note, preview_credit_note
from billing.dispute_effects import LineEffect, total
from billing.errors import DisputeRefused, InvalidAmount, NotInThisState
from billing.formatting import money
from billing.line_events import settled_up_to
from billing.line_settling import drop_flags
from billing.models import AdjustmentWaiver, CreditNote, Dispute, InvoiceLine, LineKind
from billing.rating.exact import ZERO
from billing.rating.money import currency_digits
from billing.shares import amount_giving, remaining_shares

INSTEAD = "Choose the adjustment, which the next invoice carries."


@dataclass(slots=True)
class Change:
    """What one thing comes to otherwise, after discounts, in major units: negative when less is owed.

    `line` is where it is printed on the disputed invoice; None where it is not printed.
    """

    amount: Decimal
    line: InvoiceLine | None
    tax_category: str
    name: str


def preview_credit(dispute: Dispute, found: Sequence[LineEffect]) -> CreditNoteDraft | None:
    """Compute the credit note that gives an effect back; None when there is nothing to give back.

    Writes nothing. Raises DisputeRefused, saying why, where no credit note can give back exactly that.
    """
    if not any(each.amount or each.plan for each in found):
        return None
    lines = credited_lines(dispute, found)
    try:
        return preview_credit_note(dispute.printed_on, lines=lines)
    except (InvalidAmount, NotInThisState) as refused:
        raise _refused(f"{refused.message} {INSTEAD}") from refused


def credit(
    dispute: Dispute, found: Sequence[LineEffect], *, position: int, answer: str, by: str, now: datetime
) -> CreditNote | None:
    """Issue the credit note of an effect and settle the difference, so that no adjustment gives it back again.

    `position` is that of the events that take the outcomes back. Raises DisputeRefused.
    """
    if preview_credit(dispute, found) is None:
        return None
    note = issue_credit_note(
        dispute.printed_on,
        reason=f"{dispute.number}: {answer}"[:400],
        lines=credited_lines(dispute, found),
        by=by[:200],
        now=now,
    )
    AdjustmentWaiver.objects.bulk_create(
        AdjustmentWaiver(
            line=each.line,
            adjustment_n=each.after.settled.next_n + place,
            position=position if is_all else settled_up_to(lines),
            quantity=each.quantity if place == 0 else ZERO,
            amount=amount,
            adjusts_plan=place == 1,
            reason=f"{dispute.number}, given back by {note.number}",
            credit_note=note,
            waived_at=now,
        )
        for each in found
        for place, amount, is_all, lines in _settled(each, found)
    )
    # Where other late usage waits, its flag stays, and so does the position up to which the line was settled.
    whole = [each.line.pk for each in found if each.is_alone]
    drop_flags(whole, [position] * len(whole))
    return note


def _settled(
    each: LineEffect, found: Sequence[LineEffect]
) -> Iterator[tuple[int, Decimal, bool, list[InvoiceLine]]]:
    """Give what is settled of a line: the usage, and the terms of the plan where they change."""
    yield 0, each.amount, each.is_alone, [each.line]
    if each.plan:
        yield 1, each.plan, each.before.plan is None, list(each.line.invoice.lines.all())


def credited_lines(dispute: Dispute, found: Sequence[LineEffect]) -> dict[int, Decimal]:
    """Give what a credit note takes of each line by its number, before discounts, so that exactly the effect goes back.

    Raises DisputeRefused where lines have less left than that, or where the plan asks for as much instead.
    """
    invoice = dispute.printed_on
    currency, digits = invoice.currency, currency_digits(invoice.currency)
    left = {share.line.pk: share for share in remaining_shares(invoice)}
    owed = total(found)
    if owed >= 0:
        comes = "the same, because the plan asks for it otherwise" if owed == 0 else "more"
        raise _refused(f"Without these outcomes the invoice comes to {comes}. {INSTEAD}")
    changes = list(_changes(dispute, found))
    _keep_back(changes, currency)
    lines: dict[int, Decimal] = {}
    for change in changes:
        if not change.amount:
            continue
        if change.line is None:
            raise _refused(
                f"{change.name} is not on {invoice.number} and cannot be credited there. {INSTEAD}"
            )
        share = left[change.line.pk]
        rest = share.amount - share.discount
        if abs(change.amount) > abs(rest) or change.amount * rest > 0:
            raise _refused(
                f"{money(rest, currency)} of line {change.line.n} is left to credit, and it comes to "
                f"{money(-change.amount, currency)}. {INSTEAD}"
            )
        amount = change.amount if change.amount > 0 else amount_giving(share, -change.amount, digits=digits)
        if amount is None:
            raise _refused(f"The discount of line {change.line.n} cannot be credited to the cent. {INSTEAD}")
        lines[change.line.n] = -amount if change.amount > 0 else amount
    return lines


def _changes(dispute: Dispute, found: Sequence[LineEffect]) -> Iterator[Change]:
    """Give what changes, each with the line on which it is printed."""
    adjusting = {
        (line.adjusts_id, line.adjusts_plan): line
        for line in InvoiceLine.objects.filter(
            invoice=dispute.invoice_id, adjusts__in=[each.line for each in found]
        )
    }
    late = dispute.line.kind == LineKind.ADJUSTMENT
    for each in found:
        line = adjusting.get((each.line.pk, False)) if late else each.line
        if each.amount:
            yield Change(each.amount, line, each.line.tax_category, each.line.description)
        terms = each.after.terms
        if terms is None or not each.plan:
            continue
        if late:
            line = adjusting.get((each.line.pk, True))
            yield Change(each.plan, line, terms.tax_category, terms.label)
            continue
        printed = {str(line.kind): line for line in each.line.invoice.lines.all()}
        before: Mapping[str, Decimal] = each.before.terms.now if each.before.terms else {}
        for kind in sorted({*before, *terms.now}):
            amount = terms.now.get(kind, ZERO) - before.get(kind, ZERO)
            if amount:
                yield Change(amount, printed.get(kind), terms.tax_category, str(LineKind(kind).label))


def _keep_back(changes: Sequence[Change], currency: str) -> None:
    """Take what is owed more, and on no line that could give it, from what goes back and is taxed alike."""
    for more in changes:
        if more.amount <= 0 or (more.line is not None and more.line.amount < 0):
            continue
        for less in changes:
            if less.amount < 0 and less.tax_category == more.tax_category:
                part = min(more.amount, -less.amount)
                more.amount -= part
                less.amount += part
        if more.amount:
            raise _refused(
                f"{more.name} comes to {money(more.amount, currency)} more and is taxed otherwise. {INSTEAD}"
            )


def _refused(message: str) -> DisputeRefused:
    return DisputeRefused(message, fields={"remedy": message})
