"""The result of rating: an amount, and the steps that add up to it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple, cast


class Step(NamedTuple):
    """One part of an amount, ready to be read by a customer.

    `kind` is one of: units, tier, flat, package, step, percentage, fixed, event_minimum, event_maximum,
    dynamic, included, free, minimum, maximum. `amount` = `quantity` x `unit_amount` / `per`, or `quantity` x
    `percent` / 100, where these are given; `amount` is negative for what comes off (`maximum`,
    `event_maximum`). `from_` (exclusive) and `up_to` (inclusive; None: open) are the bounds of a tier.
    `group` holds the dimension values it belongs to.
    """

    label: str
    kind: str
    quantity: Decimal | None
    unit_amount: Decimal | None
    amount: Decimal
    from_: Decimal | None = None
    up_to: Decimal | None = None
    group: Mapping[str, str] | None = None
    per: Decimal | None = None
    percent: Decimal | None = None

    def as_json(self) -> dict[str, object]:
        """Give the step with its decimals as text. `step_from_json` reads it back."""
        return {
            "label": self.label,
            "kind": self.kind,
            "quantity": _text(self.quantity),
            "unit_amount": _text(self.unit_amount),
            "per": _text(self.per),
            "percent": _text(self.percent),
            "amount": _text(self.amount),
            "from": _text(self.from_),
            "up_to": _text(self.up_to),
            "group": None if self.group is None else dict(self.group),
        }


class Rating(NamedTuple):
    """What a usage costs. `amount` is not rounded and is exactly the sum of the amounts of `working`."""

    amount: Decimal
    working: tuple[Step, ...]


def step_from_json(data: Mapping[str, object]) -> Step:
    """Read a step that `Step.as_json` wrote. Anything else raises KeyError or InvalidOperation."""
    return Step(
        label=str(data["label"]),
        kind=str(data["kind"]),
        quantity=_decimal(data["quantity"]),
        unit_amount=_decimal(data["unit_amount"]),
        amount=Decimal(str(data["amount"])),
        from_=_decimal(data["from"]),
        up_to=_decimal(data["up_to"]),
        group=cast("Mapping[str, str] | None", data["group"]),
        per=_decimal(data["per"]),
        percent=_decimal(data["percent"]),
    )


def plain(value: Decimal) -> str:
    """Write a number for people: thousands separated, no needless zeros. 1000.50 -> '1,000.5'."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))
