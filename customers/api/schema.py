"""How the OpenAPI description says that a key is needed: either of two headers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

BEARER, HEADER = "bearer", "header"


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "customers.api.authentication.ApiKeyAuthentication"
    name = [BEARER, HEADER]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{BEARER: []}, {HEADER: []}]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
            {"type": "apiKey", "in": "header", "name": "X-API-KEY", "description": "X-API-KEY: KEY"},
        ]
