"""What each line of an invoice still stands for: its amount with its part of discount and taxes, less credits.

The parts of all lines add up to the invoice to the minor unit, tax by tax, and crediting the remainder takes exactly
what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from billing.models import CreditNoteLine, Invoice, InvoiceLine
from billing.parts import lines_of
from billing.rating.exact import ZERO, exactly
from billing.rating.money import currency_digits, round_fraction


@dataclass(frozen=True, slots=True)
class Share:
    """A line, or what is left or taken of it, in major units. `total` is what the customer pays for it.

    `added` and `included` are its parts of the invoice's taxes by their numbers: on top of the price, or inside it.
    """

    line: InvoiceLine
    amount: Decimal
    discount: Decimal = ZERO
    added: Mapping[int, Decimal] = field(default_factory=dict)
    included: Mapping[int, Decimal] = field(default_factory=dict)

    @property
    def tax(self) -> Decimal:
        return sum(self.added.values(), ZERO)

    @property
    def tax_included(self) -> Decimal:
        return sum(self.included.values(), ZERO)

    @property
    def total(self) -> Decimal:
        return self.amount - self.discount + self.tax

    def is_empty(self) -> bool:
        return not (self.amount or self.discount or any(self.added.values()) or any(self.included.values()))


def shares_of(invoice: Invoice) -> list[Share]:
    """Split each tax over its lines by running remainder: the sums are exact whatever the signs."""
    lines = lines_of(invoice)
    digits = currency_digits(invoice.currency)
    parts: dict[bool, list[dict[int, Decimal]]] = {True: [{} for _ in lines], False: [{} for _ in lines]}
    for tax in invoice.taxes:
        n = int(tax["n"])
        places = [place for place, line in enumerate(lines) if n in line.taxed_by]
        weights = [lines[place].amount - lines[place].discount for place in places]
        amount = Decimal(str(tax["amount"]))
        for place, part in zip(places, spread(amount, weights, digits=digits), strict=True):
            parts[bool(tax["inclusive"])][place][n] = part
    return [
        Share(line, line.amount, line.discount, parts[False][place], parts[True][place])
        for place, line in enumerate(lines)
    ]


def remaining_shares(invoice: Invoice) -> list[Share]:
    """Give what is not credited yet of each line; lines with nothing left are among them."""
    taken: dict[int, list[CreditNoteLine]] = {}
    for row in CreditNoteLine.objects.filter(credit_note__invoice=invoice):
        taken.setdefault(row.invoice_line_id, []).append(row)
    return [_less(share, taken.get(share.line.pk, ())) for share in shares_of(invoice)]


def take(share: Share, amount: Decimal, *, digits: int) -> Share:
    """Take an amount of a remaining line, with the same fraction of its discount and taxes; all of it takes the rest.

    `amount` has the sign of the line's and is no further from zero.
    """
    if amount == share.amount:
        return share
    fraction = Fraction(amount) / Fraction(share.amount)
    return Share(
        share.line,
        amount,
        round_fraction(Fraction(share.discount) * fraction, digits),
        _fraction_of(share.added, fraction, digits),
        _fraction_of(share.included, fraction, digits),
    )


def amount_giving(left: Share, back: Decimal, *, digits: int) -> Decimal | None:
    """Give what to take of a line, before its discount, so that exactly `back` goes back after it.

    `left` is what is not credited yet of a line above 0. None: no amount gives that.
    """
    line, whole = left.line, back
    if line.discount:
        net = Fraction(line.amount) - Fraction(line.discount)
        whole = round_fraction(Fraction(back) * Fraction(line.amount) / net, digits) if net else back
    unit = Decimal(1).scaleb(-digits)
    for amount in (whole, whole - unit, whole + unit):
        if 0 < amount <= left.amount:
            taken = take(left, amount, digits=digits)
            if taken.amount - taken.discount == back:
                return amount
    return None


@exactly
def take_total(shares: Sequence[Share], total: Decimal, *, digits: int) -> list[Share]:
    """Take a total, tax included, from remaining lines in proportion to what is left of each."""
    parts = spread(total, [share.total for share in shares], digits=digits)
    return [_take_gross(share, part, digits=digits) for share, part in zip(shares, parts, strict=True)]


@exactly
def spread(total: Decimal, weights: Sequence[Decimal], *, digits: int) -> list[Decimal]:
    """Split a total in proportion to weights of any sign; the parts have `digits` decimals and add up to it.

    Each part is the step of the rounded running sum, so it never exceeds its weight where the total does not exceed
    theirs. Weights that add up to zero give the total to the first that is not zero.
    """
    whole = sum((Fraction(weight) for weight in weights), Fraction(0))
    if not whole:
        first = next((n for n, weight in enumerate(weights) if weight), 0)
        return [total if n == first else ZERO for n in range(len(weights))]
    parts, running, given = [], Fraction(0), ZERO
    for weight in weights:
        running += Fraction(weight)
        until = round_fraction(Fraction(total) * running / whole, digits)
        parts.append(until - given)
        given = until
    return parts


def sums(shares: Sequence[Share]) -> Mapping[str, Decimal]:
    """Add up shares: the sums of a credit note."""
    return {
        "subtotal": sum((share.amount for share in shares), ZERO),
        "discount": sum((share.discount for share in shares), ZERO),
        "tax": sum((share.tax for share in shares), ZERO),
        "tax_included": sum((share.tax_included for share in shares), ZERO),
        "total": sum((share.total for share in shares), ZERO),
    }


@exactly
def tax_summary(invoice: Invoice, shares: Sequence[Share]) -> list[dict[str, object]]:
    """Give what is taken back of each tax of an invoice, in the form in which the invoice keeps its taxes."""
    summary: list[dict[str, object]] = []
    for tax in invoice.taxes:
        n = int(tax["n"])
        mine = [share for share in shares if n in share.line.taxed_by]
        if not mine:
            continue
        parts = [(share.included if tax["inclusive"] else share.added).get(n, ZERO) for share in mine]
        amount = sum(parts, ZERO)
        gross = sum((share.amount - share.discount for share in mine), ZERO)
        base = gross - amount if tax["inclusive"] else gross
        summary.append({**tax, "base": f"{base:f}", "amount": f"{amount:f}"})
    return summary


def _take_gross(share: Share, part: Decimal, *, digits: int) -> Share:
    """Take a part of a line, its taxes included: they and the discount by fraction, the amount is what then remains."""
    if part == share.total:
        return share
    if not share.total:
        return Share(share.line, ZERO)
    fraction = Fraction(part) / Fraction(share.total)
    discount = round_fraction(Fraction(share.discount) * fraction, digits)
    added = _fraction_of(share.added, fraction, digits)
    amount = part + discount - sum(added.values(), ZERO)
    return Share(share.line, amount, discount, added, _fraction_of(share.included, fraction, digits))


def _fraction_of(parts: Mapping[int, Decimal], fraction: Fraction, digits: int) -> dict[int, Decimal]:
    return {n: round_fraction(Fraction(part) * fraction, digits) for n, part in parts.items()}


@exactly
def _less(share: Share, taken: Iterable[CreditNoteLine]) -> Share:
    rows = list(taken)

    def left(parts: Mapping[int, Decimal]) -> dict[int, Decimal]:
        return {
            n: part - sum((Decimal(row.taxes.get(str(n), "0")) for row in rows), ZERO)
            for n, part in parts.items()
        }

    return Share(
        share.line,
        share.amount - sum((row.amount for row in rows), ZERO),
        share.discount - sum((row.discount for row in rows), ZERO),
        left(share.added),
        left(share.included),
    )
