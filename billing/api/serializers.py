"""Plans and subscriptions as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.agreements import agreement_of
from billing.api.rate_schema import DECIMAL, OVERRIDES_SCHEMA, RATE_SCHEMA
from billing.examples import MAX_EXAMPLES, WorkedExample, work_examples, written_example
from billing.formatting import amount_text
from billing.models import AnchorRule, BillingPeriod, Plan, PlanStatus, Rate, Subscription, TaxCategory
from billing.overriding import override_differences, written_overrides
from billing.rating import currency_digits
from billing.rating.decimals import exact_decimal
from billing.rating.errors import UnknownCurrency
from billing.readiness import plan_findings
from billing.summaries import summary
from billing.unit_costs import current_rates
from customers.api.strictness import StrictSerializer
from customers.codes import code_from_label, validate_code
from customers.models import Customer
from metering.periods import local_day

MAX_RATES = 200
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)


@extend_schema_field(DECIMAL)
class ExactDecimalField(serializers.Field[Any, Any, Any, Any]):
    """A decimal as exact as it was sent."""

    def to_internal_value(self, data: Any) -> Decimal:
        try:
            return exact_decimal(data)
        except ValueError as refused:
            raise serializers.ValidationError(str(refused)) from refused

    def to_representation(self, value: Decimal) -> str:
        return f"{value:f}"


@extend_schema_field(OpenApiTypes.OBJECT)
class ObjectField(serializers.Field[Any, Mapping[str, Any], Any, Any]):
    """An object that the services read themselves, naming what is wrong by path."""

    def to_internal_value(self, data: Any) -> Mapping[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("Send an object with fields.")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class ExamplesField(serializers.ListField):
    child = ObjectField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_EXAMPLES, **kwargs)

    def to_representation(self, data: Any) -> list[Any]:
        return [written_example(example) for example in data.all()]


@extend_schema_field(RATE_SCHEMA)
class RateField(serializers.Field[Any, Mapping[str, Any], dict[str, Any], Any]):
    """A rate as docs/api.md describes it; `billing.pricing` reads it and names what is wrong by path."""

    def to_internal_value(self, data: Any) -> Mapping[str, Any]:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError("A rate is an object.")
        return data

    def to_representation(self, value: Rate) -> dict[str, Any]:
        named = {"label": value.label, "tax_category": value.tax_category}
        return {**value.terms, **{name: text for name, text in named.items() if text}}


class RatesField(serializers.ListField):
    child = RateField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_RATES, **kwargs)

    def to_representation(self, data: Any) -> list[Any]:
        return [self.child.to_representation(rate) for rate in data.all()]


def validate_billable(currency: str) -> None:
    """Refuse a currency whose minor unit is not known."""
    try:
        currency_digits(currency)
    except UnknownCurrency as refused:
        raise serializers.ValidationError(refused.message) from refused


def validate_year(day: date) -> None:
    """Refuse days so far away that periods around them have no dates."""
    if not EARLIEST <= day < LATEST:
        raise serializers.ValidationError(f"Choose a day from {EARLIEST} to before {LATEST}.")


def validate_instant(instant: datetime) -> None:
    """Refuse instants as far away as days that are refused."""
    validate_year(instant.date())


class PlanSerializer(StrictSerializer):
    """One version of a plan. Code, version and status are not changed by writing them."""

    code = serializers.CharField(
        required=False,
        max_length=200,
        validators=[validate_code],
        help_text="Made from the name when left out.",
    )
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, default="", max_length=10_000)
    currency = serializers.CharField(default="USD", validators=[validate_billable])
    billing_period = serializers.ChoiceField(choices=BillingPeriod.choices, default=BillingPeriod.MONTHLY)
    usage_period = serializers.ChoiceField(
        choices=BillingPeriod.choices,
        required=False,
        allow_blank=True,
        help_text="How often usage is invoiced, when more often than the plan renews; empty: together with the fees.",
    )
    minimum_amount = ExactDecimalField(
        required=False, allow_null=True, help_text="What usage and fees of an invoice come to at least."
    )
    included_spend = ExactDecimalField(
        required=False, allow_null=True, help_text="So much usage of each invoice is included."
    )
    service_fee_percent = ExactDecimalField(
        required=False, allow_null=True, help_text="Percent of everything else on the invoice."
    )
    custom_unit = serializers.CharField(
        required=False, allow_blank=True, max_length=40, help_text="Usage is priced in it: credit."
    )
    custom_unit_value = ExactDecimalField(
        required=False, allow_null=True, help_text="What one custom unit costs in the currency."
    )
    tax_category = serializers.ChoiceField(
        choices=TaxCategory.choices, required=False, help_text="What its prices are for, as tax law sees it."
    )
    dispute_days = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=3650,
        help_text="So many days after the invoice outcomes may be disputed; 0: not offered.",
    )
    dispute_reason_required = serializers.BooleanField(
        required=False, help_text="Whether a dispute needs a reason."
    )
    rates = RatesField(default=list, help_text="In the order of the lines on the invoice.")
    examples = ExamplesField(
        default=list,
        help_text="Usages with the amounts they must come to: name, usage [{meter, quantity, dimensions}], "
        "quantity (seats), expected_amount. The plan is not activated while one fails.",
    )
    worked_examples = serializers.SerializerMethodField()
    findings = serializers.SerializerMethodField()
    summary = serializers.SerializerMethodField()
    version = serializers.IntegerField(read_only=True)
    status = serializers.ChoiceField(choices=PlanStatus.choices, read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    activated_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "code" not in attrs and not self.partial:
            attrs["code"] = code_from_label(attrs["name"])
            if not attrs["code"]:
                message = "No code can be made from this name. Send a code of letters and digits."
                raise serializers.ValidationError({"code": [message]})
        return attrs

    def get_worked_examples(self, plan: Plan) -> list[dict[str, Any]]:
        return [worked_body(each, plan.currency) for each in work_examples(plan)]

    def get_findings(self, plan: Plan) -> list[dict[str, Any]]:
        now = timezone.now()
        context: Any = self.context
        if "cost_rates" not in context:  # the same for all plans of an answer
            context["cost_rates"] = current_rates(now)
        return [
            {
                "code": each.finding.code,
                "path": f"rates.{each.position}.{each.finding.path}".rstrip("."),
                "message": each.message,
                "blocks": each.finding.blocks,
            }
            for each in plan_findings(plan, now=now, cost_rates=context["cost_rates"])
        ]

    def get_summary(self, plan: Plan) -> list[str]:
        """What the plan costs, in plain sentences."""
        return summary(plan)


def worked_body(worked: WorkedExample, currency: str) -> dict[str, Any]:
    """Give an example with the invoice it comes to."""
    return {
        "name": worked.example.name,
        "expected_amount": f"{worked.example.expected_amount:f}",
        "amount": None if worked.amount is None else amount_text(worked.amount, currency),
        "passes": worked.passes,
        "problem": worked.problem,
        "lines": [
            {
                "description": line.description,
                "quantity": f"{line.quantity:f}",
                "amount": amount_text(line.amount, currency),
                "working": [step.as_json() for step in line.working],
            }
            for line in worked.lines
        ],
    }


class DraftSerializer(StrictSerializer):
    """What may be changed on a draft, and on the new draft that `versions/` makes."""

    name = serializers.CharField(required=False, max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    rates = RatesField(required=False, help_text="Replaces all rates.")
    examples = ExamplesField(required=False, help_text="Replaces all examples.")
    usage_period = serializers.ChoiceField(choices=BillingPeriod.choices, required=False, allow_blank=True)
    minimum_amount = ExactDecimalField(required=False, allow_null=True)
    included_spend = ExactDecimalField(required=False, allow_null=True)
    service_fee_percent = ExactDecimalField(required=False, allow_null=True)
    custom_unit = serializers.CharField(required=False, allow_blank=True, max_length=40)
    custom_unit_value = ExactDecimalField(required=False, allow_null=True)
    tax_category = serializers.ChoiceField(choices=TaxCategory.choices, required=False)
    dispute_days = serializers.IntegerField(required=False, min_value=0, max_value=3650)
    dispute_reason_required = serializers.BooleanField(required=False)


class ActivateSerializer(StrictSerializer):
    accept = serializers.ListField(
        child=serializers.ChoiceField(choices=["price_drop"]),
        required=False,
        max_length=10,
        help_text="Codes of findings that are meant so.",
    )


class PlanByCodeField(serializers.CharField):
    """The active version of a plan, by its code."""

    def to_internal_value(self, data: Any) -> Plan:  # type: ignore[override]
        code = super().to_internal_value(data)
        versions = {plan.status: plan for plan in Plan.objects.filter(code=code).order_by("version")}
        if not versions:
            raise serializers.ValidationError(f"There is no plan “{code}”.")
        return versions.get(PlanStatus.ACTIVE) or next(iter(versions.values()))

    def to_representation(self, value: Plan) -> str:  # type: ignore[override]
        return value.code


@extend_schema_field(OVERRIDES_SCHEMA)
class OverridesField(serializers.Field[Any, Any, Any, Any]):
    """A list of overrides; null and an empty object are none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="*", **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if data in (None, {}):
            return {"overrides": []}
        if not isinstance(data, list) or not all(isinstance(each, Mapping) for each in data):
            raise serializers.ValidationError("Send a list of objects with rate and terms.")
        if len(data) > MAX_RATES:
            raise serializers.ValidationError(f"Send {MAX_RATES} overrides at most.")
        return {"overrides": data}

    def to_representation(self, value: Subscription) -> list[dict[str, object]]:
        return written_overrides(value) if value.overrides else []


