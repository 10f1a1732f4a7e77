"""The events behind a total: those that count towards it, and those that changed it between two ledger positions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.expressions import Expression, RawSQL
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce

from metering.fragments import Sql, united
from metering.meter_types import Need, need_of
from metering.models import Event, EventBatch, Meter
from metering.outcome_statements import outcome_ids
from metering.spans import Span, carries_over, sources_as_of


def events_behind(
    *,
    meter_id: int,
    customer_id: int,
    start: datetime,
    end: datetime,
    as_of: int | None = None,
) -> QuerySet[Event]:
    """Give the events of a span that count towards its quantity, oldest first.

    A level that is carried into the span is not among them: its events are older.
    """
    meter = Meter.objects.get(pk=meter_id)
    if meter.is_outcome:
        span = Span(0, customer_id, start, end)
        return _outcomes_behind(meter, span, as_of=as_of).order_by("occurred_at", "id")
    events = Event.objects.filter(
        meter_id=meter_id,
        customer_id=customer_id,
        occurred_at__gte=start,
        occurred_at__lt=end,
    )
    events = _counted(events, meter).order_by("occurred_at", "id")
    if as_of is None:
        return events.filter(voided_batch_id=None)
    late = EventBatch.objects.filter(
        Q(position=None) | Q(position__gt=as_of),
        last_occurred_at__gte=start,
        first_occurred_at__lt=end,
    ).values("id")
    return (
        events.exclude(batch_id__in=late)
        .exclude(released_batch_id__isnull=False, released_batch_id__in=late)
        .filter(Q(voided_batch_id=None) | Q(voided_batch_id__in=late))
    )


def counted_outcomes(
    meter: Meter, spans: Sequence[Span], *, as_of: int | None = None
) -> list[tuple[UUID, int]]:
    """Give the outcomes that count in each span, by id and slot: those that `total_spans` adds up. One query."""
    if not spans:
        return []
    statement = united(
        outcome_ids(meter, source, with_slots=True) for source in sources_as_of(as_of, spans, carries=True)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.parameters)
        return [(event, slot) for event, slot in cursor.fetchall()]


def events_changed(
    *, meter_id: int, customer_id: int, start: datetime, end: datetime, after: int, until: int
) -> QuerySet[Event]:
    """Give the events that change a span's quantity between two ledger positions, oldest first.

    They were stored or matched in between, or voided: `taken_back` tells these. What came and went in between changes
    nothing. Where earlier events matter to the span (a level), they are among them. On a meter of outcomes they are
    those that count now and did not, those that counted and do not now, whatever caused it, and the signals in between.
    """
    meter = Meter.objects.get(pk=meter_id)
    batches = EventBatch.objects.filter(position__gt=after, position__lte=until, first_occurred_at__lt=end)
    events = Event.objects.filter(meter_id=meter_id, customer_id=customer_id, occurred_at__lt=end)
    if not carries_over(meter):
        batches = batches.filter(last_occurred_at__gte=start)
        events = events.filter(occurred_at__gte=start)
    changed = batches.values("id")
    came = Case(
        When(Q(batch_id__in=changed) | Q(released_batch_id__in=changed), then=Value(True)),
        default=Value(False),
    )
    went = Case(When(voided_batch_id__in=changed, then=Value(True)), default=Value(False))
    if meter.is_outcome:
        return _outcomes_changed(
            meter, Span(0, customer_id, start, end), events, came=came, went=went, after=after, until=until
        )
    return (
        _counted(events, meter)
        .annotate(taken_back=went, came=came)
        .exclude(came=F("taken_back"))
        .order_by("occurred_at", "id")
    )


def _outcomes_behind(meter: Meter, span: Span, *, as_of: int | None) -> QuerySet[Event]:
    ids = united(outcome_ids(meter, source) for source in sources_as_of(as_of, [span], carries=True))
    return Event.objects.filter(pk__in=RawSQL(ids.text, ids.parameters))  # noqa: S611  text of metering.outcome_statements


def _outcomes_changed(
    meter: Meter,
    span: Span,
    events: QuerySet[Event],
    *,
    came: Expression,
    went: Expression,
    after: int,
    until: int,
) -> QuerySet[Event]:
    """Compare what counts at two positions. The outcomes are settled at each once, in one query made here."""
    now, before = (
        united(outcome_ids(meter, source) for source in sources_as_of(position, [span], carries=True))
        for position in (until, after)
    )
    statement = (
        Sql("WITH now AS MATERIALIZED (") + now + "), before AS MATERIALIZED (" + before + ")" + DIFFERENCE
    )
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.parameters)
        changed = cursor.fetchall()
    gone = RawSQL("SELECT unnest(%s::uuid[])", [[event for event, counts in changed if not counts]])
    either = RawSQL("SELECT unnest(%s::uuid[])", [[event for event, _ in changed]])
    signals = events.filter(signal__isnull=False).annotate(gone=went, came=came).exclude(came=F("gone"))
    taken_back = Case(
        When(signal=None, pk__in=gone, then=Value(True)), When(signal=None, then=Value(False)), default=went
    )
    return (
        Event.objects.filter(Q(pk__in=either) | Q(pk__in=signals.values("pk")))
        .annotate(taken_back=taken_back)
        .order_by("occurred_at", "id")
    )


# What counts now and did not, and what counted and does not now.
DIFFERENCE = """
SELECT id, true FROM (SELECT id FROM now EXCEPT SELECT id FROM before) added
UNION ALL SELECT id, false FROM (SELECT id FROM before EXCEPT SELECT id FROM now) gone
"""


def _counted(events: QuerySet[Event], meter: Meter) -> QuerySet[Event]:
    """Keep the events that count on a meter: the ORM's form of `counted_events`."""
    for place, (name, values) in enumerate(meter.filters.items()):
        alias = f"filtered_{place}"
        events = events.alias(**{alias: KeyTextTransform(name, "dimensions")}).filter(
            **{f"{alias}__in": values}
        )
    match need_of(meter.type, meter.value_dimension):
        case Need.VALUE:
            return events.exclude(value=None)
        case Need.SUBJECT:
            return events.exclude(subject=None)
        case Need.DIMENSION:
            text = Coalesce(KeyTextTransform(meter.value_dimension, "dimensions"), Value(""))
            return events.alias(counted_text=text).exclude(counted_text="")
    return events
