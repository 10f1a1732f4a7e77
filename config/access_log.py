"""Gunicorn's access log, which names the address of each request and the page it came from, without sign-in links."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from config.logs import without_links


class AccessLogger(Logger):  # type: ignore[misc]
    def atoms(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Give the parts of a line by name."""
        atoms: dict[str, Any] = super().atoms(*args, **kwargs)
        return {name: without_links(part) if isinstance(part, str) else part for name, part in atoms.items()}
