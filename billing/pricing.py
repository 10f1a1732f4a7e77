"""Plans as staff and integrations write them: draft, check, activate, next version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from billing.errors import InvalidRate, PlanFrozen, PlanNotReady
from billing.models import Plan, PlanStatus, Rate, RateKind
from billing.rating import (
    OneTimeRate,
    SubscriptionRate,
    TermsError,
    UsageRate,
    parse_rate,
)
from billing.rating.errors import Problem
from metering.models import Meter, MeterStatus

MAX_LABEL = 200
ParsedRate = UsageRate | SubscriptionRate | OneTimeRate


def read_rates(rates: Sequence[Mapping[str, object]]) -> list[Rate]:
    """Check rates as the API writes them and give unsaved rows; raise InvalidRate naming every wrong field by path."""
    rows: list[Rate] = []
    problems: dict[str, str] = {}
    meters = {meter.code: meter for meter in Meter.objects.filter(code__in=_meter_codes(rates))}
    for index, terms in enumerate(rates):
        at = f"rates.{index}"
        try:
            label, parsed = parse_labelled(terms)
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


def why_priced_meter_stays(meter: Meter) -> str | None:
    """Name a plan in use that prices a meter: what was agreed is not to be counted in another way."""
    rate = (
        Rate.objects.filter(meter=meter).exclude(plan__status=PlanStatus.DRAFT).select_related("plan").first()
    )
    return f"the plan {rate.plan} prices it" if rate is not None else None


def undeclared_dimensions(rate: UsageRate, meter: Meter) -> list[str]:
    """Name the dimensions a rate prices by that its meter does not declare."""
    return [name for name in rate.dimensions if name not in meter.dimensions]


def create_plan(
    *,
    code: str,
    name: str,
    currency: str,
    billing_period: str,
    rates: Sequence[Mapping[str, object]],
    description: str = "",
) -> Plan:
    """Write the first version of a plan, as a draft."""
    rows = read_rates(rates)
    plan = Plan(
        code=code,
        name=name,
        currency=currency,
        billing_period=billing_period,
        description=description,
    )
    plan.full_clean()
    with transaction.atomic():
        plan.save()
        _add_rates(plan, rows)
    return plan


def put_rate(plan: Plan, terms: Mapping[str, object], *, instead_of: Rate | None = None) -> Rate:
    """Write one rate of a draft, after its others or in the place of one of them. Raises InvalidRate, PlanFrozen."""
    row = read_rates([terms])[0]
    with transaction.atomic():
        plan = _draft(plan)
        row.plan = plan
        if instead_of is None:
            last = plan.rates.order_by("-position").values_list("position", flat=True).first()
            row.position = 0 if last is None else last + 1
        else:
            row.pk, row.position = instead_of.pk, instead_of.position
        row.save()
    return row


def remove_rate(rate: Rate) -> None:
    """Take a rate off a draft. Raises PlanFrozen."""
    with transaction.atomic():
        _draft(rate.plan)
        rate.delete()


def activate_plan(plan: Plan, *, now: datetime) -> Plan:
    """Freeze a draft and make it the version that is assigned from now on; the one before becomes deprecated.

    Raises PlanFrozen for a version that is not a draft and PlanNotReady while something is missing.
    """
    with transaction.atomic():
        plan = Plan.objects.select_for_update().get(pk=plan.pk)
        if plan.status != PlanStatus.DRAFT:
            raise PlanFrozen(
                f"{plan} is {plan.get_status_display().lower()} already. Make a new version to change it."
            )
        problems = readiness_problems(plan)
        if problems:
            raise PlanNotReady(problems[0], fields={"rates": " ".join(problems)})
        for earlier in Plan.objects.select_for_update().filter(code=plan.code, status=PlanStatus.ACTIVE):
            earlier.status = PlanStatus.DEPRECATED
            earlier.save(update_fields=["status"])
        plan.status = PlanStatus.ACTIVE
        plan.activated_at = now
        plan.save(update_fields=["status", "activated_at"])
    return plan


def readiness_problems(plan: Plan) -> list[str]:
    """Say what keeps a draft from being activated; empty when nothing does."""
    rates = list(plan.rates.select_related("meter"))
    if not rates:
        return ["This plan has no rates, so it would bill nothing. Add a rate first."]
    problems = []
    for rate in rates:
        if rate.meter is not None and rate.meter.status != MeterStatus.ACTIVE:
            problems.append(
                f"The meter {rate.meter.label} is {rate.meter.get_status_display().lower()}; use an active one."
            )
        try:
            parse_rate(rate.terms)
        except TermsError as refused:
            problems.append(f"{rate}: {refused.message}")
    return problems


def create_version(plan: Plan) -> Plan:
    """Copy a version and its rates to a new draft. Raises PlanFrozen when the plan has a draft already."""
    with transaction.atomic():
        versions = list(Plan.objects.select_for_update().filter(code=plan.code).order_by("-version"))
        draft = next((each for each in versions if each.status == PlanStatus.DRAFT), None)
        if draft is not None:
            raise PlanFrozen(
                f"Version {draft.version} of {plan.name} is a draft already. Change or activate that one."
            )
        copy = Plan.objects.create(
            code=plan.code,
            version=versions[0].version + 1,
            name=plan.name,
            description=plan.description,
            currency=plan.currency,
            billing_period=plan.billing_period,
        )
        _add_rates(
            copy,
            [
                Rate(
                    position=r.position,
                    kind=r.kind,
                    label=r.label,
                    meter_id=r.meter_id,
                    terms=r.terms,
                )
                for r in plan.rates.all()
            ],
        )
    return copy


def change_draft(
    plan: Plan,
    *,
    name: str | None = None,
    description: str | None = None,
    rates: Sequence[Mapping[str, object]] | None = None,
) -> Plan:
    """Change a draft; None leaves a part as it is, `rates` replaces all. Raises PlanFrozen once it is active."""
    rows = None if rates is None else read_rates(rates)
    with transaction.atomic():
        plan = _draft(plan)
        plan.name = plan.name if name is None else name
        plan.description = plan.description if description is None else description
        plan.full_clean()
        plan.save()
        if rows is not None:
            plan.rates.all().delete()
            _add_rates(plan, rows)
    return plan


def _draft(plan: Plan) -> Plan:
    """Lock a plan and give it; raise PlanFrozen unless it is a draft."""
    plan = Plan.objects.select_for_update().get(pk=plan.pk)
    if plan.is_frozen:
        raise PlanFrozen(f"{plan} is in use and frozen. Make a new version to change it.")
    return plan


def _add_rates(plan: Plan, rows: Sequence[Rate]) -> None:
    for row in rows:
        row.plan = plan
    Rate.objects.bulk_create(rows)


def _meter_codes(rates: Sequence[Mapping[str, object]]) -> set[str]:
    return {str(terms["meter"]) for terms in rates if isinstance(terms.get("meter"), str)}
