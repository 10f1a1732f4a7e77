"""The preview beside the editor: the rate in a sentence, what a quantity costs and why, and the curve of its price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.admin.price_curves import (
    MOST_EVENTS,
    Asked,
    Curve,
    bounds_of,
    draw,
    is_share,
    percent,
    round_up,
    unit_price,
    usual_range,
)
from billing.explaining import StepWords, explain_steps
from billing.formatting import money, quantity, quantity_of
from billing.models import Plan, Rate
from billing.rating import (
    RatingError,
    TermsError,
    UsageRate,
    boundary_findings,
    currency_digits,
    in_currency,
    parse_rate,
    rate,
    round_amount,
)
from billing.rating.decimals import exact_decimal
from billing.summaries import rate_sentence

USUAL_EVENT = Decimal(50)
OTHER = "other"
MOST_GROUPS = 200
ROWS_SHOWN = 30
MOST = Decimal(10) ** 18


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table under the chart, in words."""

    quantity: str
    amount: str
    unit: str


def preview(row: Rate, plan: Plan, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the preview of a rate shows. `row` may be unsaved; `sent` asks for a quantity and a group."""
    context: dict[str, Any] = {"sentence": rate_sentence(row, plan)}
    try:
        parsed = parse_rate(row.terms)
        if not isinstance(parsed, UsageRate):
            return context
        context["findings"] = boundary_findings(parsed, plan.currency)
        if plan.custom_unit_value is not None:
            parsed = in_currency(parsed, plan.custom_unit_value)
    except TermsError as refused:
        return context | {"problem": refused.message}
    groups = _groups(parsed)
    chosen = str(sent.get("preview_group") or "")
    group = chosen if chosen in groups else next(iter(groups), "")
    event = _number(sent.get("preview_event")) or USUAL_EVENT
    windowed = bool(row.meter and row.meter.window)
    asked = Asked(parsed, groups.get(group, {}), event, windowed)
    given = _number(sent.get("preview_quantity"))
    until = usual_range(asked)
    if given is not None and given > until and not _is_bounded(asked, until):
        until = round_up(given)
    if asked.counts_events:
        until = min(until, Decimal(MOST_EVENTS))
    at = until / 2 if given is None else min(given, until)
    at = at.to_integral_value() if asked.counts_events or (until >= 20 and given is None) else at
    return context | {
        "groups": list(groups) if len(groups) > 1 else [],
        "group": group,
        "asked": asked,
        "event": f"{event:f}",
        "until": f"{until:f}",
        "quantity": f"{at:f}",
        "step": "1" if until >= 20 else "any",
        **_priced(asked, row, plan, at, until),
    }


def _priced(asked: Asked, row: Rate, plan: Plan, at: Decimal, until: Decimal) -> dict[str, Any]:
    currency = plan.currency
    unit = (
        "event"
        if asked.counts_events
        else ""
        if is_share(asked.terms)
        else row.meter.unit
        if row.meter
        else ""
    )
    write = _Words(asked, currency, unit)
    try:
        rated = rate(asked.terms, asked.usage(at))
    except RatingError as refused:
        return {"refused": refused.message}
    curve = draw(asked, until)
    return {
        "amount": money(round_amount(rated.amount, currency_digits(currency)), currency),
        "on_average": write.on_average(at, rated.amount),
        "quantity_words": write.quantity(at),
        "working": _words(asked, rated.working, currency, unit),
        "curve": curve,
        "place": percent(at, until),
        "total_top": money(curve.total.top, currency),
        "unit_top": write.price(curve.unit.top),
        "middle_words": quantity(until / 2),
        "until_words": quantity(until),
        "height": f"{rated.amount * 100 / curve.total.top:.3f}",
        "total_summary": f"From 0 to {write.quantity(until)}: {_range(curve, currency)}.",
        "unit_name": write.unit_name,
        "figures": [write.figure(each) for each in _worth_saying(asked, until)],
        "rows": _rows(asked, at, currency) if asked.terms.rows else [],
    }


@dataclass(frozen=True, slots=True)
class _Words:
    """How quantities and prices of one rate are written."""

    asked: Asked
    currency: str
    unit: str

    @property
    def unit_name(self) -> str:
        if is_share(self.asked.terms):
            return "Share of the amount"
        return f"Price per {self.each}, on average"

    @property
    def each(self) -> str:
        """What a unit price is for: `ticket`, or `1,000,000 tokens`."""
        per = self.asked.terms.per
        return (self.unit or "unit") if per is None else quantity_of(per, self.unit or "unit")

    def quantity(self, value: Decimal) -> str:
        if is_share(self.asked.terms) and not self.asked.counts_events:
            return money(value, self.currency)
        return quantity_of(value, self.unit)

    def price(self, value: Decimal) -> str:
        return f"{quantity(value)} %" if is_share(self.asked.terms) else money(value, self.currency)

    def unit_price(self, at: Decimal, amount: Decimal) -> str:
        return self.price(unit_price(self.asked, at, amount)) if at else ""

    def on_average(self, at: Decimal, amount: Decimal) -> str:
        if not at:
            return ""
        what = "of the amount" if is_share(self.asked.terms) else f"per {self.each} on average"
        return f"{self.unit_price(at, amount)} {what}"

    def figure(self, at: Decimal) -> Figure:
        try:
            amount = self.asked.amount(at)
        except RatingError:
            return Figure(self.quantity(at), "no price", "")
        rounded = round_amount(amount, currency_digits(self.currency))
        return Figure(self.quantity(at), money(rounded, self.currency), self.unit_price(at, amount))


def _words(asked: Asked, working: Any, currency: str, unit: str) -> list[StepWords]:
    return explain_steps(working[:ROWS_SHOWN], currency=currency, unit="" if is_share(asked.terms) else unit)


def _worth_saying(asked: Asked, until: Decimal) -> list[Decimal]:
    """Give the quantities of the table: where the price changes, just above, and round ones between."""
    bounds = [bound for bound in bounds_of(asked) if bound < until][:6]
    whole = [until * part / 4 for part in (1, 2, 3, 4)]
    if asked.counts_events or until >= 20:
        whole = [each.to_integral_value() for each in whole]
    return sorted({*bounds, *(bound + 1 for bound in bounds if bound + 1 < until), *whole})


def _range(curve: Curve, currency: str) -> str:
    amounts = [amount for _, amount in curve.points]
    digits = currency_digits(currency)
    low, high = (money(round_amount(each, digits), currency) for each in (min(amounts), max(amounts)))
    return f"{low} to {high}"


def _rows(asked: Asked, at: Decimal, currency: str) -> list[dict[str, str]]:
    """Price the same quantity by every row, so that rows can be told apart at a glance."""
    found = []
    for name, values in list(_groups(asked.terms).items())[:ROWS_SHOWN]:
        one = Asked(asked.terms, values, asked.event_amount, asked.windowed)
        try:
            amount = money(round_amount(one.amount(at), currency_digits(currency)), currency)
        except RatingError:
            amount = "no price"
        found.append({"name": name, "amount": amount})
    return found if len(found) > 1 else []


def _groups(parsed: UsageRate) -> dict[str, dict[str, str]]:
    """Give a group of values for each row, by its name; dimensions a row leaves open have a value no row names."""
    groups: dict[str, dict[str, str]] = {}
    for row in parsed.rows[:MOST_GROUPS]:
        values = {name: row.match.get(name, _unnamed(parsed, name)) for name in parsed.dimensions}
        words = ", ".join(row.match.get(name, "any") or "none" for name in parsed.dimensions)
        groups[words if row.match else "everything else"] = values
    return groups


def _unnamed(parsed: UsageRate, name: str) -> str:
    taken = {row.match.get(name) for row in parsed.rows}
    value = OTHER
    while value in taken:
        value += "…"
    return value


def _is_bounded(asked: Asked, until: Decimal) -> bool:
    """Tell whether there is no price beyond the range."""
    try:
        asked.amount(until + 1)
    except RatingError:
        return True
    return False


def _number(text: object) -> Decimal | None:
    """Read a quantity that the preview asks for; what is none falls back to the usual one."""
    try:
        number = exact_decimal(str(text or "").replace(",", "").strip())
    except ValueError:
        return None
    return number if 0 <= number < MOST else None
