"""Subscriptions as JSON."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from billing.agreements import agreement_of
from billing.api.fields import (
    OverridesField,
    PlanByCodeField,
    validate_year,
)
from billing.models import AnchorRule, Subscription
from billing.overriding import override_differences
from customers.api.strictness import StrictSerializer
from customers.models import Customer
from metering.periods import local_day


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
