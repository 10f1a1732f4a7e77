"""Plans as staff and integrations write them: draft, check, activate, next version."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, Unpack

from django.db import transaction

from billing.errors import InvalidExample, PlanFrozen, PlanNotReady
from billing.examples import read_examples, work_examples
from billing.models import Plan, PlanExample, PlanStatus, Rate
from billing.readiness import readiness_problems, refuse_findings
from billing.terms import read_rates
from metering.models import Meter

# What a version takes over from the one before it.
COPIED = (
    "name",
    "description",
    "currency",
    "billing_period",
    "usage_period",
    "minimum_amount",
    "included_spend",
    "service_fee_percent",
    "custom_unit",
    "custom_unit_value",
    "tax_category",
    "dispute_days",
    "dispute_reason_required",
)


class PlanTermFields(TypedDict, total=False):
    """The fields of a plan that hold for an invoice as a whole; see Plan for what they mean."""

    usage_period: str
    minimum_amount: Decimal | None
    included_spend: Decimal | None
    service_fee_percent: Decimal | None
    custom_unit: str
    custom_unit_value: Decimal | None
    tax_category: str
    dispute_days: int
    dispute_reason_required: bool


def why_priced_meter_stays(meter: Meter) -> str | None:
    """Name a plan in use that prices a meter: what was agreed is not to be counted in another way."""
    rate = (
        Rate.objects.filter(meter=meter).exclude(plan__status=PlanStatus.DRAFT).select_related("plan").first()
    )
    return f"the plan {rate.plan} prices it" if rate is not None else None


def create_plan(
    *,
    code: str,
    name: str,
    currency: str,
    billing_period: str,
    rates: Sequence[Mapping[str, object]],
    description: str = "",
    examples: Sequence[Mapping[str, object]] = (),
    **terms: Unpack[PlanTermFields],
) -> Plan:
    """Write the first version of a plan, as a draft. Raises InvalidRate, InvalidExample or ValidationError."""
    rows = read_rates(rates)
    guards = read_examples(examples)
    plan = Plan(
        code=code,
        name=name,
        currency=currency,
        billing_period=billing_period,
        description=description,
        **terms,
    )
    plan.full_clean()
    with transaction.atomic():
        plan.save()
        _add_rates(plan, rows)
        _add_examples(plan, guards)
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
            if "tax_category" not in terms:
                row.tax_category = instead_of.tax_category
        row.save()
    return row


def remove_rate(rate: Rate) -> None:
    """Take a rate off a draft. Raises PlanFrozen."""
    with transaction.atomic():
        _draft(rate.plan)
        rate.delete()


def put_example(
    plan: Plan, sent: Mapping[str, object], *, instead_of: PlanExample | None = None
) -> PlanExample:
    """Write one example of a draft, after its others or in the place of one. Raises InvalidExample, PlanFrozen."""
    row = read_examples([sent])[0]
    with transaction.atomic():
        plan = _draft(plan)
        others = plan.examples.all() if instead_of is None else plan.examples.exclude(pk=instead_of.pk)
        if others.filter(name=row.name).exists():
            message = f"There is an example “{row.name}” already."
            raise InvalidExample(message, fields={"examples.0.name": message})
        row.plan = plan
        if instead_of is None:
            last = others.order_by("-position").values_list("position", flat=True).first()
            row.position = 0 if last is None else last + 1
        else:
            row.pk, row.position = instead_of.pk, instead_of.position
        row.save()
    return row


def remove_example(example: PlanExample) -> None:
    """Take an example off a draft. Raises PlanFrozen."""
    with transaction.atomic():
        _draft(example.plan)
        example.delete()


def activate_plan(plan: Plan, *, now: datetime, accept: Collection[str] = ()) -> Plan:
    """Freeze a draft and make it the version that is assigned from now on; the one before becomes deprecated.

    `accept` holds the codes of findings that are meant so, such as `price_drop`. Raises PlanFrozen for a version that
    is not a draft, and PlanNotReady while something is missing, an example fails, or a finding is not accepted.
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
        failed = [each for each in work_examples(plan) if not each.passes]
        if failed:
            sentences = {
                f"examples.{each.example.position}": f"The example “{each.example.name}” fails. {each.problem}"
                for each in failed
            }
            raise PlanNotReady(next(iter(sentences.values())), fields=sentences)
        refuse_findings(plan, accept, now=now)
        for earlier in Plan.objects.select_for_update().filter(code=plan.code, status=PlanStatus.ACTIVE):
            earlier.status = PlanStatus.DEPRECATED
            earlier.save(update_fields=["status"])
        plan.status = PlanStatus.ACTIVE
        plan.activated_at = now
        plan.save(update_fields=["status", "activated_at"])
    return plan


def create_version(plan: Plan) -> Plan:
    """Copy a version with rates and examples to a new draft. Raises PlanFrozen when the plan has a draft already."""
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
            **{name: getattr(plan, name) for name in COPIED},
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
                    tax_category=r.tax_category,
                )
                for r in plan.rates.all()
            ],
        )
        _add_examples(
            copy,
            [
                PlanExample(
                    position=each.position,
                    name=each.name,
                    usage=each.usage,
                    seats=each.seats,
                    expected_amount=each.expected_amount,
                )
                for each in plan.examples.all()
            ],
        )
    return copy


def change_draft(
    plan: Plan,
    *,
    name: str | None = None,
    description: str | None = None,
    rates: Sequence[Mapping[str, object]] | None = None,
    examples: Sequence[Mapping[str, object]] | None = None,
    **terms: Unpack[PlanTermFields],
) -> Plan:
    """Change a draft. What is None or not named stays as it is; `rates` and `examples` replace all.

    Raises PlanFrozen once the plan is active, InvalidRate, InvalidExample or ValidationError.
    """
    rows = None if rates is None else read_rates(rates)
    guards = None if examples is None else read_examples(examples)
    with transaction.atomic():
        plan = _draft(plan)
        plan.name = plan.name if name is None else name
        plan.description = plan.description if description is None else description
        for field, value in terms.items():
            setattr(plan, field, value)
        plan.full_clean()
        plan.save()
        if rows is not None:
            plan.rates.all().delete()
            _add_rates(plan, rows)
        if guards is not None:
            plan.examples.all().delete()
            _add_examples(plan, guards)
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


def _add_examples(plan: Plan, rows: Sequence[PlanExample]) -> None:
    for row in rows:
        row.plan = plan
    PlanExample.objects.bulk_create(rows)
