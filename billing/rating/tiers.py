"""Reading and checking tier tables. A bad table is refused here, when it is written, with the row named."""

from __future__ import annotations

from decimal import Decimal

from billing.rating.exact import ZERO
from billing.rating.prices import Tier, tier_label
from billing.rating.reading import Fields

MAX_TIERS = 1000


def read_tiers(fields: Fields, *, model: str, per: Decimal | None) -> tuple[Tier, ...] | None:
    """Read `tiers` of a model; None when something is wrong (problems were added)."""
    rows = fields.objects("tiers", limit=MAX_TIERS, row="Tier")
    if rows is None:
        return None
    found = len(fields.problems)
    bounds = [row.decimal("up_to") for row in rows]
    if len(fields.problems) == found:
        _check_bounds(rows, bounds, last_may_be_bounded=model == "stairstep")
    read = [_read_prices(row, model=model) for row in rows]
    if len(fields.problems) > found:
        return None
    tiers = []
    from_ = ZERO
    for (unit, flat), up_to in zip(read, bounds, strict=True):
        tiers.append(_tier(model, from_=from_, up_to=up_to, unit=unit, flat=flat, per=per))
        from_ = ZERO if up_to is None else up_to
    return tuple(tiers)


def _tier(
    model: str, *, from_: Decimal, up_to: Decimal | None, unit: Decimal, flat: Decimal, per: Decimal | None
) -> Tier:
    label = tier_label(from_, up_to, whole="Whole amount" if model == "graduated_percentage" else "All units")
    match model:
        case "stairstep":
            return Tier(from_, up_to, ZERO, None, None, None, flat, label)
        case "graduated_percentage":
            return Tier(from_, up_to, unit.scaleb(-2), None, None, unit, flat, label)
        case _:
            return Tier(from_, up_to, unit if per is None else unit / per, unit, per, None, flat, label)


def _read_prices(row: Fields, *, model: str) -> tuple[Decimal, Decimal]:
    """Give a tier's price and flat fee. One of them may be left out and is 0; a row needs one."""
    unit_name = {"stairstep": None, "graduated_percentage": "percent"}.get(model, "unit_amount")
    unit = row.decimal(unit_name) if unit_name else None
    flat = row.decimal("flat_amount")
    if not row.has("flat_amount") and not (unit_name and row.has(unit_name)):
        name = unit_name or "flat_amount"
        row.add("required", name, f"{name} is missing. Write 0 where the tier is free.")
    row.finish(f"a tier of the model {model}")
    return unit or ZERO, flat or ZERO


def _check_bounds(rows: list[Fields], bounds: list[Decimal | None], *, last_may_be_bounded: bool) -> None:
    """Each tier starts where the one before ended, and only the last is open."""
    open_rows = [index for index, bound in enumerate(bounds) if bound is None]
    for index in open_rows[1:]:
        rows[index].add(
            "two_open_tiers",
            "up_to",
            f"Tier {open_rows[0] + 1} is open already. Only the last tier may be; give this one a bound.",
        )
    _check_rising(rows, bounds)
    if len(open_rows) == 1 and bounds[-1] is not None:
        rows[open_rows[0]].add(
            "open_tier_not_last",
            "up_to",
            "up_to is empty, but more tiers follow. Only the last tier may be left open.",
        )
    if not open_rows and not last_may_be_bounded:
        rows[-1].add(
            "last_tier_not_open",
            "up_to",
            "up_to of the last tier must be empty (null), so that every quantity has a price.",
        )


def _check_rising(rows: list[Fields], bounds: list[Decimal | None]) -> None:
    before: Decimal | None = None
    seen: dict[Decimal, int] = {}
    for number, (row, bound) in enumerate(zip(rows, bounds, strict=True), start=1):
        if bound is None:
            continue
        if seen.setdefault(bound, number) != number:
            row.add(
                "duplicate_bound",
                "up_to",
                f"up_to {bound:f} is the bound of tier {seen[bound]} already. Change or remove one.",
            )
        elif before is not None and bound < before:
            row.add(
                "bound_not_rising",
                "up_to",
                f"up_to {bound:f} is below the bound of the tier before, {before:f}.",
            )
        before = bound
