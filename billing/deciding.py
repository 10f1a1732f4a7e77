"""Late usage of closed periods: what it comes to, and what staff decide about it.

Billed on the next invoice is the rule and needs nobody, unless ADJUSTMENT_REVIEW_FROM asks for a decision. A waiver
settles the difference instead, with a reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q

from billing.adjusting import Adjustment, compute_adjustments
from billing.errors import DecidedTogether, EffectChanged, ReasonMissing
from billing.line_settling import drop_flags
from billing.models import AdjustmentWaiver, ChangedLine, CreditNote, Invoice, InvoiceStatus
from billing.scanning import scan_changes

MAX_REASON = 400
CHUNK = 1_000
STORE = """
UPDATE billing_changedline change
SET effect_position = %s, effect_quantity = effect.quantity, effect_amount = effect.amount
FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[]) AS effect (line_id, quantity, amount)
WHERE change.line_id = effect.line_id AND change.position <= %s
"""


def find_late_usage(*, now: datetime) -> int:
    """Look for changes to closed periods and compute what they come to; give how many were computed."""
    position = scan_changes(now=now)
    stale = ChangedLine.objects.filter(Q(effect_position=None) | Q(effect_position__lt=F("position")))
    count = stale.count()
    invoices = sorted(set(stale.values_list("line__invoice_id", flat=True)))
    for start in range(0, len(invoices), CHUNK):
        chunk = ChangedLine.objects.filter(line__invoice__in=invoices[start : start + CHUNK])
        lines = list(chunk.order_by("line_id").values_list("line_id", flat=True))
        _store(_effects(lines, position=position), position=position)
    return count


def bill_late_usage(change_ids: Collection[int], *, by: User | None, now: datetime) -> int:
    """Let late usage that waits go on the next invoice, as far as it is known now; give how many lines.

    `by` is None for a decision over HTTP.
    """
    waiting = ChangedLine.objects.filter(pk__in=change_ids)
    return waiting.update(bill_up_to=F("position"), decided_by=by, decided_at=now)


def bill_seen_late_usage(shown: Mapping[int, Decimal], *, by: User | None, now: datetime) -> int:
    """Bill as `bill_late_usage` does what is still as it was looked at; EffectChanged when any of it is not."""
    with transaction.atomic():
        rows = ChangedLine.objects.select_for_update().filter(pk__in=shown).order_by("pk")
        known = dict(rows.values_list("pk", "effect_amount"))
        if known != dict(shown):
            raise _changed()
        return bill_late_usage(shown, by=by, now=now)


def waive_late_usage(
    shown: Mapping[int, Decimal], *, reason: str, by: User | str, now: datetime
) -> list[AdjustmentWaiver]:
    """Neither bill nor pay back differences, for good; `shown` is the amount that was looked at, by changed line.

    Raises ReasonMissing, DecidedTogether, and EffectChanged when one is no longer what was looked at; nothing is waived
    then. What changes later is late usage again. `by` is a person, or the name of an API key.
    """
    reason = decision_reason(reason)
    position = scan_changes(now=now)
    with settled_once():
        effects = lock_effects(shown, position=position)
        return settle_beside(effects, {}, position=position, reason=reason, by=by, now=now)


def decision_reason(reason: str) -> str:
    """Give the reason of a decision in one line. Raises ReasonMissing."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON:
        text = f"Say in a sentence of at most {MAX_REASON} characters why it is not billed."
        raise ReasonMissing(text, fields={"reason": text})
    return reason


@contextmanager
def settled_once() -> Iterator[None]:
    """Run a decision in a transaction. EffectChanged, with nothing written, when an invoice settled it meanwhile."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as refused:
        if "adjustment_settled_once" not in str(refused):
            raise
        raise _changed() from refused


def lock_effects(shown: Mapping[int, Decimal], *, position: int) -> list[Adjustment]:
    """Lock changed lines and compute what they come to; EffectChanged when one is not what was looked at."""
    changes = {
        change.line_id: change.pk
        for change in ChangedLine.objects.select_for_update(of=("self",)).filter(pk__in=shown).order_by("pk")
    }
    _require_whole_invoices(changes.values())
    effects = _effects(list(changes), position=position)
    if len(effects) < len(shown) or any(each.difference != shown[changes[each.line.pk]] for each in effects):
        raise _changed()
    return effects


def settle_beside(
    effects: Sequence[Adjustment],
    credit_notes: Mapping[int, CreditNote],
    *,
    position: int,
    reason: str,
    by: User | str,
    now: datetime,
) -> list[AdjustmentWaiver]:
    """Write down differences as settled beside the invoices: waived, or paid back by the invoice's credit note."""
    settled = AdjustmentWaiver.objects.bulk_create(
        AdjustmentWaiver(
            line=each.line,
            adjustment_n=n,
            position=position,
            quantity=quantity,
            amount=amount,
            adjusts_plan=of_plan,
            reason=reason,
            waived_by=None if isinstance(by, str) else by,
            waived_through=by if isinstance(by, str) else "",
            waived_at=now,
            credit_note=credit_notes.get(each.line.invoice_id),
        )
        for each in effects
        for n, quantity, amount, of_plan in _parts(each)
    )
    drop_flags([each.line.pk for each in effects], [position] * len(effects))
    return settled


def _parts(each: Adjustment) -> list[tuple[int, Decimal, Decimal, bool]]:
    """Give number, quantity and amount of what is settled: the usage, and the plan terms where they differ."""
    n = each.settled.next_n
    parts = [(n, each.quantity - each.settled.quantity, each.usage_difference, False)]
    if each.plan is not None:
        parts.append((n + 1, Decimal(0), each.plan.difference, True))
    return parts


def _require_whole_invoices(changes: Collection[int]) -> None:
    """Refuse some changed lines of an invoice without the others, where its plan's terms look at all of them."""
    partial = (
        ChangedLine.objects.filter(
            line__invoice__lines__change__in=changes, line__invoice__plan_terms__isnull=False
        )
        .exclude(pk__in=changes)
        .values_list("line__invoice__number", flat=True)
    )
    numbers = sorted({str(number) for number in partial})
    if numbers:
        raise DecidedTogether(
            f"The plan of {numbers[0]} has a minimum, included spend or a service fee, which looks at all its usage. "
            "Choose all late usage of that invoice together."
        )


def _changed() -> EffectChanged:
    return EffectChanged(
        "It was billed or changed meanwhile. Nothing was decided; look at the amounts again."
    )


def _effects(line_ids: Sequence[int], *, position: int) -> list[Adjustment]:
    """Compute what lines still come to; drafts settle nothing."""
    drafts = Invoice.objects.filter(status=InvoiceStatus.DRAFT, lines__adjusts__in=line_ids)
    return compute_adjustments(
        line_ids, watermark=position, without_drafts=list(drafts.values_list("id", flat=True))
    )


def _store(effects: Sequence[Adjustment], *, position: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            STORE,
            [
                position,
                [each.line.pk for each in effects],
                [each.quantity - each.settled.quantity for each in effects],
                [each.difference for each in effects],
                position,
            ],
        )
