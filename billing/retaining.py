"""What invoices still need of the events: pruning refuses while anything stands here."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Max

from billing.models import Invoice, InvoiceStatus
from billing.segments import segments_between
from metering.models import Meter
from metering.pruning import count_waiting_before
from metering.standings import count_standings

NAMED = 3
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def reasons_to_keep(before: datetime, *, now: datetime) -> list[str]:
    """Say, in sentences, why events before an instant cannot go yet; nothing when they can."""
    reasons = [*_keys(before, now), *_waiting(before), *_open(before), *_verifiable(before, now)]
    standings = count_standings(segments_between(BEGINNING, before), start=BEGINNING, end=before)
    unbilled = sum(each.not_yet_billed for each in standings)
    taken_back = sum(each.voided_after_billing for each in standings)
    if unbilled:
        reasons.append(f"{unbilled:,} of the events are not yet billed. Close their months first.")
    if taken_back:
        reasons.append(
            f"{taken_back:,} of the events were voided after they were billed, and no invoice has taken them back."
        )
    return reasons


def _keys(before: datetime, now: datetime) -> list[str]:
    """A key can be told as a duplicate while its event is there; an older event is refused by its time."""
    earliest = now - timedelta(days=settings.EVENT_MAX_AGE_DAYS)
    if before <= earliest:
        return []
    return [
        f"Events up to {settings.EVENT_MAX_AGE_DAYS} days old may still be sent again and must be told as duplicates: "
        f"choose {earliest:%Y-%m-%d} or earlier."
    ]


def _waiting(before: datetime) -> list[str]:
    waiting = count_waiting_before(before)
    if not waiting:
        return []
    return [
        f"{waiting:,} unmatched events wait for their meter or customer. Create it, or void them with a reason."
    ]


def _open(before: datetime) -> list[str]:
    drafts = Invoice.objects.filter(status=InvoiceStatus.DRAFT, period_start__lt=before.date())
    if not drafts:
        return []
    return [_named(drafts.count(), "draft", [str(each) for each in drafts[:NAMED]], "Issue them first.")]


def _verifiable(before: datetime, now: datetime) -> list[str]:
    since = now - timedelta(days=settings.EVENT_RETENTION_DAYS)
    reach = _reach()
    kept = Invoice.objects.filter(issued_at__gte=since, period_start__lt=before.date() + reach).exclude(
        status__in=(InvoiceStatus.DRAFT, InvoiceStatus.VOID)
    )
    earliest = kept.order_by("period_start").first()
    if earliest is None:
        return []
    text = (
        f"Invoices stay verifiable for {settings.EVENT_RETENTION_DAYS} days (EVENT_RETENTION_DAYS): "
        f"choose {earliest.period_start - reach} or earlier."
    )
    return [_named(kept.count(), "invoice", [str(each) for each in kept[:NAMED]], text)]


def _reach() -> timedelta:
    """Give how long before the first day of an invoice its events may have happened, in whole days.

    A day begins earlier east of UTC, and an outcome is billed when its window is over.
    """
    longest = Meter.objects.aggregate(hours=Max("verification_hours"))["hours"] or 0
    return timedelta(days=1 + math.ceil(longest / 24))


def _named(count: int, noun: str, names: list[str], advice: str) -> str:
    more = ", …" if count > len(names) else ""
    who = f"1 {noun} needs" if count == 1 else f"{count:,} {noun}s need"
    return f"{who} them ({', '.join(names)}{more}). {advice}"
