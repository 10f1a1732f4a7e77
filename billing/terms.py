"""The terms of rates as staff and integrations write them, checked against the meters they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from billing.errors import InvalidRate
from billing.models import Rate, RateKind, TaxCategory
from billing.rating import OneTimeRate, SubscriptionRate, TermsError, UsageRate, parse_rate
from billing.rating.errors import Problem
from metering.models import Meter

MAX_LABEL = 200
ParsedRate = UsageRate | SubscriptionRate | OneTimeRate


def read_rates(rates: Sequence[Mapping[str, object]]) -> list[Rate]:
    """Check rates as the API writes them and give unsaved rows; raise InvalidRate naming every wrong field by path."""
    rows: list[Rate] = []
    problems: dict[str, str] = {}
    meters = {meter.code: meter for meter in Meter.objects.filter(code__in=_meter_codes(rates))}
    for index, terms in enumerate(rates):
        at = f"rates.{index}"
        category = terms.get("tax_category") or ""
        if category not in ("", *TaxCategory.values):
            problems[f"{at}.tax_category"] = (
                f"Choose one of {', '.join(TaxCategory.values)}, or leave it out."
            )
            continue
        try:
            label, parsed = parse_labelled({name: terms[name] for name in terms if name != "tax_category"})
        except TermsError as refused:
            problems |= {f"{at}.{path}" if path else at: text for path, text in refused.fields.items()}
            continue
        if not isinstance(parsed, UsageRate):
            rows.append(rate_row(parsed, meter=None, position=index, label=label))
        elif parsed.meter not in meters:
            problems[f"{at}.meter"] = f"There is no meter “{parsed.meter}”. Create the meter first."
        elif undeclared := undeclared_dimensions(parsed, meters[parsed.meter]):
            problems[f"{at}.dimensions"] = (
                f"{meters[parsed.meter].label} does not declare the dimension {', '.join(undeclared)}. "
                "Add it to the meter first."
            )
        else:
            rows.append(rate_row(parsed, meter=meters[parsed.meter], position=index, label=label))
        if rows and rows[-1].position == index:
            rows[-1].tax_category = str(category)
    if problems:
        raise InvalidRate(next(iter(problems.values())), fields=problems)
    return rows


def rate_row(parsed: ParsedRate, *, meter: Meter | None, position: int, label: str = "") -> Rate:
    """Give the unsaved row of a checked rate. `label` is what the invoice line says in place of the meter's label."""
    terms = parsed.as_json()
    kind = RateKind(str(terms["kind"]))
    return Rate(position=position, kind=kind, label=label, meter=meter, terms=terms)


def parse_labelled(terms: Mapping[str, object]) -> tuple[str, ParsedRate]:
    """Read a rate and its label: part of the terms of a fee, a mere name for the line of a usage rate."""
    label = terms.get("label")
    if terms.get("kind") != RateKind.USAGE or label is None:
        parsed = parse_rate(terms)
        return str(label or ""), parsed
    if not isinstance(label, str) or len(label) > MAX_LABEL:
        raise TermsError(
            [
                Problem(
                    "invalid_label",
                    "label",
                    f"label is text of at most {MAX_LABEL} characters.",
                )
            ]
        )
    return label, parse_rate({name: value for name, value in terms.items() if name != "label"})


def undeclared_dimensions(rate: UsageRate, meter: Meter) -> list[str]:
    """Name the dimensions a rate prices by that its meter does not declare."""
    return [name for name in rate.dimensions if name not in meter.dimensions]


def _meter_codes(rates: Sequence[Mapping[str, object]]) -> set[str]:
    return {str(terms["meter"]) for terms in rates if isinstance(terms.get("meter"), str)}
