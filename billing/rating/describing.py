"""A rate in one plain sentence, for the plan editor, the portal and the API."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from billing.rating.money import currency_digits
from billing.rating.parsing import AnyRate
from billing.rating.percentages import Percentage
from billing.rating.prices import Dynamic, Graduated, Package, PerUnit, Stairstep, Tier, Volume
from billing.rating.terms import AnyPrice, OneTimeRate, Row, SubscriptionRate, UsageRate
from billing.rating.working import plain

Money = Callable[[Decimal], str]

MAX_ROWS_NAMED = 6
TIMING_WORDS = {
    "in_advance": "in advance",
    "in_arrears": "in arrears",
    "at_start": "invoiced when the period begins",
}

_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩"}


def describe(
    terms: AnyRate,
    money: str | Money,
    *,
    unit: tuple[str, str] = ("unit", "units"),
    period: str = "period",
) -> str:
    """Say in plain English what a rate costs: "First 100 minutes are included, then $0.05 per minute".

    `money` is an ISO currency code or a function that writes an amount; `unit` the singular and plural of
    what the meter counts, `period` how long a billing period is, such as "month". Raises UnknownCurrency for a code
    that is none.
    """
    write = money_writer(money) if isinstance(money, str) else money
    match terms:
        case SubscriptionRate():
            timing = TIMING_WORDS[terms.timing]
            days = f", by days for a part of a {period}" if terms.prorated else ""
            seat = f" per seat and {period}" if terms.per_seat else f" per {period}"
            return f"{write(terms.amount)}{seat}, {timing}{days}"
        case OneTimeRate():
            return f"{write(terms.amount)} once"
    return _Words(terms, write, unit).sentence()


def money_writer(currency: str) -> Money:
    """Give the function that writes amounts of a currency. Raises UnknownCurrency."""
    digits = currency_digits(currency)
    symbol = _SYMBOLS.get(currency, f"{currency} ")

    def write(amount: Decimal) -> str:
        """Write at least the digits of the currency, and more where the price has more."""
        text = plain(amount)
        whole, _, decimals = text.partition(".")
        decimals = decimals.ljust(digits, "0")
        return f"{symbol}{whole}.{decimals}" if decimals else f"{symbol}{whole}"

    return write


def _depends_on_grouping(row: Row) -> bool:
    limited = row.included_units or row.minimum_amount is not None or row.maximum_amount is not None
    return bool(limited) or not isinstance(row.price, (PerUnit, Dynamic))


class _Words:
    """The words for one usage rate."""

    def __init__(self, terms: UsageRate, write: Money, unit: tuple[str, str]) -> None:
        self.terms = terms
        self.write = write
        self.one, self.many = unit

    def sentence(self) -> str:
        if self.terms.rows:
            words = self._rows()
        elif self.terms.price is not None:
            words = self._priced(self.terms.price, self.terms.included_units)
        else:
            words = "No price"
        return words + self._limits(self.terms)

    def _rows(self) -> str:
        terms = self.terms
        named = [self._row(row) for row in terms.rows[:MAX_ROWS_NAMED]]
        if len(terms.rows) > MAX_ROWS_NAMED:
            named.append(f"and {len(terms.rows) - MAX_ROWS_NAMED:,} more")
        if terms.unmatched == "free":
            named.append("everything else is free")
        return f"By {' and '.join(terms.dimensions)}{self._together()}: {'; '.join(named)}"

    def _together(self) -> str:
        """Say what tiers and limits of a row are counted over, where that makes a difference."""
        if not any(_depends_on_grouping(row) for row in self.terms.rows):
            return ""
        return (
            ", groups of a row added up" if self.terms.tiers_apply == "pooled" else ", each group on its own"
        )

    def _row(self, row: Row) -> str:
        values = ", ".join(row.match.get(name, "any") for name in self.terms.dimensions)
        what = values if row.match else "everything else" if len(self.terms.rows) > 1 else "each group"
        words = self._priced(row.price, row.included_units)
        return f"{what}: {words[0].lower()}{words[1:]}{self._limits(row)}"

    def _limits(self, part: UsageRate | Row) -> str:
        words = ""
        if part.minimum_amount is not None:
            words += f", at least {self.write(part.minimum_amount)}"
        if part.maximum_amount is not None:
            words += f", at most {self.write(part.maximum_amount)}"
        return words

    def _priced(self, price: AnyPrice, included: Decimal) -> str:
        words = self._price(price)
        if not included:
            return words
        return f"First {plain(included)} {self.many} are included, then {words[0].lower()}{words[1:]}"

    def _price(self, price: AnyPrice) -> str:
        match price:
            case PerUnit():
                return self._per_unit(price.unit_amount, price.per)
            case Package():
                return (
                    f"{self.write(price.package_amount)} per started {plain(price.package_size)} {self.many}"
                )
            case Percentage():
                return self._percentage(price)
            case Dynamic():
                return "The amount that each event brings"
            case _:
                return self._tiered(price)

    def _tiered(self, price: Graduated | Volume | Stairstep) -> str:
        match price:
            case Graduated():
                return self._graduated(price.tiers)
            case Volume():
                prices = [f"{self._range(tier)}: {self._tier(tier)}" for tier in price.tiers]
                return f"All {self.many} at one price, by their number; {'; '.join(prices)}"
        prices = [f"{self._range(tier)}: {self.write(tier.flat_amount)}" for tier in price.tiers]
        above = "" if price.tiers[-1].up_to is None else "; no price above"
        return f"One amount by the number of {self.many}; {'; '.join(prices)}{above}"

    def _graduated(self, tiers: tuple[Tier, ...]) -> str:
        if len(tiers) == 1:
            return self._tier(tiers[0])
        words = []
        for tier in tiers:
            if tier.from_ or tier.up_to is None:
                words.append(f"then {self._tier(tier)}{self._bound(tier)}")
            elif self._is_free(tier):
                words.append(f"First {plain(tier.up_to)} {self._noun(tier)}are free")
            else:
                words.append(f"First {plain(tier.up_to)} {self._noun(tier)}at {self._tier(tier)}")
        return ", ".join(words)

    def _tier(self, tier: Tier) -> str:
        if self._is_free(tier):
            return "free"
        parts = []
        if tier.percent:
            parts.append(f"{plain(tier.percent)} % of the amount")
        if tier.unit_amount:
            parts.append(self._per_unit(tier.unit_amount, tier.per))
        if tier.flat_amount:
            parts.append(f"{self.write(tier.flat_amount)} flat")
        return " plus ".join(parts)

    def _is_free(self, tier: Tier) -> bool:
        return not (tier.unit_price or tier.flat_amount)

    def _noun(self, tier: Tier) -> str:
        return "" if tier.percent is not None else f"{self.many} "

    def _bound(self, tier: Tier) -> str:
        return "" if tier.up_to is None else f" up to {plain(tier.up_to)}"

    def _range(self, tier: Tier) -> str:
        return tier.label[0].lower() + tier.label[1:]

    def _per_unit(self, amount: Decimal, per: Decimal | None) -> str:
        return f"{self.write(amount)} per {self.one if per is None else f'{plain(per)} {self.many}'}"

    def _percentage(self, price: Percentage) -> str:
        words = f"{plain(price.percent)} % of the amount"
        if price.fixed_amount:
            words += f" plus {self.write(price.fixed_amount)} for each event"
        limits = []
        if price.per_event_minimum is not None:
            limits.append(f"at least {self.write(price.per_event_minimum)}")
        if price.per_event_maximum is not None:
            limits.append(f"at most {self.write(price.per_event_maximum)}")
        if limits:
            words += f" ({' and '.join(limits)} for each event)"
        free = []
        if price.free_events is not None:
            free.append(f"the first {price.free_events:,} events")
        if price.free_amount is not None:
            free.append(f"the first {self.write(price.free_amount)}")
        if len(free) == 2:
            return f"{words}; free until {' or '.join(free)} are used up"
        return f"{words}; {free[0]} are free" if free else words
