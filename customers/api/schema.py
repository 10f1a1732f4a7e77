"""The OpenAPI description: how a key is sent, what a refusal looks like, which refusals a route can give."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from customers.api.repeating import HEADER, LONGEST_KEY, REPLAYED, WRITES, RepeatableWrites

BEARER, OWN_HEADER = "bearer", "header"
TAG_DEFAULT = "Set-up"


# Not told of views whose writes have names of their own: see RepeatableWrites.
IDEMPOTENCY_KEY: dict[str, Any] = {
    "in": "header",
    "name": HEADER,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    "description": "Your own name for this request. Sent again within 7 days, it is not done again: the first answer "
    f"comes once more, with the header `{REPLAYED}: true`. With another request it is 409. What was refused can be "
    "corrected and sent under the same key.",
}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "customers.api.authentication.ApiKeyAuthentication"
    name = [BEARER, OWN_HEADER]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{BEARER: []}, {OWN_HEADER: []}]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
            {"type": "apiKey", "in": "header", "name": "X-API-KEY", "description": "`X-API-KEY: KEY`"},
        ]


class ErrorDetailSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable; for programs.")
    message = serializers.CharField(help_text="Says what is wrong and what to do; for people.")
    fields = serializers.DictField(  # type: ignore[assignment]  # the contract's name
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Sentences by the dotted path of the field or parameter: `rates.0.tiers.1.up_to`.",
    )


class ErrorSerializer(serializers.Serializer[Any]):
    error = ErrorDetailSerializer()


class RouteSchema(AutoSchema):
    """Groups routes by the view's `schema_tag` and adds the refusals that every route shares."""

    def get_tags(self) -> list[str]:
        return [getattr(self.view, "schema_tag", TAG_DEFAULT)]

    def _get_parameters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super()._get_parameters()
        if isinstance(self.view, RepeatableWrites) and self.view.repeats(self.view, self.method):
            found.append(IDEMPOTENCY_KEY)
        return found

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        describe: Any = self._get_response_for_code
        for status, told in self._refusals().items():
            bodies.setdefault(status, describe(told, status, None, direction))
        return bodies

    def _refusals(self) -> dict[str, OpenApiResponse]:
        writes = self.method in WRITES
        found = {
            "400": _refusal(
                "Something sent is wrong; `fields` names it.", "invalid", "label: Unknown field."
            ),
            "401": _refusal(
                "No good key was sent.",
                "key_unknown",
                "This key is unknown or was revoked.",
            ),
            "403": _refusal("The key lacks the scope.", "scope_missing", "This key lacks the scope manage."),
            "429": _refusal(
                "The key sends too many requests; Retry-After says when to come back.", "throttled", ""
            ),
        }
        if "{" in self.path or not writes:
            found["404"] = _refusal(
                "There is no such thing, or no such page.", "not_found", "There is no plan “x”."
            )
        if writes:
            found |= {
                "409": _refusal(
                    "It does not fit the state of things.", "already_exists", "Choose another code."
                ),
                "413": _refusal("The body is too large.", "too_large", "The body is larger than 10 MiB."),
                "415": _refusal("The body is not JSON.", "unsupported_media_type", ""),
            }
        return found


def _refusal(description: str, code: str, message: str) -> OpenApiResponse:
    example = {"error": {"code": code, "message": message or description, "fields": {}}}
    return OpenApiResponse(
        ErrorSerializer, description, [OpenApiExample(code, value=example, response_only=True)]
    )
