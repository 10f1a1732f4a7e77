"""Usage as CSV: a row for each group, or for each group and point."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from django.http import HttpResponse

from customers.spreadsheets import csv_cell
from metering.api.texts import decimal_text, instant_text
from metering.measuring import Series
from metering.models import Meter
from metering.periods import Interval


def usage_table(
    meter: Meter, series: Sequence[Series], *, group_by: Sequence[str], interval: Interval | None
) -> HttpResponse:
    """Give the names of the groups, then `start` and `value` of each point, or `total` where no interval was asked for.

    Figures and instants are as in the JSON answer. Names that a spreadsheet would run are marked as text.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*map(csv_cell, group_by), *(("start", "value") if interval else ("total",))])
    for each in series:
        names = [csv_cell(each.group[name]) for name in group_by]
        if interval:
            writer.writerows(
                [*names, instant_text(point.start), decimal_text(point.value)] for point in each.points
            )
        else:
            writer.writerow([*names, decimal_text(each.total)])
    answer = HttpResponse(file.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="usage-{ascii_name(meter.code)}.csv"'
    return answer


def ascii_name(code: str) -> str:
    """Give a code as a part of a file name: letters, digits, - and _ stay."""
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "-" for sign in code)
