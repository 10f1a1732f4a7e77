"""A form of a page as a browser without scripts would send it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class _Form(HTMLParser):
    def __init__(self, identifier: str) -> None:
        super().__init__()
        self.identifier = identifier
        self.inside = False
        self.templates = 0
        self.select = ""
        self.sent: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and given.get("id") == self.identifier:
            self.inside = True
        self.templates += tag == "template"
        if not self.inside or self.templates:
            return
        name = given.get("name") or ""
        if tag == "select":
            self.select = name
        elif tag == "option" and "selected" in given:
            self.sent.setdefault(self.select, []).append(given.get("value") or "")
        elif (
            tag == "input" and name and (given.get("type") not in ("checkbox", "radio") or "checked" in given)
        ):
            unsaid = "on" if given.get("type") == "checkbox" else ""
            self.sent.setdefault(name, []).append(given.get("value", unsaid) or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.templates -= tag == "template"
        if tag == "form":
            self.inside = False


def form_of(response: Any, identifier: str) -> dict[str, list[str]]:
    """Give what the form with this id would send as it stands on the page."""
    parser = _Form(identifier)
    parser.feed(response.content.decode())
    assert parser.sent, f"There is no form {identifier} on the page."
    return parser.sent
