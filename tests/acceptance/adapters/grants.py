"""Areas credit.*: in which order credits burn, and what they cover of an invoice."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.rating import currency_digits, round_amount
from billing.rating.credits import Grant, burn
from metering.periods import Anchor, Interval, start_of_day
from tests.acceptance.adapters.pricing import LIMITS, PRICES, number
from tests.acceptance.adapters.rating import limited
from tests.acceptance.adapters.registry import Figures, adapts, renamed

NOW = datetime(2026, 10, 15, tzinfo=UTC)
FIELDS = {"amount", "priority", "effective", "expires", "expired", "granted", "voided", "deleted"}
NAMES = {
    "expires_at": "expires",
    "effective_at": "effective",
    "granted_at": "granted",
    "created_at": "granted",
    "voided_at": "voided",
    "deleted_at": "deleted",
}


def moment(text: str) -> datetime:
    """Read "+10 days" or "100 years" as that long after now, "-1 day" or "1 day ago" as before it, or a date.

    Months and years are those of the calendar.
    """
    if text == "now":
        return NOW
    match = re.fullmatch(r"([+-]?\d+) (minute|hour|day|week|month|quarter|year)s?( ago)?", text)
    if match:
        count = int(match[1]) * (-1 if match[3] else 1)
        if match[2] in ("minute", "hour"):
            return NOW + timedelta(**{f"{match[2]}s": count})
        return start_of_day(Anchor.on(NOW.date()).boundary(Interval(match[2]), count), "UTC")
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def grant(
    *,
    amount: Any,
    name: str = "grant",
    priority: Any = 0,
    effective: str | None = None,
    expires: str | None = None,
    expired: bool = False,
    granted: str | None = None,
    voided: bool | str = False,
    deleted: bool | str = False,
) -> Grant:
    """A grant is as old as it says, else as its effective date; without both it is a day old. What was voided or
    deleted is worth nothing, from the moment on that a case may name.
    """
    ends = [moment(end) for end in (expires, voided, deleted) if isinstance(end, str) and end != "never"]
    if expired:
        ends.append(NOW)
    return Grant(
        name,
        Decimal(0) if voided is True or deleted is True else number(amount),
        granted_at=moment(granted or effective or "-1 day"),
        priority=int(priority or 0),
        effective_at=None if effective is None else moment(effective),
        expires_at=min(ends, default=None),
    )


@adapts("credit.burn", "credit.order", "credit.expiry", required="grants usage", optional="at")
def burn_of_grants(*, grants: list[dict[str, Any]], usage: Any, at: str = "now") -> Figures:
    """Usage is drawn at once, or one amount after the other where it is a list; an amount of it may name its own
    moment. The balances are those of the last moment.
    """
    held = [grant(**_named(item, place)) for place, item in enumerate(grants)]
    left = covered = Decimal(0)
    now = moment(at)
    for draw in usage if isinstance(usage, list) else [usage]:
        amount = draw
        if isinstance(draw, dict):
            amount, now = draw["amount"], moment(draw["at"])
        result = burn(held, number(amount), at=now)
        taken = dict(result.taken)
        held = [replace(item, balance=item.balance - taken.get(item.id, Decimal(0))) for item in held]
        left, covered = left + result.left, covered + result.covered
    usable = {item.id: item.balance if item.is_usable(now) else Decimal(0) for item in held}
    return {
        "balances": usable,
        "balance": sum(usable.values()),
        "overage": left,
        "credits_used": covered,
    }


def _named(item: dict[str, Any], place: int) -> dict[str, Any]:
    """Give the fields of a grant with our names; one without an id has its place for it."""
    stated = {"id": str(place)} | {name: value for name, value in item.items() if value is not None}
    return renamed(stated, {name: NAMES.get(name, name) for name in FIELDS | NAMES.keys()} | {"id": "name"})


@adapts("credit.burn", "credit.order", "credit.expiry", required="grant usage", optional="at")
def burn_of_one_grant(*, grant: dict[str, Any], usage: Any, at: str = "now") -> Figures:
    return burn_of_grants(grants=[{"id": "grant"} | grant], usage=usage, at=at)


@adapts("credit.invoice", required="quantity credits", optional=f"{PRICES} {LIMITS} currency")
def credits_on_an_invoice(*, credits: list[Any], currency: str = "usd", **given: Any) -> Figures:
    gross = round_amount(limited(**given)["amount"], currency_digits(currency.upper()))
    return credits_on_an_amount(credits=credits, gross=gross)


@adapts("credit.invoice", required="lines credits", optional="currency")
def credits_on_lines(*, lines: list[Any], credits: list[Any], currency: str = "usd") -> Figures:
    digits = currency_digits(currency.upper())
    printed = sum((round_amount(number(line), digits) for line in lines), Decimal(0))
    return credits_on_an_amount(credits=credits, gross=printed)


@adapts("credit.invoice", required="gross credits")
def credits_on_an_amount(*, credits: list[Any], gross: Any) -> Figures:
    held = [item if isinstance(item, dict) else {"amount": item} for item in credits]
    result = burn_of_grants(grants=held, usage=gross)
    return {
        "gross": number(gross),
        "credits_used": result["credits_used"],
        "due": result["overage"],
        "balances": result["balances"],
    }
