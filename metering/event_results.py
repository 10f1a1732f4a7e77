"""What became of events that were sent in: a result for each, and for their batch."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ResultStatus(StrEnum):
    """What became of one event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    UNMATCHED = "unmatched"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class EventResult:
    """What became of one event, by its place in what was sent; code and message where it was not accepted."""

    index: int
    key: str | None
    status: ResultStatus
    code: str | None = None
    message: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch: its ledger id, and the results of the events that were not accepted, by place.

    `keys` are the keys of all its events in the order sent.
    """

    batch: uuid.UUID
    keys: tuple[str | None, ...]
    exceptions: Mapping[int, EventResult]

    @property
    def results(self) -> list[EventResult]:
        """A result per event in the order sent."""
        return [
            self.exceptions.get(place) or EventResult(place, key, ResultStatus.ACCEPTED)
            for place, key in enumerate(self.keys)
        ]

    @property
    def counts(self) -> Counter[ResultStatus]:
        counts = Counter(result.status for result in self.exceptions.values())
        counts[ResultStatus.ACCEPTED] = len(self.keys) - len(self.exceptions)
        return counts
