"""Cost rates as staff and integrations write them: checked, put in their place in time, withdrawn.

A rate is never changed. A new one ends the one before it on its first day, so the history stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from django.db import transaction

from billing.errors import CostRateOverlap, InvalidCostRate
from billing.models import CostRate, CostRateKind
from billing.rating import TermsError, UsageRate, currency_digits, parse_rate
from billing.rating.errors import Problem, UnknownCurrency
from billing.rating.reading import Fields
from billing.terms import undeclared_dimensions
from metering.models import Meter, Workload

USAGE, FIXED = CostRateKind.USAGE.value, CostRateKind.FIXED.value
FREE = {"model": "per_unit", "unit_amount": "0"}


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a rate holds, in which currency, and where it comes from. Days are UTC, `[from, until)`."""

    currency: str = "USD"
    label: str = ""
    effective_from: date | None = None
    effective_until: date | None = None


def add_cost_rate(terms: Mapping[str, object], validity: Validity) -> CostRate:
    """Write a cost rate: the terms of a usage price, or `kind` fixed with `workload` and `amount` (and a `meter`).

    The rate that holds on its first day ends there. Raises InvalidCostRate naming each wrong field, CostRateOverlap
    when another one begins on the same day or would go on after it.
    """
    row = read_cost_rate(terms, validity)
    with transaction.atomic():
        place_cost_rate(row)
    return row


def read_cost_rate(terms: Mapping[str, object], validity: Validity) -> CostRate:
    """Check a cost rate and give its unsaved row. Raises InvalidCostRate."""
    problems: dict[str, str] = {}
    try:
        currency_digits(validity.currency)
    except UnknownCurrency as refused:
        problems["currency"] = refused.message
    first, until = validity.effective_from, validity.effective_until
    if first is not None and until is not None and until <= first:
        problems["effective_until"] = f"It must be after {first}; or leave it out."
    row = CostRate(
        currency=validity.currency, label=validity.label, effective_from=first, effective_until=until
    )
    problems |= _read_fixed(row, terms) if terms.get("kind") == FIXED else _read_usage(row, terms)
    if problems:
        raise InvalidCostRate(next(iter(problems.values())), fields=problems)
    return row


def _read_usage(row: CostRate, terms: Mapping[str, object]) -> dict[str, str]:
    if terms.get("kind", USAGE) != USAGE:
        return {"kind": "kind must be usage, or fixed for what a workload costs each month."}
    try:
        parsed = parse_rate({"kind": USAGE, **terms})
    except TermsError as refused:
        return {path or "_": text for path, text in refused.fields.items()}
    assert isinstance(parsed, UsageRate)
    meter = Meter.objects.filter(code=parsed.meter).first()
    if meter is None:
        return {"meter": f"There is no meter “{parsed.meter}”. Create the meter first."}
    if undeclared := undeclared_dimensions(parsed, meter):
        return {
            "dimensions": f"{meter.label} does not declare the dimension {', '.join(undeclared)}. "
            "Add it to the meter first."
        }
    row.kind, row.meter, row.terms = CostRateKind.USAGE, meter, parsed.as_json()
    return {}


def _read_fixed(row: CostRate, terms: Mapping[str, object]) -> dict[str, str]:
    found: list[Problem] = []
    fields = Fields({name: value for name, value in terms.items() if name != "kind"}, found)
    code, amount = fields.text("workload"), fields.amount("amount")
    spread_by = fields.text("meter") if fields.raw("meter") is not None else None
    fields.finish("a fixed cost")
    problems = {problem.path: problem.message for problem in found}
    if code is not None:
        row.workload = Workload.objects.filter(code=code).first()
        if row.workload is None:
            problems["workload"] = f"There is no workload “{code}”. Create it first."
    if spread_by is not None:
        row.meter = Meter.objects.filter(code=spread_by).first()
        if row.meter is None:
            problems["meter"] = f"There is no meter “{spread_by}” to spread the cost by."
    row.kind, row.amount = CostRateKind.FIXED, amount
    return problems


def place_cost_rate(row: CostRate) -> None:
    """Store a checked row between the others of its meter or workload, in the caller's transaction."""
    # The lock only spares whoever is second the constraint's refusal.
    if row.kind == USAGE:
        assert row.meter is not None  # read_cost_rate found it
        Meter.objects.select_for_update().get(pk=row.meter.pk)
        others = CostRate.objects.filter(kind=USAGE, meter=row.meter)
    else:
        assert row.workload is not None  # read_cost_rate found it
        Workload.objects.select_for_update().get(pk=row.workload.pk)
        others = CostRate.objects.filter(kind=FIXED, workload=row.workload, label=row.label)
    first = row.effective_from or date.min
    before: CostRate | None = None
    after: CostRate | None = None
    for other in others.filter(withdrawn_at=None).order_by("effective_from"):
        starts = other.effective_from or date.min
        if starts == first:
            since = f"from {first}" if row.effective_from else "from the beginning"
            raise _overlap(
                "effective_from",
                f"{other} has a cost {since} already. Withdraw that one, or choose another day.",
            )
        if starts < first and (before is None or starts > (before.effective_from or date.min)):
            before = other
        if starts > first and (after is None or starts < (after.effective_from or date.min)):
            after = other
    if after is not None:
        if row.effective_until is not None and row.effective_until > (after.effective_from or date.min):
            raise _overlap(
                "effective_until", f"Another one begins on {after.effective_from}. End this one on that day."
            )
        row.effective_until = row.effective_until or after.effective_from
    if before is not None and (before.effective_until is None or before.effective_until > first):
        if row.effective_until is not None and (
            before.effective_until is None or before.effective_until > row.effective_until
        ):
            raise _overlap(
                "effective_until",
                f"{before} would hold again after it. Leave effective_until out, or end that one.",
            )
        before.effective_until = row.effective_from
        before.save(update_fields=["effective_until"])
    row.save()


def withdraw_cost_rate(row: CostRate, *, now: datetime) -> CostRate:
    """Take back a rate that was wrong: it no longer prices any day. It stays readable. Withdrawing again does nothing.

    The one before it ended on its first day and stays ended, so that nothing is priced again in silence.
    """
    with transaction.atomic():
        row = CostRate.objects.select_for_update().get(pk=row.pk)
        if row.withdrawn_at is None:
            row.withdrawn_at = now
            row.save(update_fields=["withdrawn_at"])
    return row


def free_of_cost(meter: Meter, *, currency: str) -> CostRate:
    """Say that a meter's units cost nothing by themselves, such as counted results. From its first unpriced day on."""
    first = (
        CostRate.objects.filter(kind=USAGE, meter=meter, withdrawn_at=None).order_by("effective_from").first()
    )
    until = first.effective_from if first is not None else None
    return add_cost_rate(
        {"meter": meter.code, **FREE},
        Validity(currency=currency, label="No cost of its own", effective_until=until),
    )


def _overlap(field: str, message: str) -> CostRateOverlap:
    return CostRateOverlap(message, fields={field: message})
