"""Plans as JSON: whole versions, drafts, and examples worked out."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from billing.api.fields import (
    ExactDecimalField,
    ExamplesField,
    RatesField,
    validate_billable,
)
from billing.examples import WorkedExample, work_examples
from billing.formatting import amount_text
from billing.models import BillingPeriod, Plan, PlanStatus, TaxCategory
from billing.readiness import plan_findings
from billing.summaries import summary
from billing.unit_costs import current_rates
from customers.api.strictness import StrictSerializer
from customers.codes import code_from_label, validate_code


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
        child=serializers.ChoiceField(choices=["price_drop", "cost_above_price"]),
        required=False,
        max_length=10,
        help_text="Codes of findings that are meant so.",
    )
