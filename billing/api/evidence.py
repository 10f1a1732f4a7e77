"""How the API describes the evidence of an invoice."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from metering.outcomes import OutcomeState


class EvidenceOutcomeShape(serializers.Serializer[Any]):
    """One outcome. Prices are null where volume tiers, packages, a minimum or a maximum price the line as a whole."""

    change = serializers.ChoiceField(choices=["counted", "added", "taken_back"])
    key = serializers.CharField()
    subject = serializers.CharField(allow_null=True)
    kind = serializers.CharField(allow_null=True)
    occurred_at = serializers.DateTimeField()
    settles_at = serializers.DateTimeField(allow_null=True)
    quantity = serializers.CharField(allow_null=True)
    unit_amount = serializers.CharField(allow_null=True)
    amount = serializers.CharField(allow_null=True)
    priced_as = serializers.CharField(
        allow_blank=True, help_text="Which of several prices it has: dimensions, tier, included."
    )
    state = serializers.ChoiceField(
        choices=[*(state.value for state in OutcomeState), "reverses", "confirms", "voided"], allow_null=True
    )
    reason = serializers.CharField(allow_blank=True)


class EvidenceLineShape(serializers.Serializer[Any]):
    """A line: its outcomes, what they add up to, and how that leads to the line."""

    n = serializers.IntegerField()
    description = serializers.CharField()
    meter = serializers.CharField(allow_null=True)
    outcomes = EvidenceOutcomeShape(many=True)
    quantity = serializers.CharField()
    unit_amount = serializers.CharField(allow_null=True)
    amount = serializers.CharField()
    working = serializers.ListField(child=serializers.DictField())
    outcomes_quantity = serializers.CharField()
    outcomes_amount = serializers.CharField(allow_null=True)
    explanation = serializers.CharField()


class EvidenceShape(serializers.Serializer[Any]):
    invoice = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    lines = EvidenceLineShape(many=True)
