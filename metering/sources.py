"""Recording events of several sources in one go: the same path, one batch per source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from metering.event_results import EventResult, ResultStatus
from metering.incoming import IncomingEvent, Refusal, TimeBounds
from metering.ingesting import record_events


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event, its place in what was sent, and its source; None is the source of whoever sends it."""

    place: int
    event: IncomingEvent | Refusal
    source: str | None = None


@dataclass(frozen=True, slots=True)
class SentResults:
    """What became of each event, by its place in what was sent."""

    results: list[EventResult]

    @property
    def counts(self) -> Counter[ResultStatus]:
        return Counter(result.status for result in self.results)


def record_sent_events(
    sent: Sequence[SentEvent], *, source: str, now: datetime, bounds: TimeBounds
) -> SentResults:
    """Store events by `record_events`, those of each source in a transaction of their own.

    When a later one fails, the earlier ones are stored: sending everything again finds them as duplicates.
    """
    by_source: dict[str, list[SentEvent]] = {}
    for each in sent:
        by_source.setdefault(each.source or source, []).append(each)
    found = []
    for name, group in by_source.items():
        batch = record_events([each.event for each in group], source=name, now=now, bounds=bounds)
        found += [
            replace(result, index=each.place) for each, result in zip(group, batch.results, strict=True)
        ]
    return SentResults(sorted(found, key=lambda result: result.index))
