"""Tax on invoices: which rate each line has, and the tax of each rate on the sum of its lines, rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from billing.drafts import DraftLine, DraftTax
from billing.models import TaxCategory, TaxRate, TaxSetup
from billing.rating.exact import ZERO, exactly
from billing.rating.money import round_amount
from billing.rating.taxes import tax_inside, tax_on
from customers.countries import EU
from customers.models import Customer, TaxTreatment
from customers.tax_ids import has_valid_tax_id
from metering.periods import Period


class Treatment(StrEnum):
    """Why a tax line says what it says."""

    TAXED = "taxed"
    EXEMPT = "exempt"
    REVERSE_CHARGE = "reverse_charge"
    NOT_TAXABLE = "not_taxable"


NAMES = {
    Treatment.EXEMPT: "Exempt from tax",
    Treatment.REVERSE_CHARGE: "Reverse charge",
    Treatment.NOT_TAXABLE: "Not taxable",
}
# What names one tax line: a rate as it is printed, or the reason why there is none.
Key = tuple[str, str, str, Decimal, bool, str]


@dataclass(frozen=True, slots=True)
class TaxTable:
    """All tax rates and the seller's set-up, read once for a chunk of customers."""

    rates: Mapping[tuple[str, str, str], Sequence[TaxRate]]
    seller_country: str
    reverse_charge_sentence: str

    def rates_on(self, day: date, *, country: str, region: str, category: str) -> list[TaxRate]:
        """Give what is charged on a day: the region's rate or its country's, and what is on top.

        A category without a rate is taxed as standard. Empty: nothing is set up for the country.
        """
        for each in dict.fromkeys((category, TaxCategory.STANDARD.value)):
            regional = self._valid((country, region, each), day) if region else []
            national = self._valid((country, "", each), day)
            instead = [rate for rate in regional if not rate.on_top]
            found = (instead or national) + [rate for rate in regional if rate.on_top]
            if found:
                return found
        return []

    def _valid(self, key: tuple[str, str, str], day: date) -> list[TaxRate]:
        return [
            rate
            for rate in self.rates.get(key, ())
            if rate.valid_from <= day and (rate.valid_until is None or day < rate.valid_until)
        ]


class Taxes(NamedTuple):
    """The tax of one invoice: its lines with the numbers of their taxes, the taxes, and both sums."""

    lines: list[DraftLine]
    taxes: tuple[DraftTax, ...]
    added: Decimal
    included: Decimal


def tax_table() -> TaxTable:
    """Read the tax rates and the set-up, in two queries."""
    rates: dict[tuple[str, str, str], list[TaxRate]] = {}
    for rate in TaxRate.objects.order_by("name", "id"):
        rates.setdefault((rate.country, rate.region, rate.category), []).append(rate)
    setup = TaxSetup.objects.first() or TaxSetup()
    return TaxTable(rates, setup.seller_country, setup.reverse_charge_sentence)


def treatment_of(customer: Customer, *, seller_country: str) -> Treatment:
    """Tell how a customer is taxed: as agreed, or by reverse charge where country and tax ID ask for it.

    Reverse charge needs a tax ID of valid form. Between two countries of the EU it needs nothing else.
    """
    if customer.tax_treatment == TaxTreatment.EXEMPT:
        return Treatment.EXEMPT
    within_eu = seller_country in EU and customer.country in EU and customer.country != seller_country
    if (within_eu or customer.tax_treatment == TaxTreatment.REVERSE_CHARGE) and has_valid_tax_id(
        customer.country, customer.tax_id
    ):
        return Treatment.REVERSE_CHARGE
    return Treatment.TAXED


@exactly
def tax_lines(
    lines: Sequence[DraftLine], customer: Customer, table: TaxTable, *, period: Period, digits: int
) -> Taxes:
    """Tax what coupons left of the lines: per rate, on the sum of its lines, rounded once.

    The rate is that of the last day of a line's own period or of the invoice's, whichever is earlier: an adjustment
    is taxed as the period it adjusts. Lines in a country without a rate are not taxed.
    """
    treatment = treatment_of(customer, seller_country=table.seller_country)
    if (
        not table.rates
        and treatment == Treatment.TAXED
        and all(line.tax_category != TaxCategory.EXEMPT for line in lines)
    ):
        return Taxes(list(lines), (), ZERO, ZERO)
    sums: dict[Key, Decimal] = {}
    charged: dict[Key, TaxRate] = {}
    keys: list[list[Key]] = []
    for line in lines:
        net = line.amount - line.discount
        mine: list[Key] = []
        if net:
            day = min(line.period.end_on, period.end_on) - timedelta(days=1)
            mine = _keys(line, customer, treatment, table, day, charged)
        for key in mine:
            sums[key] = sums.get(key, ZERO) + net
        keys.append(mine)
    # The highest percentage first; reasons for no tax last.
    ordered = sorted(sums, key=lambda key: (-key[3], key))
    numbers = {key: n for n, key in enumerate(ordered, start=1)}
    taxes = tuple(
        _tax(numbers[key], key, sums[key], charged.get(key), customer, table, digits=digits)
        for key in ordered
    )
    return Taxes(
        [
            replace(line, taxed_by=tuple(numbers[key] for key in mine)) if mine else line
            for line, mine in zip(lines, keys, strict=True)
        ],
        taxes,
        sum((tax.amount for tax in taxes if not tax.inclusive), ZERO),
        sum((tax.amount for tax in taxes if tax.inclusive), ZERO),
    )


def _keys(
    line: DraftLine,
    customer: Customer,
    treatment: Treatment,
    table: TaxTable,
    day: date,
    charged: dict[Key, TaxRate],
) -> list[Key]:
    if line.tax_category == TaxCategory.EXEMPT:
        treatment = Treatment.NOT_TAXABLE
    if treatment != Treatment.TAXED:
        return [(NAMES[treatment], "", "", ZERO, False, treatment.value)]
    found = []
    for rate in table.rates_on(
        day, country=customer.country, region=customer.region, category=line.tax_category
    ):
        key = (rate.name, rate.country, rate.region, rate.percent, rate.inclusive, treatment.value)
        charged[key] = rate
        found.append(key)
    return found


def _tax(
    n: int,
    key: Key,
    base: Decimal,
    rate: TaxRate | None,
    customer: Customer,
    table: TaxTable,
    *,
    digits: int,
) -> DraftTax:
    name, country, region, percent, inclusive, treatment = key
    base = round_amount(base, digits)  # sums of rounded lines: only the decimals as they are written change
    if rate is None:
        sentences = {
            Treatment.EXEMPT: customer.tax_exempt_reason,
            Treatment.REVERSE_CHARGE: table.reverse_charge_sentence,
        }
        sentence = sentences.get(Treatment(treatment), "")
        nothing = round_amount(ZERO, digits)
        return DraftTax(n, name, country, region, "", percent, inclusive, base, nothing, treatment, sentence)
    taxed = (tax_inside if inclusive else tax_on)(base, percent, digits=digits)
    return DraftTax(
        n, name, country, region, rate.category, percent, inclusive, taxed.net, taxed.tax, treatment, ""
    )
