"""Remembering what a customer saw in the portal, so that a close can say where its invoice differs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from billing.drafts import InvoiceDraft
from billing.models import PortalTotal


def remember_shown(drafts: Sequence[InvoiceDraft], *, now: datetime) -> None:
    """Keep the totals that a page shows, one per subscription and period: the last one counts."""
    PortalTotal.objects.bulk_create(
        [
            PortalTotal(
                subscription=draft.due.subscription,
                period_start=draft.due.period.start_on,
                total=draft.total,
                currency=draft.currency,
                final=draft.due.period.is_over(now),
                shown_at=now,
            )
            for draft in drafts
        ],
        update_conflicts=True,
        unique_fields=["subscription", "period_start"],
        update_fields=["total", "currency", "final", "shown_at"],
    )
