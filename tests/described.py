"""Whether answers look as the OpenAPI description says: every status described, every field known, no other field."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs
from drf_spectacular.generators import SchemaGenerator

DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"


def check_described(method: str, path: str, response: Any) -> None:
    """Raise AssertionError when an answer of a route is not as described. Addresses without a route pass."""
    found = _operation(method.lower(), path if path.endswith("/") else f"{path}/")
    if found is None:
        return
    told = found["responses"].get(str(response.status_code))
    where = f"{method} {path} -> {response.status_code}"
    assert told is not None, f"{where} is not described"
    content = told.get("content")
    if not content:
        assert not response.content, f"{where} has a body, and none is described"
        return
    kind = response.headers["Content-Type"].partition(";")[0]
    assert kind in content, f"{where} is {kind}, described is {list(content)}"
    if kind != "application/json":
        return
    schema = content[kind]["schema"]
    body = b"".join(response.streaming_content) if response.streaming else response.content
    problems = list(_validator(json.dumps(schema)).iter_errors(json.loads(body)))
    assert not problems, f"{where}: {problems[0].instance_path}: {problems[0].message}"


@cache
def document() -> dict[str, Any]:
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
    found: dict[str, Any] = json.loads(
        json.dumps(generator.get_schema(request=None, public=True), default=str)
    )
    return found


@cache
def _routes() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """The routes with the most fixed parts first."""
    paths = sorted(document()["paths"].items(), key=lambda item: (item[0].count("{"), -len(item[0])))
    return [(re.compile(_pattern(path)), operations) for path, operations in paths]


def _pattern(path: str) -> str:
    parts = re.split(r"(\{\w+\})", path)
    # The key of an event may hold slashes.
    return "".join(
        (".+" if part == "{key}" else "[^/]+") if part.startswith("{") else re.escape(part) for part in parts
    )


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, operations in _routes():
        if method in operations and pattern.fullmatch(path):
            found: dict[str, Any] = operations[method]
            return found
    return None


@cache
def _validator(schema: str) -> Any:
    components = {name: _exact(each) for name, each in document()["components"]["schemas"].items()}
    return jsonschema_rs.Draft202012Validator(
        {**_exact(json.loads(schema)), "components": {"schemas": components}}, validate_formats=True
    )


def _exact(schema: Any) -> Any:
    """Give a schema of OpenAPI 3.0 as JSON Schema, with no field but those it names."""
    if isinstance(schema, list):
        return [_exact(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _exact(each) for name, each in schema.items() if name not in ("nullable", "example")}
    if schema.get("format") == "decimal":
        found["pattern"] = DECIMAL
    if "properties" in found and isinstance(found["properties"], dict) and "type" in found:
        found.setdefault("additionalProperties", False)
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found
