"""The form of one rate: it writes the terms that billing.rating reads, and shows its refusals at the fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.db.models import QuerySet
from django.forms.utils import ErrorDict
from django.http import QueryDict

from billing.admin.price_tables import (
    REST,
    PriceRow,
    TierRow,
    filled,
    posted_rows,
    posted_tiers,
    shown,
    stored_rows,
    stored_tiers,
)
from billing.admin.rate_fields import NAMES, PRICED, SHOWN, TIERED, RateFields, in_words
from billing.errors import InvalidRate
from billing.models import Plan, Rate, RateKind
from billing.pricing import put_rate
from billing.terms import read_rates
from metering.models import Meter, MeterStatus


class RateForm(RateFields):
    """One rate of a draft plan, or with `agreed` what one customer pays in its place.

    The kind is given by the page. `quiet` shows what was posted without refusing anything, as after a choice that
    changes the fields; `spare` leaves an empty row in every table for those who write without scripts.
    """

    NAMES: Mapping[str, str] = NAMES
    ROW_OPTIONS = ("tiers_apply", "unmatched", "row_limits")
    FIELDS: dict[str, tuple[str, ...]] = {
        RateKind.USAGE: ("meter", "model", *SHOWN, *ROW_OPTIONS, "label", "tax_category"),
        RateKind.SUBSCRIPTION: ("label", "amount", "per_seat", "timing", "prorated", "tax_category"),
        RateKind.ONE_TIME: ("label", "amount", "tax_category"),
    }

    def __init__(
        self,
        data: QueryDict | None = None,
        *,
        plan: Plan,
        kind: str,
        rate: Rate | None = None,
        agreed: Mapping[str, Any] | None = None,
        is_override: bool = False,
        quiet: bool = False,
        spare: bool = False,
    ) -> None:
        stored: Mapping[str, Any] = agreed or (rate.terms if rate else {})
        super().__init__(data, initial=_initial(stored, rate) | self.chosen())
        self.plan, self.kind, self.rate, self.quiet = plan, kind, rate, quiet
        self.row: Rate | None = None
        self.fields = {name: self.fields[name] for name in self.FIELDS[kind]}
        self.tier_errors: list[str] = []
        self.tiers: list[TierRow] = []
        self.rows: list[PriceRow] = []
        self._sent_rows: list[PriceRow] = []
        self.dimensions: list[str] = []
        if kind == RateKind.USAGE:
            self._prepare_usage(stored, fixed=rate.meter if rate and is_override else None)
            self._prepare_tables(stored, spare=spare)
        else:
            self.fields["label"].required = True
        if is_override:
            del self.fields["tax_category"]
        if is_override and kind == RateKind.USAGE:
            del self.fields["meter"], self.fields["label"]
        if kind == RateKind.ONE_TIME:
            self.fields["amount"].help_text = "Charged once, with the first invoice of each customer."

    def chosen(self) -> dict[str, Any]:
        """Give what is filled in at first beside what is stored."""
        return {}

    def usable_meters(self) -> QuerySet[Meter]:
        return Meter.objects.filter(status=MeterStatus.ACTIVE)

    def full_clean(self) -> None:
        if self.quiet:
            self._errors = ErrorDict()
            self.cleaned_data: dict[str, Any] = {}
        else:
            super().full_clean()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            self._refuse_rows_without_values()
        if not self.errors:
            try:
                self.row = read_rates([self.terms()])[0]
            except InvalidRate as refused:
                for path, sentence in (refused.fields or {"": refused.message}).items():
                    self._place(path.removeprefix("rates.0").removeprefix("."), sentence)
        return cleaned

    def save(self) -> Rate:
        """Write the rate. Raises PlanFrozen when the plan was activated meanwhile."""
        category = {"tax_category": self.cleaned_data["tax_category"]} if "tax_category" in self.data else {}
        return put_rate(self.plan, self.terms() | category, instead_of=self.rate)

    def terms(self) -> dict[str, object]:
        """Give the terms as the API writes them, with only the fields of the chosen model."""
        cleaned = self.cleaned_data
        if self.kind != RateKind.USAGE:
            names = (name for name in self.FIELDS[self.kind] if name != "tax_category")
            return filled({"kind": self.kind, **{name: cleaned[name] for name in names}})
        model = cleaned["model"]
        meter = self.chosen_meter
        assert meter is not None  # the field is required
        terms: dict[str, object] = {"kind": self.kind, "meter": meter.code, "model": model}
        for name, models in SHOWN.items():
            if model in models and not (self.dimensions and name == "included_units"):
                terms[name] = cleaned[name].strip()
        terms["label"] = cleaned.get("label", "")
        tiers = [tier for tier in self.tiers if any(tier.cells.values())]
        if model in TIERED and (tiers or not self.dimensions):
            terms["tiers"] = [tier.terms(model) for tier in tiers or self.tiers[:1]]
        return filled(terms) | self._terms_by_rows(model)

    def _terms_by_rows(self, model: str) -> dict[str, object]:
        if not self.dimensions:
            return {}
        cleaned = self.cleaned_data
        unmatched = cleaned["unmatched"]
        self._sent_rows = [
            row
            for row in self.rows
            if (unmatched == PRICED if row.is_rest else not row.is_blank(self.dimensions))
        ]
        written = [
            row.terms(model, self.dimensions, with_limits=cleaned["row_limits"]) for row in self._sent_rows
        ]
        options = {"tiers_apply": cleaned["tiers_apply"] or "per_group", "unmatched": unmatched}
        return {"dimensions": self.dimensions, "rows": written} | filled(options)

    def _refuse_rows_without_values(self) -> None:
        for row in self.rows:
            if row.is_rest or row.is_blank(self.dimensions) or not self.dimensions:
                continue
            if not any(row.match.get(name) for name in self.dimensions):
                row.errors.append(
                    "Write for which value this row is, or use the row for everything else at the end."
                )
                self.add_error(None, forms.ValidationError("Please correct the rows.", code="rows"))

    def _place(self, path: str, sentence: str) -> None:
        words = in_words(sentence, self.NAMES)
        first, _, rest = path.partition(".")
        index = rest.partition(".")[0]
        number = int(index) if index.isdecimal() else -1
        if first == "tiers":
            errors = self.tiers[number].errors if 0 <= number < len(self.tiers) else self.tier_errors
            errors.append(words)
            self.add_error(None, forms.ValidationError("Please correct the tiers.", code="tiers"))
        elif first == "rows" and 0 <= number < len(self._sent_rows):
            self._sent_rows[number].errors.append(words)
            self.add_error(None, forms.ValidationError("Please correct the rows.", code="rows"))
        elif first in self.fields:
            self.add_error(first, words)
        else:
            self.add_error(None, words)

    def _prepare_usage(self, stored: Mapping[str, Any], *, fixed: Meter | None) -> None:
        usable = self.usable_meters()
        meters: Any = self.fields["meter"]
        meters.queryset = usable
        self.fields["label"].help_text = "The meter's label when left empty."
        if not (self.is_bound or stored or fixed):
            self._choose_only_meter(usable)
        chosen = str(self["meter"].value() or "")
        self.chosen_meter = fixed or (usable.filter(pk=chosen).first() if chosen.isdecimal() else None)
        self.dimension_choices = list(self.chosen_meter.dimensions) if self.chosen_meter else []
        given = (
            cast("QueryDict", self.data).getlist("dimension")
            if self.is_bound
            else stored.get("dimensions") or ()
        )
        self.dimensions = [name for name in self.dimension_choices if name in given]

    def _choose_only_meter(self, usable: QuerySet[Meter]) -> None:
        """Choose the meter where there is no choice."""
        meters = list(usable[:2])
        if len(meters) == 1 and not self.initial.get("meter"):
            self.initial["meter"] = meters[0].pk

    def _prepare_tables(self, stored: Mapping[str, Any], *, spare: bool) -> None:
        data = cast("QueryDict", self.data)
        self.tiers = posted_tiers(data) if self.is_bound else stored_tiers(stored)
        self.rows = posted_rows(data, self.dimension_choices) if self.is_bound else stored_rows(stored)
        if not any(row.is_rest for row in self.rows):
            self.rows.append(PriceRow(REST))
        if len(self.rows) == 1 or spare:
            self.rows.insert(-1, PriceRow(_free_key(self.rows)))
        for tiers in (self.tiers, *(row.tiers for row in self.rows)):
            if not tiers:
                tiers.append(TierRow(from_="0"))
                if tiers is self.tiers:
                    tiers.append(TierRow())
            elif spare:
                tiers.append(TierRow())


def _free_key(rows: list[PriceRow]) -> str:
    taken = {row.key for row in rows}
    return next(key for key in map(str, range(len(rows) + 1)) if key not in taken)


def _initial(stored: Mapping[str, Any], rate: Rate | None) -> dict[str, Any]:
    if rate is None:
        return {}
    limits = ("included_units", "minimum_amount", "maximum_amount")
    own = any(shown(name, row.get(name)) for row in stored.get("rows") or () for name in limits)
    return {
        **stored,
        **{name: shown(name, stored.get(name)) for name in SHOWN},
        "meter": rate.meter_id,
        "tax_category": rate.tax_category,
        "label": rate.label or stored.get("label", ""),
        "unmatched": stored.get("unmatched") or "",
        "row_limits": own,
    }
