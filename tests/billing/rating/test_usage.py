"""Quantities with dimension values are added up as measuring adds them up."""

from __future__ import annotations

from decimal import Decimal

from billing.rating import GroupUsage, usage_of

PARTS = [({"region": "eu"}, Decimal(3)), ({}, Decimal(2)), ({"region": "eu", "kind": "x"}, Decimal(4))]


def test_without_dimensions_there_is_one_sum_and_each_amount() -> None:
    usage = usage_of(PARTS, dimensions=())
    assert (usage.quantity, usage.groups, usage.event_amounts, usage.windows) == (9, (), (3, 2, 4), None)


def test_groups_are_those_of_the_dimensions_asked_for() -> None:
    usage = usage_of(PARTS, dimensions=("region",), windowed=True)
    assert usage.windows == (3, 2, 4)
    assert usage.groups == (
        GroupUsage({"region": "eu"}, Decimal(7), (Decimal(3), Decimal(4)), (Decimal(3), Decimal(4))),
        GroupUsage({"region": ""}, Decimal(2), (Decimal(2),), (Decimal(2),)),
    )
    plain = usage_of(PARTS, dimensions=("region",)).groups
    assert [(group.event_amounts, group.windows) for group in plain] == [((3, 4), None), ((2,), None)]
