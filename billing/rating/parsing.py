"""Reading the terms of a rate from its form on the wire.

The form is that of the API (docs: "A rate"). Beyond its examples there are: `per` (prices are quoted for so
many units: "1000000" for prices per million), `tiers_apply` and `unmatched` for rates by dimensions (see
`UsageRate`), and `prorated` and `per_seat` for subscription rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from billing.rating.errors import Problem, TermsError
from billing.rating.exact import exactly
from billing.rating.models import PRICE_FIELDS, read_limits, read_per, read_price, states_price
from billing.rating.reading import Fields, is_object
from billing.rating.rows import RowTable, is_by_rows, read_rows
from billing.rating.terms import TIMINGS, OneTimeRate, SubscriptionRate, UsageRate

AnyRate = UsageRate | SubscriptionRate | OneTimeRate


@exactly
def parse_rate(terms: Mapping[str, object]) -> AnyRate:
    """Check the terms of a rate and give them as an object that can be rated.

    Decimals may be text, ints or Decimals. Raises TermsError with every problem found: an unknown or missing
    field, a wrong type, a negative price, a tier table with a gap, rows without a catch-all.
    """
    if not is_object(terms):
        raise TermsError([Problem("not_an_object", "", "A rate must be an object with fields.")])
    problems: list[Problem] = []
    fields = Fields(terms, problems)
    kind = fields.choice("kind", tuple(_KINDS))
    rate = _KINDS[kind](fields) if kind is not None else None
    if problems or rate is None:
        raise TermsError(problems)
    return rate


def _read_subscription(fields: Fields) -> SubscriptionRate | None:
    label = fields.text("label")
    amount = fields.amount("amount")
    timing = fields.choice("timing", TIMINGS, default="in_advance")
    prorated = fields.flag("prorated", default=True)
    per_seat = fields.flag("per_seat", default=False)
    fields.finish("a subscription rate")
    if label is None or amount is None or timing is None:
        return None
    return SubscriptionRate(label, amount, timing, prorated, per_seat)


def _read_one_time(fields: Fields) -> OneTimeRate | None:
    label = fields.text("label")
    amount = fields.amount("amount")
    fields.finish("a one-time fee")
    return None if label is None or amount is None else OneTimeRate(label, amount)


def _read_usage(fields: Fields) -> UsageRate | None:
    meter = fields.text("meter")
    model = fields.choice("model", tuple(PRICE_FIELDS))
    if model is None:
        return None
    per = read_per(fields, model=model)
    by_rows = is_by_rows(fields)
    price = None
    if states_price(fields, model=model) or not by_rows or not PRICE_FIELDS[model]:
        price = read_price(fields, model=model, per=per)
    included, minimum, maximum = read_limits(fields, model=model)
    table = RowTable()
    if by_rows:
        table = read_rows(fields, model=model, per=per, price=price)
        if included:
            fields.add(
                "included_units_on_rows",
                "included_units",
                "A rate with rows has its included_units on the rows. Move them there.",
            )
    fields.finish(f"a usage rate of the model {model}")
    if meter is None:
        return None
    return UsageRate(
        meter,
        model,
        price,
        included_units=included,
        minimum_amount=minimum,
        maximum_amount=maximum,
        per=per,
        dimensions=table.dimensions,
        rows=table.rows,
        tiers_apply=table.tiers_apply,
        unmatched=table.unmatched,
    )


_KINDS: dict[str, Callable[[Fields], AnyRate | None]] = {
    "usage": _read_usage,
    "subscription": _read_subscription,
    "one_time": _read_one_time,
}
