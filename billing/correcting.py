"""Credit notes: an issued invoice taken back in whole, line by line, or by an amount.

What is credited is always taken from what remains, so partial notes and a last full one equal the invoice to the cent.
The usage behind a line is not touched: what was measured stays measured, and later changes to it are adjusted as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum

from billing.collecting import exact_amount, given_reason, key_taken_is_refused, lock
from billing.errors import FiguresChanged, InvalidAmount, KeyTaken
from billing.formatting import money
from billing.issuing import numbered, take_numbers
from billing.lifecycle import Action, is_settled, require_open
from billing.models import CreditNote, CreditNoteLine, Invoice, InvoiceStatus
from billing.parties import issuer_now, keep_words, recipient_of
from billing.rating.money import currency_digits, round_amount
from billing.shares import Share, remaining_shares, sums, take, take_total, tax_summary
from billing.telling import tell_credit_note, tell_paid


@dataclass(frozen=True, slots=True)
class CreditNoteDraft:
    """A credit note as it would be issued now. Amounts are in major units; `due_after` may be negative."""

    invoice: Invoice
    shares: tuple[Share, ...]
    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    tax_included: Decimal
    total: Decimal

    @property
    def due_after(self) -> Decimal:
        due: Decimal = self.invoice.amount_due - self.total
        return due


def preview_credit_note(
    invoice: Invoice, *, lines: Mapping[int, Decimal] | None = None, amount: Decimal | None = None
) -> CreditNoteDraft:
    """Compute a credit note. Writes nothing.

    `lines` are amounts by number of line, before tax, each with the line's sign; `amount` is a total with tax. Neither
    credits all that is left. Raises NotInThisState, InvalidAmount.
    """
    require_open(invoice, Action.CREDIT)
    left = remaining_shares(invoice)
    digits = currency_digits(invoice.currency)
    if lines is not None:
        taken = _by_line(left, lines, invoice)
    elif amount is not None:
        amount = exact_amount(amount, invoice.currency)
        if amount > (most := sums(left)["total"]):
            message = f"{money(most, invoice.currency)} is left to credit."
            raise InvalidAmount(message, fields={"amount": message})
        taken = take_total(left, amount, digits=digits)
    else:
        taken = left
    shares = tuple(share for share in taken if not share.is_empty())
    total = sums(shares)
    if total["total"] <= 0:
        message = "The lines chosen come to nothing to credit. Choose more, or another amount."
        raise InvalidAmount(message, fields={"lines": message})
    if invoice.amount_credited + total["total"] > invoice.total:
        message = f"{money(invoice.total - invoice.amount_credited, invoice.currency)} is left to credit."
        raise InvalidAmount(message, fields={"lines": message})
    return CreditNoteDraft(invoice, shares, **total)


@transaction.atomic
def issue_credit_note(
    invoice: Invoice,
    *,
    reason: str,
    lines: Mapping[int, Decimal] | None = None,
    amount: Decimal | None = None,
    expected: Decimal | None = None,
    key: str | None = None,
    by: str,
    now: datetime,
) -> CreditNote:
    """Number and freeze a credit note as `preview_credit_note` computes it, and take it off the invoice.

    `expected` is the total somebody has seen: FiguresChanged when it is another by now. A `key` sent again gives the
    note of the first time, KeyTaken where it says something else. Raises NotInThisState, InvalidAmount, ReasonMissing.
    """
    invoice = lock(invoice)
    if key is not None and (note := CreditNote.objects.filter(key=key).first()) is not None:
        if not _says(note, invoice, reason=reason, lines=lines, amount=amount, expected=expected):
            message = "This key stands for another credit note. Use a new key for a new one."
            raise KeyTaken(message, fields={"key": message})
        return note
    draft = preview_credit_note(invoice, lines=lines, amount=amount)
    reason = given_reason(reason)
    if expected is not None and expected != draft.total:
        raise FiguresChanged(
            f"Somebody else credited this invoice meanwhile: it would be {money(draft.total, invoice.currency)} now."
        )
    note = CreditNote(
        invoice=invoice,
        issued_at=now,
        zone=invoice.zone,
        currency=invoice.currency,
        subtotal=draft.subtotal,
        discount=draft.discount,
        tax=draft.tax,
        tax_included=draft.tax_included,
        total=draft.total,
        taxes=tax_summary(invoice, draft.shares),
        issuer=issuer_now(),
        recipient=recipient_of(invoice.customer),
        reason=reason,
        key=key,
        recorded_by=by,
    )
    keep_words([note.recipient])
    with key_taken_is_refused("credit note"):
        series = f"CN-{now.year}"
        (note.sequence,) = take_numbers(series, 1)
        note.series_id, note.number = series, numbered(series, note.sequence)
        note.save(force_insert=True)
    CreditNoteLine.objects.bulk_create(
        CreditNoteLine(
            credit_note=note,
            n=n,
            invoice_line=share.line,
            description=share.line.description,
            amount=share.amount,
            discount=share.discount,
            tax=share.tax,
            tax_included=share.tax_included,
            taxes={str(tax): f"{part:f}" for tax, part in (*share.added.items(), *share.included.items())},
        )
        for n, share in enumerate(draft.shares, start=1)
    )
    before = invoice.status
    invoice.amount_credited += draft.total
    invoice.status = InvoiceStatus.PAID if is_settled(invoice.amount_due) else InvoiceStatus.ISSUED
    invoice.save(update_fields=["amount_credited", "status"])
    tell_credit_note(note, now=now)
    if invoice.status == InvoiceStatus.PAID != before:
        tell_paid(invoice, now=now)
    return note


def _says(
    note: CreditNote,
    invoice: Invoice,
    *,
    reason: str,
    lines: Mapping[int, Decimal] | None,
    amount: Decimal | None,
    expected: Decimal | None,
) -> bool:
    """Tell whether a note is what is asked for again: the same lines, the same amount, or all that was left then."""
    if note.invoice_id != invoice.pk or note.reason != reason.strip():
        return False
    if lines is not None:
        credited = {line.invoice_line.n: line.amount for line in note.lines.select_related("invoice_line")}
        return credited == {n: part for n, part in lines.items() if part}
    if amount is not None:
        return bool(amount == note.total)
    until_then = CreditNote.objects.filter(invoice=invoice, pk__lte=note.pk).aggregate(sum=Sum("total"))[
        "sum"
    ]
    return until_then == invoice.total and expected in (None, note.total)


def _by_line(left: list[Share], lines: Mapping[int, Decimal], invoice: Invoice) -> list[Share]:
    digits = currency_digits(invoice.currency)
    by_n = {share.line.n: share for share in left}
    taken = []
    problems: dict[str, str] = {}
    for n, amount in sorted(lines.items()):
        share = by_n.get(n)
        if share is None:
            problems[f"lines.{n}"] = f"Invoice {invoice.number} has no line {n}."
        elif not amount.is_finite() or abs(amount) >= 10**18 or round_amount(amount, digits) != amount:
            problems[f"lines.{n}"] = f"Amounts in {invoice.currency} have {digits or 'no'} decimals."
        elif amount * share.amount < 0 or abs(amount) > abs(share.amount):
            problems[f"lines.{n}"] = (
                f"{money(share.amount, invoice.currency)} of this line is left to credit."
            )
        elif amount:
            taken.append(take(share, round_amount(amount, digits), digits=digits))
    if problems:
        raise InvalidAmount(next(iter(problems.values())), fields=problems)
    return taken
