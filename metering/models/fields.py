"""Fields and validators that several models share."""

from __future__ import annotations

from typing import Any

from django.db import models


class QuantityField(models.DecimalField):  # type: ignore[type-arg]  # not generic at run time
    """An exact decimal of any scale, as PostgreSQL's plain `numeric`: what was sent is what is stored."""

    def db_type(self, connection: Any) -> str:
        return "numeric"
