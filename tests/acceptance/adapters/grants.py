"""Areas credit.*: in which order credits burn, and what they cover of an invoice."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.rating import currency_digits, round_amount
from billing.rating.credits import Grant, balance_at, burn
from tests.acceptance.adapters.rating import limited, number
from tests.acceptance.adapters.registry import Figures, adapts

NOW = datetime(2026, 10, 15, tzinfo=UTC)
HOURS = {"hour": 1, "day": 24, "week": 7 * 24, "month": 30 * 24, "year": 365 * 24}


def moment(text: str) -> datetime:
    """Read "+10 days" or "100 years" as that long after now, "-1 day" as before it."""
    match = re.fullmatch(r"([+-]?\d+) (hour|day|week|month|year)s?", text)
    assert match, f"{text!r} is not a span this adapter reads"
    return NOW + timedelta(hours=int(match[1]) * HOURS[match[2]])


def grant(
    *,
    amount: Any,
    name: str = "grant",
    priority: Any = 0,
    effective: str | None = None,
    expires: str | None = None,
    expired: bool = False,
    granted: str | None = None,
) -> Grant:
    """A grant is as old as it says, else as its effective date; without both it is a day old."""
    return Grant(
        name,
        number(amount),
        granted_at=moment(granted or effective or "-1 day"),
        priority=int(priority),
        effective_at=None if effective is None else moment(effective),
        expires_at=NOW if expired else None if expires is None else moment(expires),
    )


@adapts("credit.burn", "credit.order", "credit.expiry", required="grants usage")
def burn_of_grants(*, grants: list[dict[str, Any]], usage: Any) -> Figures:
    held = [grant(name=item["id"], **{key: item[key] for key in item if key != "id"}) for item in grants]
    result = burn(held, number(usage), at=NOW)
    taken = dict(result.taken)
    balances = {item.id: balance_at([item], NOW) - taken.get(item.id, 0) for item in held}
    return {
        "balances": balances,
        "balance": sum(balances.values()),
        "overage": result.left,
        "credits_used": result.covered,
    }


@adapts("credit.burn", "credit.order", "credit.expiry", required="grant usage")
def burn_of_one_grant(*, grant: dict[str, Any], usage: Any) -> Figures:
    return burn_of_grants(grants=[{"id": "grant"} | grant], usage=usage)


@adapts("credit.invoice", required="quantity credits", optional="mode tiers unit_amount minimum maximum")
def credits_on_an_invoice(**given: Any) -> Figures:
    amounts = given.pop("credits")
    gross = round_amount(limited(**given)["amount"], currency_digits("USD"))
    grants = [Grant(str(index), number(amount), granted_at=NOW) for index, amount in enumerate(amounts)]
    result = burn(grants, gross, at=NOW)
    return {"gross": gross, "credits_used": result.covered, "due": result.left}
