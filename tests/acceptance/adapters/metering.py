"""Areas aggregation.*: events through ingestion and `measure()`, as invoices measure them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
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
from tests.acceptance.adapters.registry import Figures, NoAdapterError, adapts

# A leap year: a case may name 29 February.
YEAR = 2024
EVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
BOUNDS = TimeBounds(max_age=timedelta(days=40_000), max_ahead=timedelta(days=40_000))
TYPES = {
    "avg": "average",
    "mean": "average",
    "minimum": "min",
    "maximum": "max",
    "unique_count": "unique",
    "count_unique": "unique",
    "count_distinct": "unique",
    "last": "latest",
}
# How systems name the rule that rounds a quantity.
ROUNDINGS = {"round": "half_up", "ceiling": "ceil", "up": "round_up", "down": "round_down", "none": None}
# How an event says that a unique value came or went, and what its key is, in the words of several systems.
OPERATIONS = ("operation_type", "operation", "op")
KEYS = ("transaction_id", "idempotency_key", "key")
# The properties of a case's event that are not its dimensions.
NOT_DIMENSIONS = {"t", "value", "delta", *KEYS}
COUNTED_ONCE = {ResultStatus.ACCEPTED, ResultStatus.DUPLICATE, ResultStatus.CONFLICT}
# What an event that carries no usable value is answered with; it then counts as nothing, as the cases say.
WITHOUT_VALUE = {"value_required", "invalid_value", "negative_value", "dimension_required"}
_serial = itertools.count()


@adapts("aggregation.rounding", required="function quantity", optional="precision")
def rounding(*, function: str | None, quantity: Any, precision: int | None = 0) -> Figures:
    """A meter without a rule does not round; a rule without a precision rounds to whole units."""
    named = ROUNDINGS.get(function or "none", function)
    if named is None:
        return {"quantity": rounded(Meter(), number(quantity))}
    return {"quantity": round_quantity(number(quantity), named, int(precision or 0))}


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
    optional="frm to flt recurring",
    database=True,
)
def total(
    *,
    aggregation: str,
    events: Sequence[Mapping[str, Any]],
    frm: str | None = None,
    to: str | None = None,
    flt: Mapping[str, Any] | None = None,
    recurring: bool = False,
) -> Figures:
    """Without a window everything is measured. A sum or unique values that recur are carried over: they count
    from their first event on.
    """
    if recurring and kind_of(aggregation) not in ("sum", "unique"):
        raise NoAdapterError(f"{aggregation} is not carried over from period to period.")
    start = instant(frm) if frm and not recurring else EVER[0]
    end = instant(to) if to else EVER[1]
    if kind_of(aggregation) == "unique" and any(stated(event, OPERATIONS) for event in events):
        return {"value": still_there(events, flt, start=start, end=end)}
    meter, customer = told(aggregation, events, flt)
    return {"value": measure(meter, [Span(0, customer.pk, start, end)])[0].quantity}


def still_there(
    events: Sequence[Mapping[str, Any]], flt: Mapping[str, Any] | None, *, start: datetime, end: datetime
) -> Decimal:
    """Count the values that came and did not go: the latest state of each, 1 or 0, added up over their groups."""
    states = {"add": "1", "remove": "0"}
    told_of = [
        _as_dimension(event) | {"value": states[stated(event, OPERATIONS) or "add"]}
        for event in events
        if event.get("value") is not None
    ]
    meter, customer = a_story(type="latest", filters=filters(flt), dimensions=["counted"])
    send(meter, customer, in_order(told_of))
    (found,) = measure(meter, [Span(0, customer.pk, start, end)], group_by=["counted"]).values()
    return sum((group.quantity for group in found.groups), Decimal(0))


def kind_of(aggregation: str) -> str:
    """Give our type of meter for the name of an aggregation: "sum_agg", "SUM" and "sum" are one."""
    name = aggregation.lower().removesuffix("_agg")
    return TYPES.get(name, name)


def filters(flt: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Give the filters of a meter: each dimension with the list of values it lets through."""
    listed = {name: each if isinstance(each, list) else [each] for name, each in (flt or {}).items()}
    return {name: [str(each) for each in values] for name, values in listed.items()}


def told(
    aggregation: str, events: Sequence[Mapping[str, Any]], flt: Mapping[str, Any] | None
) -> tuple[Meter, Customer]:
    """Give a meter that has measured the events. The filter is the meter's own.

    A unique meter counts the values of a dimension, so the case's `value` travels in one. A count counts the
    events of a case, so their values are left out: our own events may say how many they stand for. A text
    where a number belongs (`foo_bar`) is refused when it is sent and a sum without a value too: such an event
    counts as nothing. A latest value below zero counts as nothing as well, so its meter refuses those; events
    that a case tells at one instant happened in the order it tells them.
    """
    kind = kind_of(aggregation)
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
    elif kind == "latest":
        events = in_order(events)
    send(meter, customer, events)
    return meter, customer


def in_order(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put events of one instant a microsecond apart: which of them came last is not left to their keys."""
    met: Counter[datetime] = Counter()
    apart = []
    for event in events:
        at = instant(event["t"])
        apart.append({**event, "t": (at + timedelta(microseconds=met[at])).isoformat()})
        met[at] += 1
    return apart


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
    without. A key that comes again is counted once, as it came first.
    """
    bodies = []
    for place, event in enumerate(events):
        body = {
            "key": f"{meter.code}-{stated(event, KEYS) or place}",
            "meter": meter.code,
            "customer": customer.code,
            "occurred_at": instant(event["t"]).isoformat(),
            "dimensions": {
                name: str(text)
                for name, text in event.items()
                if name not in NOT_DIMENSIONS and text is not None
            },
        }
        value = event.get("value", event.get("delta"))
        if value is not None:
            body["value"] = str(value)
        bodies.append(decode_event(json.dumps(body).encode()))
    batch = record_events(bodies, source="case", now=datetime(YEAR, 6, 1, tzinfo=UTC), bounds=BOUNDS)
    for result in batch.results:
        assert result.status in COUNTED_ONCE or result.code in WITHOUT_VALUE, result


def stated(event: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Give the first of these properties that an event has; None: it has none of them."""
    return next((event[name] for name in names if event.get(name) is not None), None)


def _as_dimension(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in event.items() if name != "value"} | {
        "counted": event.get("value", "")
    }
