"""Lists as CSV files: streamed, so that a large one is never held whole, and running no formula."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect

from customers.spreadsheets import csv_cell
from customers.staff_pages import ReadOnlyAdmin


class _Line:
    """A file for csv.writer that gives each row back."""

    def write(self, text: str) -> str:
        return text


def csv_response(name: str, columns: tuple[str, ...], rows: Iterator[list[object]]) -> StreamingHttpResponse:
    writer = csv.writer(_Line())

    def lines() -> Iterator[str]:
        yield writer.writerow(columns)
        for row in rows:
            yield writer.writerow([csv_cell(value) for value in row])

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def export_list(
    page: ReadOnlyAdmin,
    request: HttpRequest,
    name: str,
    columns: tuple[str, ...],
    row_of: Callable[[Any], list[object]],
    *,
    related: Sequence[str] = (),
) -> HttpResponseBase:
    """Give the rows of a list, with its search and filters, as CSV; a filter that means nothing opens the list.

    `related` names what `row_of` reads beside the row and the list does not show.
    """
    try:
        rows = page.get_changelist_instance(request).get_queryset(request)
    except IncorrectLookupParameters:
        meta = page.model._meta
        return redirect(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    if related:
        rows = rows.select_related(*related)
    return csv_response(name, columns, (row_of(row) for row in rows.iterator(1000)))
