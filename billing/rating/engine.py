"""The one function that turns usage into an amount, for invoice, preview, portal and chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from billing.rating.errors import (
    InvalidArgument,
    NegativeQuantity,
    NotANumber,
    UnmatchedUsage,
    UsageNotGrouped,
)
from billing.rating.exact import ZERO, exactly
from billing.rating.prices import Dynamic, Events, Group, Volume
from billing.rating.terms import AnyPrice, Row, UsageRate
from billing.rating.usage import GroupUsage, Usage
from billing.rating.working import Rating, Step, plain


@exactly
def rate(terms: UsageRate, usage: Usage) -> Rating:
    """Rate what was used in one period. The amount is exact and not rounded.

    Raises a RatingError: NegativeQuantity, NotANumber, BeyondLastStep, UnmatchedUsage, UsageNotGrouped or
    EventAmountsMissing.
    """
    if terms.rows:
        steps = _steps_by_rows(terms, usage)
    elif terms.price is not None:
        steps = _steps(terms.price, terms.included_units, usage, None)
    else:
        raise InvalidArgument("The rate has neither a price nor rows.")
    amount = _limit(steps, terms.minimum_amount, terms.maximum_amount, None)
    return Rating(amount, tuple(steps))


def _limit(steps: list[Step], minimum: Decimal | None, maximum: Decimal | None, group: Group) -> Decimal:
    """Add the step that lifts the sum to the minimum or cuts it to the maximum; give the sum then."""
    amount = ZERO
    for step in steps:
        amount += step.amount
    if minimum is not None and amount < minimum:
        label = f"Raised to the minimum of {plain(minimum)}"
        steps.append(Step(label, "minimum", None, None, minimum - amount, group=group))
        return minimum
    if maximum is not None and amount > maximum:
        label = f"Capped at the maximum of {plain(maximum)}"
        steps.append(Step(label, "maximum", None, None, maximum - amount, group=group))
        return maximum
    return amount


def _steps(price: AnyPrice, included: Decimal, usage: Usage | GroupUsage, group: Group) -> list[Step]:
    if usage.windows is None:
        return _steps_of(price, included, usage.quantity, usage.event_amounts, group)
    steps = []
    for number, peak in enumerate(usage.windows, start=1):
        for step in _steps_of(price, included, peak, None, group):
            steps.append(step._replace(label=f"Window {number}: {step.label}"))
    return steps


def _steps_of(
    price: AnyPrice, included: Decimal, quantity: Decimal, events: Events, group: Group
) -> list[Step]:
    if not quantity.is_finite():
        raise NotANumber(f"A quantity must be a finite number, not {quantity}.")
    if quantity < 0 and not isinstance(price, (Dynamic, Volume)):
        raise NegativeQuantity(
            f"The quantity is {plain(quantity)}. A price needs 0 or more; "
            "take usage back by voiding its events."
        )
    if not included or quantity < 0:
        return price.steps(quantity, events, group)
    free = min(quantity, included)
    label = f"Included: first {plain(included)}"
    return [
        Step(label, "included", free, None, ZERO, group=group),
        *price.steps(quantity - free, events, group),
    ]


def _steps_by_rows(terms: UsageRate, usage: Usage) -> list[Step]:
    _check_groups(terms, usage)
    steps: list[Step] = []
    pools: dict[int, list[GroupUsage]] = {}
    for part in usage.groups:
        index = terms.row_index(part.dimensions)
        if index is None:
            steps.append(_unmatched_step(terms, part))
        elif terms.tiers_apply == "pooled":
            pools.setdefault(index, []).append(part)
        else:
            steps += _row_steps(terms.rows[index], part, dict(part.dimensions))
    for index, parts in pools.items():
        row = terms.rows[index]
        steps += _row_steps(row, _pool(parts), dict(row.match))
    return steps


def _row_steps(row: Row, part: GroupUsage, group: Mapping[str, str]) -> list[Step]:
    steps = _steps(row.price, row.included_units, part, group)
    _limit(steps, row.minimum_amount, row.maximum_amount, group)
    return steps


def _unmatched_step(terms: UsageRate, part: GroupUsage) -> Step:
    group = dict(part.dimensions)
    if terms.unmatched == "free":
        return Step("Free: no price for it", "free", part.quantity, None, ZERO, group=group)
    values = ", ".join(f"{name} = {value!r}" for name, value in group.items()) or "no values at all"
    raise UnmatchedUsage(
        f"There is usage with {values}, but no row of the rate for {terms.meter} has a price for it. "
        "Add a row for it or a catch-all row in a new version of the plan."
    )


def _pool(parts: Sequence[GroupUsage]) -> GroupUsage:
    """Add up the groups that use one row."""
    events: list[Decimal] = []
    quantity = ZERO
    with_events = True
    for part in parts:
        if part.windows is not None:
            raise UsageNotGrouped(
                "The peaks of several groups cannot be added up. Let the tiers of this rate apply per group."
            )
        quantity += part.quantity
        if part.event_amounts is None:
            with_events = False
        else:
            events += part.event_amounts
    return GroupUsage({}, quantity, tuple(events) if with_events else None)


def _check_groups(terms: UsageRate, usage: Usage) -> None:
    """Refuse usage measured by other dimensions than the rate's: its parts would be rated wrongly."""
    if usage.quantity and not usage.groups:
        raise UsageNotGrouped(
            f"The rate for {terms.meter} has prices by {', '.join(terms.dimensions)}. "
            "Measure its usage by them."
        )
    seen = set()
    for part in usage.groups:
        if not set(terms.dimensions).issuperset(part.dimensions):
            raise UsageNotGrouped(
                f"The usage is grouped by {', '.join(part.dimensions)}, the rate for {terms.meter} only by "
                f"{', '.join(terms.dimensions)}."
            )
        values = tuple(part.dimensions.get(name, "") for name in terms.dimensions)
        if values in seen:
            raise UsageNotGrouped(
                f"The same group of usage of {terms.meter} is given twice: {dict(part.dimensions)}."
            )
        seen.add(values)
