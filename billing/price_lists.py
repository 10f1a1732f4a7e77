"""A provider's price list as cost rates: one CSV file, one rate for each meter, all or nothing.

Columns: `meter`, `unit_amount`, optionally `per` (for how many units), and a column for each dimension that prices
depend on. An empty cell of a dimension matches every value. Lines of one meter become the rows of one rate.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction

from billing.cost_rates import Validity, place_cost_rate, read_cost_rate
from billing.errors import CostRateOverlap, InvalidCostRate
from billing.models import CostRate, CostRateKind

REQUIRED = ("meter", "unit_amount")
OWN = (*REQUIRED, "per")
MAX_LINES = 10_000


@dataclass(slots=True)
class PriceList:
    """What a file says: rates to write, each with the one that holds until then, or what is wrong by its line."""

    rates: list[tuple[CostRate, CostRate | None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_price_list(text: str, validity: Validity) -> PriceList:
    """Read a file and look where its rates would go. Writes nothing."""
    found = PriceList()
    lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    header = [name.strip() for name in lines[0]] if lines else []
    missing = [name for name in REQUIRED if name not in header]
    if missing or len(set(header)) < len(header) or "" in header:
        found.problems.append(
            "The first line must name the columns: meter, unit_amount, and if you need them per and dimensions."
        )
        return found
    if len(lines) > MAX_LINES:
        found.problems.append(f"A file has {MAX_LINES:,} lines at most.")
        return found
    by_meter: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            found.problems.append(f"Line {number} has {len(cells)} cells; the first line has {len(header)}.")
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        by_meter.setdefault(row["meter"], []).append((number, row))
    if not by_meter and not found.problems:
        found.problems.append("The file has no prices below its first line.")
    for meter, rows in by_meter.items():
        _read_meter(meter, rows, header, validity, found)
    return found


def _read_meter(
    meter: str,
    rows: Sequence[tuple[int, Mapping[str, str]]],
    header: Sequence[str],
    validity: Validity,
    found: PriceList,
) -> None:
    numbers = ", ".join(str(number) for number, _ in rows[:5]) + (" …" if len(rows) > 5 else "")
    where = f"{'Line' if len(rows) == 1 else 'Lines'} {numbers}"
    quoted = {row.get("per", "") or "1" for _, row in rows}
    if len(quoted) > 1:
        found.problems.append(
            f"{where}: the prices of {meter} are for different numbers of units. Use one per."
        )
        return
    terms: dict[str, object] = {"meter": meter, "model": "per_unit"}
    if (per := quoted.pop()) != "1":
        terms["per"] = per
    dimensions = [name for name in header if name not in OWN and any(row[name] for _, row in rows)]
    if dimensions:
        table = [
            {
                "match": {name: row[name] for name in dimensions if row[name]},
                "unit_amount": row["unit_amount"],
            }
            for _, row in rows
        ]
        terms |= {"dimensions": dimensions, "rows": table}
        if not any(not row["match"] for row in table):
            terms["unmatched"] = "listed"
    elif len(rows) > 1:
        found.problems.append(f"{where}: {meter} has more than one price, and no dimension tells them apart.")
        return
    else:
        terms["unit_amount"] = rows[0][1]["unit_amount"]
    try:
        rate = read_cost_rate(terms, validity)
    except InvalidCostRate as refused:
        found.problems.append(f"{where}: {refused.message}")
        return
    problem = _why_not(rate)
    if problem:
        found.problems.append(f"{where}: {problem}")
        return
    found.rates.append((rate, _holding(rate)))


def _why_not(rate: CostRate) -> str:
    """Try where a rate would go, and take it back; give why it cannot."""
    try:
        with transaction.atomic():
            place_cost_rate(rate)
            transaction.set_rollback(True)
    except CostRateOverlap as refused:
        return refused.message
    finally:
        rate.pk = None
        rate._state.adding = True
    return ""


def _holding(rate: CostRate) -> CostRate | None:
    """Give the rate of the same meter that holds before this one."""
    earlier = CostRate.objects.filter(kind=CostRateKind.USAGE, meter=rate.meter, withdrawn_at=None)
    if rate.effective_from is None:
        return None
    known = [row for row in earlier if row.effective_from is None or row.effective_from < rate.effective_from]
    return max(known, key=lambda row: str(row.effective_from or ""), default=None)


def import_price_list(text: str, validity: Validity) -> list[CostRate]:
    """Write every rate of a file, or none. Raises InvalidCostRate with everything that is wrong."""
    found = read_price_list(text, validity)
    if found.problems:
        raise InvalidCostRate(found.problems[0], fields={"file": " ".join(found.problems)})
    rows = [rate for rate, _ in found.rates]
    with transaction.atomic():
        for row in rows:
            place_cost_rate(row)
    return rows
