"""Usage over a period as a bar chart, drawn by the server: positions in percent, so it needs no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise

from billing.formatting import day, period, quantity, quantity_of, short_day
from metering.measuring import measure_series
from metering.models import Meter
from metering.periods import Interval, Period, local_day

MOST_DAYS = 62  # bars of a longer period are weeks, then months
MOST_WEEKS_OF_DAYS = 190
BAR_SHARE = Decimal("0.72")  # the rest of its place is the gap
LABELS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One day, week or month. Positions are percentages of the plot, written for SVG.

    What is used ahead of now are outcomes of the last days, which count on the day on which they settle.
    """

    label: str
    value: str
    place: str
    place_width: str
    x: str
    y: str
    width: str
    height: str
    is_used: bool
    is_now: bool
    is_ahead: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A meter's usage over a period. `summary` says in a sentence what the bars show."""

    meter: Meter
    each: str
    total: str
    top: str
    middle: str
    bars: Sequence[Bar]
    marks: Sequence[tuple[str, str]]
    summary: str

    @property
    def is_used(self) -> bool:
        return any(bar.is_used for bar in self.bars)

    @property
    def is_used_ahead(self) -> bool:
        return any(bar.is_used and bar.is_ahead for bar in self.bars)


def usage_chart(meter: Meter, *, customer_id: int, during: Period, now: datetime) -> Chart:
    """Measure and draw one customer's usage of a meter, by day where the period is short enough."""
    interval = _interval(during)
    series = measure_series(
        meter,
        start=during.start,
        end=during.end,
        interval=interval,
        zone=during.zone,
        customer_id=customer_id,
    )[0]
    today = local_day(now, during.zone)
    starts = [local_day(point.start, during.zone) for point in series.points]
    values = [point.value for point in series.points]
    spans = list(pairwise([*starts, during.end_on]))
    highest = max(values, default=Decimal(0))
    top = _round_top(highest)
    place_width = Decimal(100) / len(spans)
    bars = [
        _bar(index, span, value, top=top, place_width=place_width, unit=meter.unit, today=today)
        for index, (span, value) in enumerate(zip(spans, values, strict=True))
    ]
    return Chart(
        meter=meter,
        each=interval.value,
        total=quantity_of(series.total, meter.unit),
        top=quantity(top),
        middle=quantity(top / 2),
        bars=bars,
        marks=_marks(bars, starts),
        summary=_summary(
            bars, values, total=quantity_of(series.total, meter.unit), unit=meter.unit, start=during.start_on
        ),
    )


def _interval(during: Period) -> Interval:
    if during.days <= MOST_DAYS:
        return Interval.DAY
    return Interval.WEEK if during.days <= MOST_WEEKS_OF_DAYS else Interval.MONTH


def _bar(
    index: int,
    span: tuple[date, date],
    value: Decimal,
    *,
    top: Decimal,
    place_width: Decimal,
    unit: str,
    today: date,
) -> Bar:
    width = place_width * BAR_SHARE
    height = max(value, Decimal(0)) / top * 100
    return Bar(
        label=period(*span),
        value=quantity_of(value, unit),
        place=_percent(index * place_width),
        place_width=_percent(place_width),
        x=_percent(index * place_width + (place_width - width) / 2),
        y=_percent(100 - height),
        width=_percent(width),
        height=_percent(height),
        is_used=value != 0,
        is_now=span[0] <= today < span[1],
        is_ahead=today < span[0],
    )


def _round_top(highest: Decimal) -> Decimal:
    """Give the top of the scale: a round number not below the highest bar, and even where it can be."""
    if highest <= 0:
        return Decimal(1)
    power = Decimal(1).scaleb(highest.adjusted())
    for step in (1, 2, 4, 6, 8, 10):
        if highest <= step * power:
            return step * power
    return (highest / power).to_integral_value(ROUND_CEILING) * power


def _marks(bars: Sequence[Bar], starts: Sequence[date]) -> list[tuple[str, str]]:
    """Give the places and words below the axis, few enough for a phone."""
    every = max(1, -(-len(bars) // LABELS))
    return [(bars[index].x, short_day(starts[index])) for index in range(0, len(bars), every)]


def _summary(bars: Sequence[Bar], values: Sequence[Decimal], *, total: str, unit: str, start: date) -> str:
    used = [(value, bar) for value, bar in zip(values, bars, strict=True) if value]
    if not used:
        return f"Nothing used since {day(start)}."
    most, when = max(used, key=lambda each: each[0])
    return f"{total} since {day(start)}; most on {when.label}: {quantity_of(most, unit)}."


def _percent(value: Decimal) -> str:
    return f"{value:.3f}%"
