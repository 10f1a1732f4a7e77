"""Filters that write money, quantities, days and periods as billing.formatting does."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from billing import formatting, wording
from billing.lifecycle import State, state_of, told_state
from billing.models import Invoice
from metering.periods import local_day

register = template.Library()


@register.filter
def money(amount: Decimal, currency: str) -> str:
    return formatting.money(amount, currency)


@register.filter
def less(amount: Decimal) -> Decimal:
    """Give the opposite of an amount, for what is taken off."""
    return -amount


@register.filter
def state_at(invoice: Invoice, now: datetime) -> State:
    return state_of(invoice, now=now)


@register.filter
def state_for_customer(invoice: Invoice, now: datetime) -> str:
    return told_state(invoice, now=now)


@register.filter
def quantity(value: Decimal) -> str:
    return formatting.quantity(value)


@register.filter
def quantity_of(value: Decimal, unit: str) -> str:
    return formatting.quantity_of(value, unit)


@register.filter
def day(value: date) -> str:
    return formatting.day(value)


@register.filter
def day_in(instant: datetime, zone: str) -> str:
    """Write the day on which an instant falls in a zone."""
    return formatting.day(local_day(instant, zone))


@register.filter
def month(value: date) -> str:
    return formatting.month(value)


@register.filter
def period_until(start_on: date, end_on: date) -> str:
    """Write `{{ start_on|period_until:end_on }}`; `end_on` is the first day that is not in it any more."""
    return formatting.period(start_on, end_on)


@register.filter
def unbroken_days(period: str) -> SafeString:
    """Write a period so that a line ends between its days only, also in scripts without spaces."""
    return format_html_join(
        " \N{EN DASH} ", '<span class="day">{}</span>', ((day,) for day in period.split(" \N{EN DASH} "))
    )


@register.filter
def moment(instant: datetime, zone: str) -> str:
    return formatting.moment(instant, zone)


@register.filter
def minute(instant: datetime, zone: str) -> str:
    return formatting.minute(instant, zone)


@register.filter
def told_in(sentence: str, zone: str) -> str:
    """Write the instants in UTC of a sentence in a zone."""
    return formatting.told_in(sentence, zone)


@register.filter
def direction(text: str) -> str:
    return formatting.direction(text)


@register.simple_tag
def word(key: str, **values: str) -> str:
    """Write a fixed word of documents in the language of the one being written: `{% word "by_day" day=due|day %}`."""
    return wording.word(key, **values)


@register.simple_tag
def page_numbers() -> SafeString:
    """Write the content of the page number for a style sheet: "Page " counter(page) " of " counter(pages)."""
    parts = wording.PLACEHOLDER.split(wording.current_words().texts["page"])
    written = [
        f"counter({part})" if n % 2 else f'"{_for_css(part)}"'
        for n, part in enumerate(parts)
        if n % 2 or part
    ]
    return mark_safe(" ".join(written))  # noqa: S308 - nothing but escapes and counters


def _for_css(text: str) -> str:
    return "".join(f"\\{ord(letter):06x}" for letter in text)
