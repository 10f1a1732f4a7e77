"""Nothing that is sent is ignored: unknown fields and unknown query parameters are refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.http import Http404
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.settings import api_settings

from customers.api.bodies import refuse_chunks
from customers.api.parsing import is_storable
from customers.api.repeating import RepeatableWrites
from customers.api.words import name_choices

NON_FIELD = api_settings.NON_FIELD_ERRORS_KEY
PAGE_PARAMETERS = frozenset({"page", "page_size"})


def unknown_fields(sent: Iterable[str], known: Iterable[str]) -> dict[str, list[str]]:
    """The `fields` of a refusal for every field that was sent but means nothing; empty when all are known."""
    names = sorted(known)
    return {
        name: [f"Unknown field. Known fields: {', '.join(names)}."] for name in sorted(set(sent) - set(names))
    }


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses what it does not know. `unchangeable` names fields that are set once."""

    unchangeable: ClassVar[frozenset[str]] = frozenset()

    def get_fields(self) -> dict[str, Any]:
        found = super().get_fields()
        name_choices(found.values())
        return found

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise ValidationError({NON_FIELD: ["Send one JSON object with named fields."]})
        problems = self._problems(data)
        known = {name: value for name, value in data.items() if name in self.fields and name not in problems}
        try:
            found = super().to_internal_value(known)
        except ValidationError as refused:
            found_too: Any = refused.detail
            raise ValidationError({**found_too, **problems}) from refused
        if problems:
            raise ValidationError(problems)
        return found

    def _problems(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        writable = {name for name, field in self.fields.items() if not field.read_only}
        problems = unknown_fields(set(data), writable)
        problems |= {
            name: [str(self.fields[name].error_messages["invalid"])]
            for name in writable & data.keys()
            if isinstance(self.fields[name], serializers.SlugRelatedField) and not _can_be_code(data[name])
        }
        if self.instance is not None:
            current = self.to_representation(self.instance)
            problems |= {
                name: [f"It cannot be changed; it stays “{current[name]}”."]
                for name in self.unchangeable & data.keys()
                if data[name] != current[name]
            }
        return problems


def _can_be_code(value: Any) -> bool:
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


class StrictParameters(RepeatableWrites):
    """A view that answers only query parameters it knows, each sent once unless it says otherwise.

    Its writes can be sent again under an Idempotency-Key.
    """

    parameters: frozenset[str] = frozenset()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_chunks(request)
        check_parameters(request, self.known_parameters())

    def get_object(self) -> Any:
        """Give what the address names, or say that there is no such thing."""
        try:
            return super().get_object()  # type: ignore[misc]
        except Http404 as missing:
            view: Any = self
            raise Http404(no_such(view, *view.kwargs.values())) from missing

    def known_parameters(self) -> frozenset[str]:
        if getattr(self, "action", None) != "list":
            return self.parameters
        filterset: Any = getattr(self, "filterset_class", None)
        return self.parameters | PAGE_PARAMETERS | set(filterset.base_filters if filterset else ())


def no_such(view: Any, *named: object) -> str:
    """Say that there is no such thing as the addresses of a view name."""
    noun = view.queryset.model._meta.verbose_name
    return f"There is no {noun} “{', '.join(map(str, named))}”."


def check_parameters(request: Request, known: Iterable[str], *, repeatable: Iterable[str] = ()) -> None:
    """Refuse query parameters that are unknown, sent twice, or hold what the database cannot."""
    if not request.META.get("QUERY_STRING"):
        return
    repeated = set(repeatable)
    problems: dict[str, list[str]] = {}
    for name in unknown_fields(request.query_params, known):
        problems[name] = [f"Unknown parameter. Known parameters: {', '.join(sorted(known)) or 'none'}."]
    for name, values in request.query_params.lists():
        if len(values) > 1 and name not in repeated:
            problems.setdefault(name, ["Send this parameter once only."])
        if not all(map(is_storable, values)):
            problems.setdefault(name, ["It contains a character that cannot be stored."])
    if problems:
        raise ValidationError(problems)
