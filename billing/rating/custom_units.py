"""Prices in a unit of one's own: 1 credit = $0.01."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from billing.rating.errors import Problem, TermsError
from billing.rating.exact import exactly
from billing.rating.parsing import parse_rate
from billing.rating.terms import UsageRate

# Their quantity is an amount of money already.
PRICED_BY_AMOUNT = frozenset({"percentage", "graduated_percentage", "dynamic"})
_AMOUNTS = frozenset({"unit_amount", "flat_amount", "package_amount", "minimum_amount", "maximum_amount"})


def in_currency(terms: UsageRate, value: Decimal) -> UsageRate:
    """Give the same rate with its prices in the currency, where one custom unit is worth `value`. Exact.

    Raises TermsError for a model that prices amounts instead of units, and for a price that gets too many decimals.
    """
    if terms.model in PRICED_BY_AMOUNT:
        sentence = (
            f"The model {terms.model} prices amounts of money, so it has no meaning in a custom unit. "
            "Use per_unit with the price of 1 on a meter that sums the units."
        )
        raise TermsError([Problem("not_in_custom_unit", "model", sentence)])
    converted = parse_rate(_converted(terms.as_json(), value))
    assert isinstance(converted, UsageRate)
    return converted


@exactly
def _converted(data: Mapping[str, object], value: Decimal) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, content in data.items():
        if name in _AMOUNTS and content is not None:
            result[name] = Decimal(str(content)) * value
        elif name in ("tiers", "rows") and isinstance(content, list):
            result[name] = [_converted(row, value) for row in content]
        else:
            result[name] = content
    return result
