"""Spans of time that events are totalled in, and what to read of them as of a ledger position."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from metering.columns import plain_array, text_array
from metering.fragments import NOTHING, Source, Sql
from metering.meter_types import MeterType
from metering.models import Meter


class Span(NamedTuple):
    """One customer's half-open time `[start, end)`. `slot` is the caller's name for it.

    `zone` cuts the hours or days of a windowed meter, which cannot be measured without it.
    """

    slot: int
    customer_id: int
    start: datetime
    end: datetime
    zone: str | None = None


class Asked(NamedTuple):
    """Spans of one meter to total. `group_by` names dimensions; `with_values` also asks for each event's value."""

    meter: Meter
    spans: Sequence[Span]
    group_by: Sequence[str] = ()
    with_values: bool = False


def carries_over(meter: Meter) -> bool:
    """Whether events of any earlier time may matter to a span: to a level, or to what an outcome is worth."""
    return meter.type == MeterType.WEIGHTED_SUM or meter.is_outcome


def sources_as_of(position: int | None, spans: Sequence[Span], *, carries: bool) -> list[Source]:
    """Give what to read to count exactly what was placed up to a position: sources whose statements are united.

    Late batches are found inside the statement, so that they and the events come from one snapshot. Usually there
    are none; the first source is for that and needs only what the index holds, the second is for the other case.
    The database runs the one whose condition holds. A level that carries over also depends on batches whose events
    are older than the spans.
    """
    if position is None:
        return [_source(spans, Sql("e.voided_batch_id IS NULL"))]
    since = Sql("") if carries else Sql("AND last_occurred_at >= %s", [min(span.start for span in spans)])
    late = (
        Sql(
            """
            WITH late AS MATERIALIZED (
                SELECT id FROM metering_eventbatch
                WHERE (position IS NULL OR position > %s) AND (first_occurred_at < %s OR has_signals)
            """,
            [position, max(span.end for span in spans)],
        )
        + since
        + ") "
    )
    nothing_late = Sql("(SELECT NOT EXISTS (SELECT FROM late)) AND e.voided_batch_id IS NULL")
    something_late = Sql(
        """
        (SELECT EXISTS (SELECT FROM late)) AND e.batch_id NOT IN (SELECT id FROM late)
        AND (e.released_batch_id IS NULL OR e.released_batch_id NOT IN (SELECT id FROM late))
        AND (e.voided_batch_id IS NULL OR e.voided_batch_id IN (SELECT id FROM late))
        """
    )
    return [_source(spans, nothing_late, with_clause=late), _source(spans, something_late)]


def _source(spans: Sequence[Span], conditions: Sql, *, with_clause: Sql = NOTHING) -> Source:
    return Source(
        with_clause=with_clause,
        spans=Sql(
            "unnest(%s::int[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::text[])"
            " AS span (slot, customer_id, first, last, zone)",
            [
                plain_array([str(span.slot) for span in spans]),
                plain_array([str(span.customer_id) for span in spans]),
                _instants([span.start for span in spans]),
                _instants([span.end for span in spans]),
                text_array([span.zone for span in spans]) if any(span.zone for span in spans) else "{}",
            ],
        ),
        joins=" AND e.customer_id = span.customer_id",
        conditions=conditions,
        related=conditions + Sql(" AND e.customer_id = ANY(%s::bigint[])", [plain_array(_customers(spans))]),
        one_customer=True,
    )


def _instants(times: Sequence[datetime]) -> str:
    """Write an array of instants; most spans of one statement begin and end at the same few."""
    written = {time: f'"{time.isoformat()}"' for time in set(times)}
    return plain_array([written[time] for time in times])


def _customers(spans: Sequence[Span]) -> list[str]:
    return [str(customer) for customer in sorted({span.customer_id for span in spans})]
