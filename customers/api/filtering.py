"""Filters of lists: what is none of a parameter's values is refused with those it has."""

from __future__ import annotations

from typing import Any

from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from customers.api.words import choice_words


class NamedFilters(DjangoFilterBackend):  # type: ignore[misc]
    def get_filterset(self, request: Request, queryset: Any, view: Any) -> Any:
        found = super().get_filterset(request, queryset, view)
        if found is not None and found.is_bound:
            for field in found.form.fields.values():
                if hasattr(field, "choices"):
                    field.error_messages["invalid_choice"] = choice_words(_values(field.choices))
        return found


def _values(choices: Any) -> list[object]:
    return [value for value, _ in choices if isinstance(value, str)]
