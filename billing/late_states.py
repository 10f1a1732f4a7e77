"""Where late usage goes: on the next invoice, nowhere before a decision, or it costs nothing."""

from __future__ import annotations

from django.conf import settings
from django.db.models import F, Q, TextChoices

from billing.models import ChangedLine


class LateState(TextChoices):
    COMPUTING = "computing", "being computed"
    NEXT_INVOICE = "next_invoice", "goes on the next invoice"
    WAITING = "waiting", "waits for a decision"
    NOTHING = "nothing", "costs nothing"


def waiting() -> Q:
    """Give the condition of late usage that goes nowhere before somebody decides."""
    limit = settings.ADJUSTMENT_REVIEW_FROM
    if limit is None:
        return Q(pk=None)
    undecided = Q(bill_up_to=None) | Q(bill_up_to__lt=F("position"))
    return undecided & (Q(effect_amount__gte=limit) | Q(effect_amount__lte=-limit))


def state_of(change: ChangedLine) -> LateState:
    """Say where late usage goes."""
    limit = settings.ADJUSTMENT_REVIEW_FROM
    if change.effect_amount is None or (change.effect_position or 0) < change.position:
        return LateState.COMPUTING
    if change.bill_up_to is not None and change.bill_up_to >= change.position:
        return LateState.NEXT_INVOICE
    if limit is not None and abs(change.effect_amount) >= limit:
        return LateState.WAITING
    return LateState.NEXT_INVOICE if change.effect_amount else LateState.NOTHING
