"""Late usage that lowers a closed period, paid back at once by a credit note instead of on the next invoice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.contrib.auth.models import User

from billing.adjusting import Adjustment
from billing.correcting import issue_credit_note
from billing.deciding import decision_reason, lock_effects, settle_beside, settled_once
from billing.errors import InvalidAmount, NotCreditable, NotInThisState
from billing.formatting import money
from billing.models import CreditNote, Invoice
from billing.rating.money import currency_digits
from billing.scanning import scan_changes
from billing.shares import Share, amount_giving, remaining_shares


def credit_late_usage(
    shown: Mapping[int, Decimal], *, reason: str, by: User | str, now: datetime
) -> list[CreditNote]:
    """Pay back differences now, one credit note for each invoice; `shown` is what was looked at, by changed line.

    All or nothing: raises NotCreditable, naming the line, for what is to be billed or what a credit note cannot take
    back to the cent; ReasonMissing, DecidedTogether, EffectChanged as a waiver does. Asked again, it is EffectChanged:
    the difference is settled once, by one credit note, invoice or waiver. What changes later is late usage again.
    """
    reason = decision_reason(reason)
    name = by if isinstance(by, str) else by.get_username()
    position = scan_changes(now=now)
    with settled_once():
        effects = lock_effects(shown, position=position)
        by_invoice: dict[int, list[Adjustment]] = {}
        for each in effects:
            by_invoice.setdefault(each.line.invoice_id, []).append(each)
        notes = {pk: _credit(of, reason=reason, by=name, now=now) for pk, of in sorted(by_invoice.items())}
        settle_beside(effects, notes, position=position, reason=reason, by=by, now=now)
    return list(notes.values())


def _credit(effects: Sequence[Adjustment], *, reason: str, by: str, now: datetime) -> CreditNote:
    invoice: Invoice = effects[0].line.invoice
    left = {share.line.pk: share for share in remaining_shares(invoice)}
    lines = {each.line.n: _amount_of_line(each, left[each.line.pk]) for each in effects}
    try:
        return issue_credit_note(invoice, reason=reason, lines=lines, by=by, now=now)
    except (InvalidAmount, NotInThisState) as refused:
        raise NotCreditable(f"{invoice.number}: {refused.message} {INSTEAD}") from refused


INSTEAD = "Leave it to the next invoice instead."


def _amount_of_line(each: Adjustment, left: Share) -> Decimal:
    """Give what to take of a line, before its discount, so that exactly the difference goes back."""
    line, currency = each.line, each.line.invoice.currency
    where = f"{line.invoice.number}, {line.description}"
    if each.difference >= 0:
        raise NotCreditable(f"{where}: {money(each.difference, currency)} is not to be paid back. {INSTEAD}")
    if each.plan is not None:
        raise NotCreditable(
            f"{where}: the minimum, included spend or service fee changes with it, which a credit note cannot do. "
            f"{INSTEAD}"
        )
    back = -each.difference
    if back > left.amount - left.discount:
        rest = money(left.amount - left.discount, currency)
        raise NotCreditable(f"{where}: {rest} of it is left to credit. {INSTEAD}")
    amount = amount_giving(left, back, digits=currency_digits(currency))
    if amount is None:
        raise NotCreditable(f"{where}: its discount cannot be taken back to the cent. {INSTEAD}")
    return amount
