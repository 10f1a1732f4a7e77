"""Lists come in pages: `results`, and `next`, the address of the following page or null."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request

PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


class NoSuchPage(NotFound):
    """A page that is not there; `fields` names the parameter."""

    def __init__(self) -> None:
        message = "There is no such page. Leave page out for the first one, and follow `next` from there."
        super().__init__(message)
        self.fields = {"page": [message]}


class Pages(PageNumberPagination):
    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except NotFound as missing:
            raise NoSuchPage from missing

    def get_page_size(self, request: Request) -> int:
        """Give the page size asked for; REST framework's own falls back in silence when it is not one."""
        text: Any = request.query_params.get("page_size")
        if text is None:
            return PAGE_SIZE
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_PAGE_SIZE):
            raise ValidationError({"page_size": [f"A page has 1 to {MAX_PAGE_SIZE} results."]})
        return int(text)