class SubscriptionSerializer(StrictSerializer):
    unchangeable = frozenset(
        {"customer", "plan", "start_on", "anchor", "quantity", "overrides", "trial_usage_free"}
    )

    id = serializers.IntegerField(read_only=True)
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    plan = PlanByCodeField(help_text="The plan's code; its active version is assigned.")
    plan_version = serializers.IntegerField(source="plan.version", read_only=True)
    start_on = serializers.DateField(
        validators=[validate_year], help_text="First day that is billed, in the customer's time zone."
    )
    end_on = serializers.DateField(
        required=False,
        allow_null=True,
        validators=[validate_year],
        help_text="First day that is no longer billed; null while the plan goes on.",
    )
    anchor = serializers.ChoiceField(choices=AnchorRule.choices, default=AnchorRule.CALENDAR)
    quantity = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        default=1,
        help_text="Seats; as read, those of today.",
    )
    trial_days = serializers.IntegerField(
        required=False,
        write_only=True,
        min_value=0,
        max_value=3650,
        default=0,
        help_text="Days at the start without fixed fees.",
    )
    trial_usage_free = serializers.BooleanField(
        required=False, default=False, help_text="Usage is free during the trial too."
    )
    trial_end_on = serializers.DateField(
        read_only=True, allow_null=True, help_text="The first day after the trial."
    )
    continues = serializers.IntegerField(
        source="moved_from_id", read_only=True, allow_null=True, help_text="The subscription it goes on from."
    )
    overrides = OverridesField(
        required=False,
        allow_null=True,
        help_text="Rates agreed with this customer in place of the plan's: [{rate, terms}], where `rate` is the "
        "place of the rate in the plan, from 0, and `terms` the whole rate.",
    )
    differences = serializers.SerializerMethodField()
    timezone = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)

    class Meta:
        model = Subscription

    def to_representation(self, subscription: Subscription) -> Any:
        body = super().to_representation(subscription)
        today = local_day(timezone.now(), subscription.timezone)
        agreement = agreement_of(subscription, subscription.changes.all())
        return body | {"quantity": agreement.seats_on(max(today, subscription.start_on))}

    def get_differences(self, subscription: Subscription) -> list[dict[str, Any]]:
        """What this customer pays differently from the plan, in plain words."""
        return [
            {"rate": each.position, "name": each.name, "plan": each.in_plan, "agreed": each.agreed}
            for each in (override_differences(subscription) if subscription.overrides else [])
        ]
