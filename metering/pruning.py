"""Archiving old events to a file, then deleting them: the only code that deletes events.

The archive is written, synced to disk and read back before the first row goes, and what is deleted is what was
read back. The ledger keeps count: `pruned` of a batch grows with its rows that go, so that rows and ledger still
agree. Levels (weighted sums) carry over for ever and a subject that counts once for ever has counted, so events of such
meters stay; and so does what an outcome that stays counts by: the activity of its subject, where its meter asks for
evidence, and what names it by its key, which an amendment may have moved past. What invoices need is the caller's
question.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from metering.errors import PruneFailed
from metering.models import EventArchive

CHUNK = 10_000
Progress = Callable[[int], None]

PRUNABLE = """
FROM metering_event e
JOIN metering_meter m ON m.id = e.meter_id AND m.type <> 'weighted_sum' AND m.once_per_subject <> 'ever'
JOIN customers_customer c ON c.id = e.customer_id
LEFT JOIN metering_workloadname w ON w.id = e.workload_id
WHERE e.occurred_at < %(before)s AND NOT EXISTS (
    SELECT FROM metering_meter asking
    JOIN metering_event outcome ON outcome.meter_id = asking.id
    WHERE asking.evidence_meter_id = e.meter_id
        AND outcome.customer_id = e.customer_id AND outcome.subject = e.subject
        AND (outcome.occurred_at >= %(before)s OR asking.once_per_subject = 'ever')
) AND (e.target_id IS NULL OR NOT EXISTS (
    WITH RECURSIVE named (id) AS (
        SELECT e.target_id
        UNION
        SELECT correction.replacement_id
        FROM named JOIN metering_eventcorrection correction ON correction.event_id = named.id
        WHERE correction.replacement_id IS NOT NULL
    )
    SELECT FROM named JOIN metering_event outcome ON outcome.id = named.id WHERE outcome.occurred_at >= %(before)s
))
"""
# As an integration sent it, and what became of it since.
LINE = """
jsonb_strip_nulls(jsonb_build_object(
    'id', e.id, 'source', e.source, 'key', e.key, 'meter', m.code, 'customer', c.code, 'value', e.value::text,
    'occurred_at', e.occurred_at, 'received_at', e.received_at, 'subject', e.subject, 'workload', w.name,
    'dimensions', e.dimensions, 'signal', e.signal, 'target', e.target_id,
    'batch', e.batch_id, 'released_batch', e.released_batch_id, 'voided_batch', e.voided_batch_id
))::text
"""
DELETE = """
WITH gone AS (
    DELETE FROM metering_event WHERE id = ANY(%s::uuid[]) RETURNING batch_id, released_batch_id, voided_batch_id
), counted AS (
    SELECT batch, count(*) AS rows FROM gone,
    LATERAL (VALUES (batch_id), (released_batch_id), (voided_batch_id)) AS named (batch)
    WHERE batch IS NOT NULL GROUP BY batch
), settled AS (
    DELETE FROM metering_settledoutcome WHERE event_id = ANY(%s::uuid[])
), ledger AS (
    UPDATE metering_eventbatch SET pruned = pruned + counted.rows FROM counted WHERE id = counted.batch
)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """A gzipped file of events, one JSON object a line, with the SHA-256 of the file in hexadecimal."""

    path: Path
    sha256: str
    events: int


def count_prunable(before: datetime) -> int:
    """Count the events that happened before an instant and could go."""
    return _count(f"SELECT count(*) {PRUNABLE}", before)


def count_waiting_before(before: datetime) -> int:
    """Count the unmatched events before an instant: each may still count one day, so it stays."""
    return _count(
        "SELECT count(*) FROM metering_event WHERE (meter_id IS NULL OR customer_id IS NULL)"
        " AND voided_batch_id IS NULL AND occurred_at < %(before)s",
        before,
    )


def pruned_before() -> datetime | None:
    """Give the instant before which events were deleted; None when all are there."""
    latest = EventArchive.objects.order_by("-before").first()
    return None if latest is None else latest.before


def archive_events(before: datetime, *, folder: Path, now: datetime, on_progress: Progress) -> Archive:
    """Write every prunable event before an instant to a new file in `folder`, synced to disk. Deletes nothing.

    `on_progress` gets the number written so far. The file of an archive that was interrupted ends in .part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events-before-{before:%Y-%m-%d}-{now:%Y%m%dT%H%M%SZ}.ndjson.gz"
    partial = path.with_name(path.name + ".part")
    events = 0
    statement = f"COPY (SELECT {LINE} {PRUNABLE} ORDER BY e.occurred_at, e.id) TO STDOUT"
    with partial.open("xb") as raw:
        with (
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as lines,
            connection.cursor() as cursor,
            connection.wrap_database_errors,
            cursor.cursor.copy(statement, {"before": before}) as copy,
        ):
            for row in copy.rows():
                lines.write(str(row[0]).encode() + b"\n")
                events += 1
                if events % CHUNK == 0:
                    on_progress(events)
        raw.flush()
        os.fsync(raw.fileno())
    digest = _sha256(partial)
    partial.rename(path)
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n")
    _sync(folder)
    on_progress(events)
    return Archive(path, digest, events)


def delete_archived(archive: Archive, *, before: datetime, now: datetime, on_progress: Progress) -> int:
    """Delete the events that stand in an archive, in transactions of CHUNK; give how many.

    Killed in between, whole chunks are gone and counted; running the command again archives and deletes the rest.
    Raises PruneFailed before anything is deleted when the file is not what was written, and later, with its chunk kept,
    when a row is not there.
    """
    if _sha256(archive.path) != archive.sha256 or sum(1 for _ in _ids(archive)) != archive.events:
        raise PruneFailed(f"{archive.path} cannot be read back as it was written. Nothing was deleted.")
    EventArchive.objects.create(
        before=before,
        events=archive.events,
        file=str(archive.path),
        sha256=archive.sha256,
        created_at=now,
    )
    deleted = 0
    chunk: list[str] = []
    for each in _ids(archive):
        chunk.append(each)
        if len(chunk) == CHUNK:
            deleted += _delete(chunk)
            on_progress(deleted)
            chunk = []
    deleted += _delete(chunk)
    on_progress(deleted)
    return deleted


def _delete(ids: list[str]) -> int:
    if not ids:
        return 0
    with transaction.atomic(), connection.cursor() as cursor:
        # Whoever settles outcomes ahead holds this row: a note that it makes of an event meanwhile would outlive it.
        cursor.execute("SELECT FROM metering_rollup FOR UPDATE")
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        cursor.execute(DELETE, [ids, ids])
        if cursor.fetchone()[0] != len(ids):
            raise PruneFailed(
                "An archived event was not there any more: somebody else is pruning. Run it again."
            )
        cursor.execute("SET LOCAL reckoner.prune = 'off'")
    return len(ids)


def _ids(archive: Archive) -> Iterator[str]:
    with gzip.open(archive.path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["id"]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Make the file's name last through a power failure, as its content does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _count(statement: str, before: datetime) -> int:
    parameters: dict[str, Any] = {"before": before}
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.fetchone()[0])
