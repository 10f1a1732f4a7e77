"""Areas credit.*: in which order credits burn, and what they cover of an invoice."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.rating import currency_digits, round_amount
from billing.rating.credits import Grant, balance_at, burn
from tests.acceptance.adapters.pricing import LIMITS, PRICES, number
from tests.acceptance.adapters.rating import limited
from tests.acceptance.adapters.registry import Figures, adapts

NOW = datetime(2026, 10, 15, tzinfo=UTC)
HOURS = {"hour": 1, "day": 24, "week": 7 * 24, "month": 30 * 24, "year": 365 * 24}


def moment(text: str) -> datetime:
    """Read "+10 days" or "100 years" as that long after now, "-1 day" or "1 day ago" as before it, or a date."""
    if text == "now":
        return NOW
    match = re.fullmatch(r"([+-]?\d+) (hour|day|week|month|year)s?( ago)?", text)
    if match:
        return NOW + timedelta(hours=int(match[1]) * HOURS[match[2]]) * (-1 if match[3] else 1)
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
    voided: bool = False,
    deleted: bool = False,
) -> Grant:
    """A grant is as old as it says, else as its effective date; without both it is a day old. What was voided or
    deleted is worth nothing.
    """
    return Grant(
        name,
        Decimal(0) if voided or deleted else number(amount),
        granted_at=moment(granted or effective or "-1 day"),
        priority=int(priority or 0),
        effective_at=None if effective is None else moment(effective),
        expires_at=NOW if expired else None if expires is None else moment(expires),
    )


@adapts("credit.burn", "credit.order", "credit.expiry", required="grants usage")
def burn_of_grants(*, grants: list[dict[str, Any]], usage: Any) -> Figures:
    """Usage is drawn at once, or one amount after the other where it is a list."""
    held = [grant(name=item["id"], **{key: item[key] for key in item if key != "id"}) for item in grants]
    left = covered = Decimal(0)
    for draw in usage if isinstance(usage, list) else [usage]:
        result = burn(held, number(draw), at=NOW)
        taken = dict(result.taken)
        held = [replace(item, balance=item.balance - taken.get(item.id, Decimal(0))) for item in held]
        left, covered = left + result.left, covered + result.covered
    return {
        "balances": {item.id: balance_at([item], NOW) for item in held},
        "balance": balance_at(held, NOW),
        "overage": left,
        "credits_used": covered,
    }


@adapts("credit.burn", "credit.order", "credit.expiry", required="grant usage")
def burn_of_one_grant(*, grant: dict[str, Any], usage: Any) -> Figures:
    return burn_of_grants(grants=[{"id": "grant"} | grant], usage=usage)


@adapts("credit.invoice", required="quantity credits", optional=f"{PRICES} {LIMITS} currency")
def credits_on_an_invoice(*, credits: list[Any], currency: str = "usd", **given: Any) -> Figures:
    gross = round_amount(limited(**given)["amount"], currency_digits(currency.upper()))
    return credits_on_an_amount(credits=credits, gross=gross)


@adapts("credit.invoice", required="gross credits")
def credits_on_an_amount(*, credits: list[Any], gross: Any) -> Figures:
    stated = [item if isinstance(item, dict) else {"amount": item} for item in credits]
    held = [{"id": str(place)} | item for place, item in enumerate(stated)]
    result = burn_of_grants(grants=held, usage=gross)
    return {
        "gross": number(gross),
        "credits_used": result["credits_used"],
        "due": result["overage"],
        "balances": result["balances"],
    }
