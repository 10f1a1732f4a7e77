"""How money, quantities, days and periods are written for people, on every screen and document alike."""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, localcontext
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, get_currency_symbol

from billing.rating import currency_digits
from billing.rating.working import plain

LOCALE = Locale.parse("en_US")
_CURRENT: ContextVar[Locale] = ContextVar("locale", default=LOCALE)
_DAYS: ContextVar[Locale] = ContextVar("days", default=LOCALE)
DAY = "d MMMM y"
LEFT_TO_RIGHT, END = "\N{LEFT-TO-RIGHT ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
MARKS = str.maketrans("", "", "\N{RIGHT-TO-LEFT MARK}\N{LEFT-TO-RIGHT MARK}\N{ARABIC LETTER MARK}")
NO_BREAK = "\N{NO-BREAK SPACE}"
MOST_DECIMALS = 100  # more than any amount or unit price has
WIDE = Context(prec=1000)  # babel would cut what is longer than the usual 28 digits


INSTANT = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2} UTC")


def told_in(sentence: str, zone: str) -> str:
    """Write the instants of a sentence, such as 2026-10-03 06:41 UTC, as days and times of a zone."""

    def local(found: re.Match[str]) -> str:
        at = datetime.strptime(found[0], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
        return minute(at, zone)

    return INSTANT.sub(local, sentence)


@contextmanager
def in_locale(name: str, *, english_days: bool = False) -> Iterator[None]:
    """Write amounts, numbers and days as a locale does until the end of the block, as on a customer's documents.

    `english_days`: names of months are English, as the words around them.
    """
    locale = Locale.parse(name or "en_US")
    token, days = _CURRENT.set(locale), _DAYS.set(LOCALE if english_days else locale)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        _DAYS.reset(days)


def money(amount: Decimal, currency: str) -> str:
    """Write an amount with at least the digits of its currency, and all it has: $240.00, ¥1,200, $0.00001.

    Never rounds, so a unit price is shown as exactly as it is charged.
    """
    locale = _CURRENT.get()
    digits = currency_digits(currency)
    pattern = copy.copy(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, MOST_DECIMALS)
    leads = "¤" in pattern.prefix[0]
    if leads and get_currency_symbol(currency, locale)[-1].isalpha():
        pattern.prefix = (f"¤{NO_BREAK}", f"-¤{NO_BREAK}")
    with localcontext(WIDE):
        shown = amount if amount else abs(amount)
        written = str(pattern.apply(shown, locale, currency=currency, currency_digits=False))
    if locale.text_direction == "ltr":
        return written
    # Amid a text from right to left, the parts of an amount would change places.
    return f"{LEFT_TO_RIGHT}{written.translate(MARKS)}{END}"


def amount_text(amount: Decimal, currency: str) -> str:
    """Write a rounded amount for programs, with the digits of its currency: "240.00", in yen "240"."""
    return f"{amount:.{currency_digits(currency)}f}"


def number(value: Decimal) -> str:
    """Write a number with thousands separated and no needless zeros: 1,234.5, in German 1.234,5."""
    shown = value if value else abs(value)
    locale = _CURRENT.get()
    if locale == LOCALE:
        return plain(shown)
    with localcontext(WIDE):
        pattern = copy.copy(locale.decimal_formats[None])
        pattern.frac_prec = (0, MOST_DECIMALS)
        return str(format_decimal(shown, format=pattern, locale=locale, decimal_quantization=False))


quantity = number


def quantity_of(value: Decimal, unit: str) -> str:
    """Write a quantity and what it counts: 1 ticket, 120 tickets, 1.5 GB; without a unit the number alone."""
    if not unit:
        return number(value)
    return f"{number(value)} {unit if abs(value) == 1 else plural(unit)}"


def plural(unit: str) -> str:
    """Give the English plural of a unit; abbreviations such as GB or kWh and plurals stay as they are."""
    last_word = unit.rpartition(" ")[2]
    is_abbreviation = len(last_word) <= 3 and any(letter.isupper() for letter in last_word)
    if is_abbreviation or not last_word.isascii() or not last_word[-1:].islower() or last_word.endswith("s"):
        return unit
    if last_word.endswith(("x", "z", "ch", "sh")):
        return f"{unit}es"
    if last_word.endswith("y") and last_word[-2:-1] not in "aeiou":
        return f"{unit[:-1]}ies"
    return f"{unit}s"


def day(value: date) -> str:
    """Write a day: 31 October 2026."""
    locale = _DAYS.get()
    return format_date(value, DAY if locale == LOCALE else "long", locale=locale)


def short_day(value: date) -> str:
    """Write a day where its year is known: 31 Oct."""
    return format_date(value, "d MMM", locale=LOCALE)


def moment(instant: datetime, zone: str) -> str:
    """Write an instant as the clock in a zone shows it: 3 Oct 2026, 12:00:00."""
    return format_datetime(
        instant.astimezone(ZoneInfo(zone)), "d MMM y, HH:mm:ss", tzinfo=ZoneInfo(zone), locale=LOCALE
    )


def minute(instant: datetime, zone: str) -> str:
    """Write an instant to the minute: 3 October 2026, 12:00."""
    return format_datetime(
        instant.astimezone(ZoneInfo(zone)), f"{DAY}, HH:mm", tzinfo=ZoneInfo(zone), locale=LOCALE
    )


def period(start_on: date, end_on: date) -> str:
    """Write the days `[start_on, end_on)` with the last day named, as people do: 1-31 October 2026."""
    last = end_on - timedelta(days=1)
    if start_on == last:
        return day(last)
    if _DAYS.get() != LOCALE:
        return f"{day(start_on)} \N{EN DASH} {day(last)}"
    if (start_on.year, start_on.month) == (last.year, last.month):
        return f"{start_on.day}\N{EN DASH}{day(last)}"
    first = day(start_on) if start_on.year != last.year else format_date(start_on, "d MMMM", locale=LOCALE)
    return f"{first} \N{EN DASH} {day(last)}"


def direction(text: str) -> str:
    """Give `rtl` for a text that begins in a script written from right to left, else `ltr`.

    As Unicode says, parts that were set apart (isolates) do not count.
    """
    depth = 0
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in ("LRI", "RLI", "FSI"):
            depth += 1
        elif kind == "PDI":
            depth -= 1
        elif depth <= 0 and kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"


def month(value: date) -> str:
    """Write a month: October 2026."""
    return format_date(value, "MMMM y", locale=LOCALE)
