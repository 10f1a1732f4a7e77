"""Taking outcomes back by our own decision, by the same signals that integrations send."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from metering.columns import Row
from metering.identity import new_uuid7
from metering.incoming import event_id
from metering.meter_types import Signal
from metering.models import Event
from metering.storing import insert_batch


def reverse_outcomes(outcomes: Sequence[Event], *, keys: Sequence[str], source: str, now: datetime) -> UUID:
    """Write an event for each outcome that reverses it; give the ledger batch. The caller commits.

    An outcome reversed twice is reversed once. `keys` name the new events, in the order of the outcomes. Raises
    RuntimeError when a key was used before.
    """
    batch = new_uuid7()
    rows = [
        Row(
            id=event_id(source, key),
            key=key,
            meter_id=outcome.meter_id,
            customer_id=outcome.customer_id,
            workload_id=None,
            value=None,
            occurred_at=now.astimezone(UTC).isoformat(),
            subject=outcome.subject,
            dimensions=None,
            meter_code=None,
            customer_code=None,
            signal=Signal.REVERSES.value,
            target_id=outcome.pk.hex,
        )
        for outcome, key in zip(outcomes, keys, strict=True)
    ]
    if insert_batch(rows, batch=batch, source=source, received_at=now, rejected=0) is not None:
        raise RuntimeError(f"An outcome was taken back under the same key before: {keys[0]} ...")
    return batch
