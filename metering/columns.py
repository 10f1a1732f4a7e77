"""The events of a batch ready to be stored: by row, and by column as the texts of arrays that the database reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One event ready to be stored: its id in hexadecimal, time and dimensions as text the database reads.

    Codes are set when meter or customer is unknown.
    """

    id: str
    key: str
    meter_id: int | None
    customer_id: int | None
    workload_id: int | None
    value: Decimal | None
    occurred_at: str
    subject: str | None
    dimensions: str | None
    meter_code: str | None
    customer_code: str | None
    signal: str | None = None
    target_id: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """The events of a batch ready to be stored, column by column in the order of their ids, as texts for the database.

    In columns of numbers and times NULL stands for none, in the others None. An empty column holds nothing in any row;
    without `keys` the key of each event is its id. `occurred_from_to` are the earliest and the latest time, where every
    event is known to be matched and to be no signal.
    """

    ids: Sequence[str]
    meters: Sequence[str]
    customers: Sequence[str]
    occurred: Sequence[str]
    keys: Sequence[str] = ()
    workloads: Sequence[str] = ()
    values: Sequence[str] = ()
    subjects: Sequence[str | None] = ()
    dimensions: Sequence[str | None] = ()
    meter_codes: Sequence[str | None] = ()
    customer_codes: Sequence[str | None] = ()
    signals: Sequence[str | None] = ()
    targets: Sequence[str | None] = ()
    occurred_from_to: tuple[datetime, datetime] | None = None


def columns_of(rows: Sequence[Row]) -> Columns:
    """Give rows as columns, in the order of their ids."""
    ordered = sorted(rows, key=itemgetter(0))
    columns: list[Sequence[Any]] = list(zip(*ordered, strict=True)) if ordered else [()] * len(Row._fields)
    ids, keys, meters, customers, workloads, values, occurred, subjects, dimensions, *others = columns
    return Columns(
        ids=ids,
        keys=keys,
        meters=_numbers(meters),
        customers=_numbers(customers),
        workloads=_numbers(workloads),
        values=_numbers(values),
        occurred=occurred,
        subjects=subjects,
        dimensions=dimensions,
        meter_codes=others[0],
        customer_codes=others[1],
        signals=others[2],
        targets=others[3],
    )


def _numbers(items: Sequence[object]) -> list[str]:
    return ["NULL" if item is None else str(item) for item in items]


def plain_array(items: Sequence[str]) -> str:
    """Write an array literal of texts that need no quotes."""
    return "{" + ",".join(items) + "}"


def text_array(items: Sequence[str | None]) -> str:
    """Write an array literal; most columns need no escape, and many hold nothing at all."""
    present = [item for item in items if item is not None]
    if not present:
        return "{}"
    together = "\x00".join(present)  # no text that is stored holds NUL
    if "\\" in together or '"' in together:
        together = together.replace("\\", "\\\\").replace('"', '\\"')
    if len(present) == len(items):
        return '{"' + together.replace("\x00", '","') + '"}'
    escaped = iter(together.split("\x00"))
    return "{" + ",".join(["NULL" if item is None else f'"{next(escaped)}"' for item in items]) + "}"
