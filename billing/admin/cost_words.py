"""Times to look at costs for, and amounts of cost as people read them: rounded here, and nowhere before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from billing.cost_times import midnight
from billing.costing import exact_decimal
from billing.formatting import money, quantity_of
from billing.formatting import quantity as quantity_words
from billing.months import Month
from billing.rating import currency_digits
from metering.periods import Anchor, Interval

MONTHS_OFFERED = 13
TO_DATE = {
    "quarter": ("This quarter to date", Interval.QUARTER),
    "year": ("This year to date", Interval.YEAR),
}


@dataclass(frozen=True, slots=True)
class Time:
    """Days `[first, last)` in UTC to look at, and the days before them to compare with."""

    value: str
    name: str
    first: date
    last: date
    before_first: date
    before_last: date

    @property
    def start(self) -> datetime:
        return midnight(self.first)

    @property
    def end(self) -> datetime:
        return midnight(self.last)

    @property
    def before(self) -> tuple[datetime, datetime]:
        return midnight(self.before_first), midnight(self.before_last)


def times_offered(now: datetime) -> list[tuple[str, str]]:
    """Give the choices: months, the running one first, and the quarter and year so far."""
    month = Month.of(now.astimezone(UTC).date())
    months = []
    for _ in range(MONTHS_OFFERED):
        months.append((str(month), month.name))
        month = month.previous
    months[0] = (months[0][0], f"{months[0][1]} to date")
    return [months[0], *((value, name) for value, (name, _) in TO_DATE.items()), *months[1:]]


def read_time(text: str, now: datetime) -> Time:
    """Read a choice; what is none of them is the running month. A time that still runs ends with today."""
    today = now.astimezone(UTC).date()
    names = dict(times_offered(now))
    value = text if text in names else str(Month.of(today))
    interval = TO_DATE[value][1] if value in TO_DATE else Interval.MONTH
    first = today if value in TO_DATE else Month.parse(value).first
    anchor = Anchor(2001, 1, 1)  # where months, quarters and years begin
    index = anchor.index_of(interval, first)
    begin, end = anchor.boundary(interval, index), anchor.boundary(interval, index + 1)
    before = anchor.boundary(interval, index - 1)
    if end <= today:
        return Time(value, names[value], begin, end, before, begin)
    last = today + timedelta(days=1)
    return Time(value, names[value], begin, last, before, min(before + (last - begin), begin))


def cost_words(amount: Fraction, currency: str) -> str:
    """Write a cost: to the minor unit, and to four more decimals where it is below one: $47.40, $0.0123."""
    digits = currency_digits(currency) + (4 if 0 < abs(amount) < 1 else 0)
    return money(
        exact_decimal(amount).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP).normalize(), currency
    )


def quantity_in_words(value: Fraction | None, unit: str = "") -> str:
    """Write a quantity to six decimals at most."""
    if value is None:
        return ""
    rounded = Decimal(round(value * 10**6)).scaleb(-6)
    return quantity_of(rounded, unit)


def percent_words(value: Fraction | None, digits: int = 2) -> str:
    """Write a percentage, half away from zero; a dash where there is none."""
    if value is None:
        return "–"
    units = int(abs(value) * 10**digits + Fraction(1, 2))
    return f"{quantity_words(Decimal(units if value >= 0 else -units).scaleb(-digits))} %"


def change_words(now: Fraction, before: Fraction) -> str:
    """Say how much an amount changed: +12.5 %; new where there was nothing before."""
    if not before:
        return "new" if now else "–"
    change = percent_words((now - before) * 100 / before, digits=1)
    return f"+{change}" if now > before else change
