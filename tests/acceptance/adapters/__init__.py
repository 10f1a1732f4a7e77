"""Adapters from worked cases to the functions that make invoices.

An adapter is registered for an area and the keys of `given` it understands. It gives every figure it can;
the test compares those the case expects. A case that no adapter takes fails.
"""

from tests.acceptance.adapters import grants, invoices, metering, periods, proration, rating  # noqa: F401
from tests.acceptance.adapters.registry import NoAdapterError, answer, uses_database

__all__ = ["NoAdapterError", "answer", "uses_database"]
