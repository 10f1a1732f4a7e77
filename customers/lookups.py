"""Looking up rows by many ids at once, as one array: `in` writes a placeholder for each of them.

    Subscription.objects.filter(customer__among=Ids(customers))

For a chunk of a close that is a fifth of the time of its queries, on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ForeignKey, Lookup


class Ids:
    """Ids as the database reads them. It can be used for many queries."""

    __slots__ = ("text",)

    def __init__(self, ids: Iterable[int]) -> None:
        self.text = "{" + ",".join(map(str, ids)) + "}"


@ForeignKey.register_lookup
@Field.register_lookup
class Among(Lookup):
    """`column = ANY(ids)`, for columns of 64-bit ids and foreign keys to them."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s::bigint[])", (*parameters, self.rhs.text)
