"""Areas aggregation.*: events through ingestion and `measure()`, as invoices measure them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from customers.models import Customer
from metering import catalog
from metering.event_results import ResultStatus
from metering.incoming import TimeBounds, decode_event
from metering.ingesting import record_events
from metering.measuring import measure, measure_series
from metering.models import Meter
from metering.periods import Interval
from metering.quantities import rounded
from metering.rounding import round_quantity
from metering.spans import Span
from tests.acceptance.adapters.pricing import number
from tests.acceptance.adapters.registry import Figures, adapts

YEAR = 2026
BOUNDS = TimeBounds(max_age=timedelta(days=40_000), max_ahead=timedelta(days=40_000))
TYPES = {"avg": "average", "unique_count": "unique", "count_unique": "unique", "last": "latest"}
# The properties of a case's event that are not its dimensions.
NOT_DIMENSIONS = {"t", "value", "delta"}
# What an event that carries no usable value is answered with; it then counts as nothing, as the cases say.
WITHOUT_VALUE = {"value_required", "invalid_value", "negative_value", "dimension_required"}
_serial = itertools.count()


@adapts("aggregation.rounding", required="function quantity", optional="precision")
def rounding(*, function: str | None, quantity: Any, precision: int | None = 0) -> Figures:
    """A meter without a rule does not round; a rule without a precision rounds to whole units."""
    if function is None:
        return {"quantity": rounded(Meter(), number(quantity))}
    return {"quantity": round_quantity(number(quantity), function, precision or 0)}


@adapts(
    "aggregation.sum",
    "aggregation.filter",
    "aggregation.max",
    "aggregation.min",
    "aggregation.avg",
    "aggregation.latest",
    "aggregation.count",
    "aggregation.unique",
    required="aggregation events",
    optional="frm to flt",
    database=True,
)
def total(
    *,
    aggregation: str,
    events: Sequence[Mapping[str, Any]],
    frm: str | None = None,
    to: str | None = None,
    flt: Mapping[str, Any] | None = None,
) -> Figures:
    """Without a window the whole year is measured."""
    meter, customer = told(aggregation, events, flt)
    start = instant(frm) if frm else datetime(YEAR, 1, 1, tzinfo=UTC)
    end = instant(to) if to else datetime(YEAR + 1, 1, 1, tzinfo=UTC)
    return {"value": measure(meter, [Span(0, customer.pk, start, end)])[0].quantity}


def filters(flt: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """Give the filters of a meter: each dimension with the list of values it lets through."""
    return {name: each if isinstance(each, list) else [each] for name, each in (flt or {}).items()}


def told(
    aggregation: str, events: Sequence[Mapping[str, Any]], flt: Mapping[str, Any] | None
) -> tuple[Meter, Customer]:
    """Give a meter that has measured the events. The filter is the meter's own.

    A unique meter counts the values of a dimension, so the case's `value` travels in one. A count counts the
    events of a case, so their values are left out: our own events may say how many they stand for. A text
    where a number belongs (`foo_bar`) is refused when it is sent and a sum without a value too: such an event
    counts as nothing. A latest value below zero counts as nothing as well, so its meter refuses those.
    """
    kind = TYPES.get(aggregation, aggregation)
    unique = kind == "unique"
    meter, customer = a_story(
        type=kind,
        filters=filters(flt),
        value_dimension="counted" if unique else "",
        **({"allow_negative": False} if kind == "latest" else {}),
    )
    if unique:
        events = [_as_dimension(each) for each in events]
    elif kind == "count":
        events = [{name: each for name, each in event.items() if name != "value"} for event in events]
    send(meter, customer, events)
    return meter, customer


@adapts(
    "aggregation.weighted_sum", required="period events", optional="initial aggregation flt", database=True
)
def weighted_sum(
    *,
    period: Sequence[str],
    events: Sequence[Mapping[str, Any]],
    initial: Any = "0",
    aggregation: str = "weighted_sum",
    flt: Mapping[str, Any] | None = None,
) -> Figures:
    """The level carried in is an event before the period, one that the filter lets through."""
    start, end = (instant(text) for text in period)
    passing = {name: values[0] for name, values in filters(flt).items()}
    before = {"t": (start - timedelta(days=9)).isoformat(), "delta": initial, **passing}
    meter, customer = told(aggregation, [before, *events], flt)
    return {"value": measure(meter, [Span(0, customer.pk, start, end)])[0].quantity}


@adapts("aggregation.windowed", required="aggregation events window days", optional="flt", database=True)
def windowed(
    *,
    aggregation: str,
    events: Sequence[Mapping[str, Any]],
    window: str,
    days: Sequence[str],
    flt: Mapping[str, Any] | None = None,
) -> Figures:
    """A point per window and a total over all events: what a chart shows."""
    meter, customer = told(aggregation, events, flt)
    (series,) = measure_series(
        meter,
        start=instant(days[0]),
        end=instant(days[-1]) + timedelta(days=1),
        interval=Interval(window),
        zone="UTC",
        customer_id=customer.pk,
    )
    return {"days": [point.value for point in series.points], "total": series.total}


def instant(text: str) -> datetime:
    """Read `MM-DD` or `dN` (a day of one month), with or without a time of day, or a whole time."""
    day, _, clock = text.partition("T")
    if day.startswith("d"):
        day = f"{YEAR}-03-{int(day[1:]):02d}"
    elif len(day) == len("MM-DD"):
        day = f"{YEAR}-{day}"
    read = datetime.fromisoformat(f"{day}T{clock or '00:00'}")
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def a_story(**definition: Any) -> tuple[Meter, Customer]:
    catalog.forget()
    code = f"case_{next(_serial)}"
    meter = Meter(code=code, label=code, **definition)
    meter.full_clean()
    meter.save()
    return meter, Customer.objects.create(code=code, name=code)


def send(meter: Meter, customer: Customer, events: Sequence[Mapping[str, Any]]) -> None:
    """Send the events as JSON, as an integration does. A refusal must be for a value the type cannot do
    without.
    """
    bodies = []
    for place, event in enumerate(events):
        body = {
            "key": f"{meter.code}-{place}",
            "meter": meter.code,
            "customer": customer.code,
            "occurred_at": instant(event["t"]).isoformat(),
            "dimensions": {name: str(text) for name, text in event.items() if name not in NOT_DIMENSIONS},
        }
        value = event.get("value", event.get("delta"))
        if value is not None:
            body["value"] = str(value)
        bodies.append(decode_event(json.dumps(body).encode()))
    batch = record_events(bodies, source="case", now=datetime(YEAR, 6, 1, tzinfo=UTC), bounds=BOUNDS)
    for result in batch.results:
        assert result.status is ResultStatus.ACCEPTED or result.code in WITHOUT_VALUE, result


def _as_dimension(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in event.items() if name != "value"} | {
        "counted": event.get("value", "")
    }
