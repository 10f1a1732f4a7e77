"""Lists as CSV files: streamed, so that a large one is never held whole, and running no formula."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from django.http import StreamingHttpResponse

from customers.spreadsheets import csv_cell


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
