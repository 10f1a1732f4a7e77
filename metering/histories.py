"""The whole history of events: what came in, was matched, refused, voided, amended, and by what it was replaced."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from metering.models import CorrectionKind, Event, EventBatch, EventConflict, EventCorrection


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Something that happened to an event or to one that replaced it. `by` is the source, person or API key."""

    at: datetime
    what: str
    key: str
    by: str
    reason: str = ""


def event_history(event: Event) -> list[HistoryEntry]:
    """Give everything that happened to an event, to those it replaced and to those that replaced it, oldest first."""
    return event_histories([event])[event.pk]


def event_histories(events: Sequence[Event]) -> dict[UUID, list[HistoryEntry]]:
    """Give the history of each of many events, by id; the queries are as many as the longest chain of corrections."""
    corrections = _corrections({event.pk for event in events})
    after = {each.event_id: each for each in corrections}
    before = {each.replacement_id: each.event_id for each in corrections if each.replacement_id is not None}
    chains = {event.pk: _chain(event.pk, after, before) for event in events}
    known = Event.objects.in_bulk({pk for chain in chains.values() for pk in chain})
    released = {each.released_batch_id for each in known.values() if each.released_batch_id is not None}
    matched = dict(EventBatch.objects.filter(pk__in=released).values_list("pk", "received_at"))
    refused: dict[UUID, list[EventConflict]] = {}
    for conflict in EventConflict.objects.filter(event_id__in=list(known)):
        refused.setdefault(conflict.event_id, []).append(conflict)
    told: dict[UUID, list[HistoryEntry]] = {}
    for pk, each in known.items():
        told[pk] = [HistoryEntry(each.received_at, "received", each.key, each.source)]
        if each.released_batch_id is not None:
            told[pk].append(HistoryEntry(matched[each.released_batch_id], "matched", each.key, ""))
        for conflict in refused.get(pk, ()):
            told[pk].append(
                HistoryEntry(conflict.received_at, "conflict refused", conflict.key, conflict.source)
            )
        if pk in after:
            correction = after[pk]
            what = "amended" if correction.kind == CorrectionKind.AMEND else "voided"
            told[pk].append(HistoryEntry(correction.at, what, each.key, correction.by, correction.reason))
    order = {"received": 0, "matched": 1}
    return {
        pk: sorted(
            (entry for link in chain for entry in told[link]),
            key=lambda entry: (entry.at, order.get(entry.what, 2)),
        )
        for pk, chain in chains.items()
    }


def chain_of(event: Event) -> list[Event]:
    """Give an event with those it replaced before it and those that replaced it after it."""
    corrections = _corrections({event.pk})
    after = {each.event_id: each for each in corrections}
    before = {each.replacement_id: each.event_id for each in corrections if each.replacement_id is not None}
    ids = _chain(event.pk, after, before)
    found = Event.objects.in_bulk(ids)
    return [found[pk] for pk in ids]


def _corrections(ids: Collection[UUID]) -> list[EventCorrection]:
    """Give the corrections of events and of all that replaced them or that they replaced."""
    found: dict[object, EventCorrection] = {}
    asked: set[UUID] = set()
    asking = set(ids)
    while asking:
        asked |= asking
        rows = EventCorrection.objects.filter(Q(event_id__in=asking) | Q(replacement_id__in=asking))
        found |= {each.pk: each for each in rows}
        linked = {
            pk for each in found.values() for pk in (each.event_id, each.replacement_id) if pk is not None
        }
        asking = linked - asked
    return list(found.values())


def _chain(pk: UUID, after: dict[UUID, EventCorrection], before: dict[UUID, UUID]) -> list[UUID]:
    first = pk
    while first in before:
        first = before[first]
    chain = [first]
    while chain[-1] in after and (following := after[chain[-1]].replacement_id) is not None:
        chain.append(following)
    return chain
