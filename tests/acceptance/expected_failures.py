"""Areas whose adapter comes with later work, and why. Strict: an area that passes must leave the list."""

from __future__ import annotations

EXPECTED_FAILURES: dict[str, str] = {}
