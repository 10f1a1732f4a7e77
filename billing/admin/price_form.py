"""Trying a price out: a quantity in, the amount and its working out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.explaining import StepWords, explain_steps
from billing.formatting import money
from billing.models import Plan, Rate, RateKind
from billing.rating import (
    GroupUsage,
    RatingError,
    TermsError,
    Usage,
    UsageRate,
    currency_digits,
    in_currency,
    needs_event_amounts,
    parse_rate,
    rate,
    required_grouping,
    round_amount,
)
from billing.rating.decimals import exact_decimal
from billing.summaries import rate_name


@dataclass(frozen=True, slots=True)
class Priced:
    """What a quantity costs: the rounded amount of the line, and the working before rounding."""

    name: str
    amount: str
    working: list[StepWords]


class PriceForm(forms.Form):
    """A rate of a plan and a quantity; the values of dimensions where the rate has prices by them."""

    rate = forms.ChoiceField(label="Rate", widget=UnfoldAdminSelectWidget)
    quantity = forms.CharField(
        label="Quantity",
        max_length=2000,
        widget=UnfoldAdminTextInputWidget({"inputmode": "decimal", "placeholder": "120"}),
        help_text="How much is used in a billing period. For rates with rules for each event, write the amounts "
        "of the events, separated by spaces.",
    )

    def __init__(self, rates: Sequence[Rate], data: Any = None) -> None:
        super().__init__(data)
        self.rates = {str(row.pk): row for row in rates if row.kind == RateKind.USAGE}
        choice: Any = self.fields["rate"]
        choice.choices = [(pk, rate_name(row)) for pk, row in self.rates.items()]
        self.dimensions = sorted(
            {name for row in self.rates.values() for name in row.terms.get("dimensions") or ()}
        )
        for name in self.dimensions:
            self.fields[f"dimension_{name}"] = forms.CharField(
                label=name, required=False, max_length=200, widget=UnfoldAdminTextInputWidget,
                help_text="Used by rates with a price by this dimension.",
            )  # fmt: skip

    def clean_quantity(self) -> list[Decimal]:
        try:
            numbers = [exact_decimal(part) for part in self.cleaned_data["quantity"].split()]
        except ValueError as refused:
            raise forms.ValidationError(str(refused)) from refused
        return numbers or [Decimal(0)]

    def price(self, plan: Plan) -> Priced | None:
        """Rate the quantity; None with an error on the form when the rate cannot price it."""
        row = self.rates[self.cleaned_data["rate"]]
        numbers: list[Decimal] = self.cleaned_data["quantity"]
        try:
            parsed = parse_rate(row.terms)
            assert isinstance(parsed, UsageRate)  # only usage rates can be chosen
            if plan.custom_unit_value is not None:
                parsed = in_currency(parsed, plan.custom_unit_value)
            rated = rate(parsed, self._usage(parsed, numbers))
        except (RatingError, TermsError) as refused:
            self.add_error("quantity", refused.message)
            return None
        unit = row.meter.unit if row.meter else ""
        rounded = round_amount(rated.amount, currency_digits(plan.currency))
        return Priced(
            rate_name(row),
            money(rounded, plan.currency),
            explain_steps(rated.working, currency=plan.currency, unit=unit),
        )

    def _usage(self, parsed: UsageRate, numbers: list[Decimal]) -> Usage:
        if len(numbers) > 1 and not needs_event_amounts(parsed):
            raise RatingError("Write one number: this rate is for the total of a period.")
        total, events = sum(numbers, Decimal(0)), tuple(numbers)
        grouping = required_grouping(parsed)
        if not grouping:
            return Usage(total, event_amounts=events)
        values = {name: self.cleaned_data.get(f"dimension_{name}", "") for name in grouping}
        return Usage(total, (GroupUsage(values, total, events),), event_amounts=events)
