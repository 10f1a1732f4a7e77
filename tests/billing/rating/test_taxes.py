"""Net and tax add up to gross, to the minor unit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating.errors import InvalidArgument
from billing.rating.taxes import Taxed, tax_inside, tax_on


def taxed(percent: str, net: str, tax: str, gross: str) -> Taxed:
    return Taxed(Decimal(percent), Decimal(net), Decimal(tax), Decimal(gross))


def test_tax_is_added_to_a_net_amount() -> None:
    assert tax_on(Decimal("240.00"), Decimal("19"), digits=2) == taxed("19", "240", "45.60", "285.60")
    assert tax_on(Decimal("0.50"), Decimal("21"), digits=2).tax == Decimal("0.11")  # 0.105


def test_tax_inside_is_gross_minus_rounded_net() -> None:
    # 10.00 / 1.21 = 8.2644...
    assert tax_inside(Decimal("10.00"), Decimal("21"), digits=2) == taxed("21", "8.26", "1.74", "10")


def test_credit_note_mirrors_the_invoice() -> None:
    assert tax_on(Decimal("-0.50"), Decimal("21"), digits=2).tax == Decimal("-0.11")
    assert tax_inside(Decimal("-10.00"), Decimal("21"), digits=2).tax == Decimal("-1.74")


def test_tax_is_not_negative() -> None:
    for tax in (tax_on, tax_inside):
        with pytest.raises(InvalidArgument):
            tax(Decimal(1), Decimal(-1), digits=2)


@given(cents=st.integers(-(10**9), 10**9), percent=st.integers(0, 5000), digits=st.integers(0, 3))
def test_parts_add_up(cents: int, percent: int, digits: int) -> None:
    amount = Decimal(cents).scaleb(-digits)
    for tax in (tax_on, tax_inside):
        result = tax(amount, Decimal(percent) / 100, digits=digits)
        assert result.net + result.tax == result.gross
        assert amount in (result.net, result.gross)
