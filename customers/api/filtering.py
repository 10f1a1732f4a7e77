"""Filters of lists: what is none of a parameter's values is refused with those it has."""

from __future__ import annotations

from typing import Any

from django.forms import NullBooleanField
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from customers.api.words import choice_words


class NamedFilters(DjangoFilterBackend):  # type: ignore[misc]
    def get_filterset(self, request: Request, queryset: Any, view: Any) -> Any:
        found = super().get_filterset(request, queryset, view)
        if found is not None and found.is_bound:
            for name, field in found.form.fields.items():
                if hasattr(field, "choices"):
                    field.error_messages["invalid_choice"] = choice_words(_values(field.choices))
                elif isinstance(field, NullBooleanField):
                    _refuse_other(name, found.data.get(name, ""))
        return found


def _refuse_other(name: str, sent: str) -> None:
    """Refuse what is neither true nor false: the framework would not filter at all."""
    if sent.lower() not in ("", "true", "false"):
        raise ValidationError({name: ["Send true or false."]})


def _values(choices: Any) -> list[object]:
    return [value for value, _ in choices if isinstance(value, str)]
