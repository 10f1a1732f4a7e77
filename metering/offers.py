"""Events that are offered for storing: checked, and sorted by whether their key stands in the batch before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from metering.event_results import EventResult, ResultStatus
from metering.incoming import IncomingEvent, Refusal, TimeBounds, check_event, event_id


class Offer(NamedTuple):
    """An event that may be stored, and the place it was sent in."""

    place: int
    id: str
    event: IncomingEvent
    occurred_at: datetime


@dataclass(slots=True)
class Sorting:
    """What is not accepted so far by place, the first offer of each key, and the offers of a key used before."""

    results: dict[int, EventResult] = field(default_factory=dict)
    first: dict[str, Offer] = field(default_factory=dict)
    again: list[Offer] = field(default_factory=list)

    def reject(self, index: int, refusal: Refusal) -> None:
        self.results[index] = EventResult(
            index,
            refusal.key,
            ResultStatus.REJECTED,
            refusal.code,
            refusal.message,
            refusal.field,
        )


def sort_offers(
    events: Sequence[IncomingEvent | Refusal],
    *,
    source: str,
    now: datetime,
    bounds: TimeBounds,
) -> Sorting:
    """Check each event; refuse what is wrong, and keep apart what has a key that came before it."""
    sorting = Sorting()
    for index, event in enumerate(events):
        if isinstance(event, Refusal):
            sorting.reject(index, event)
            continue
        checked = check_event(event, now=now, bounds=bounds)
        if isinstance(checked, Refusal):
            sorting.reject(index, checked)
            continue
        assert event.key is not None  # check_event refuses a missing key
        offer = Offer(index, event_id(source, event.key), event, checked)
        if offer.id in sorting.first:
            sorting.again.append(offer)
        else:
            sorting.first[offer.id] = offer
    return sorting


def signal_columns(event: IncomingEvent, *, source: str) -> tuple[str | None, str | None, str | None]:
    """Give signal, id of the target and subject as they are stored; a signal is about a key of its own source."""
    signal = event.signal
    if signal is None:
        return None, None, event.subject
    name, target = signal
    target_id = None if target.key is None else event_id(source, target.key)
    return str(name), target_id, event.subject or target.subject
