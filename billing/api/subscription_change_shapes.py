"""Changes of a subscription as they are asked for and answered."""

from __future__ import annotations

from datetime import date
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.api.fields import PlanByCodeField, validate_year
from billing.api.invoice_bodies import preview_body
from billing.api.shapes import InvoiceShape
from billing.changing import When
from billing.formatting import amount_text
from billing.models import AgreementKind, SubscriptionChange
from billing.outlooks import Effect
from customers.api.strictness import StrictSerializer
from metering.api.texts import instant_text

SOON = ("now", "period_end")


@extend_schema_field(
    {"anyOf": [{"type": "string", "enum": list(SOON)}, {"type": "string", "format": "date"}]}
)
class WhenField(serializers.Field[Any, Any, Any, Any]):
    """now, period_end, or a day."""

    def to_internal_value(self, data: Any) -> When:
        if data in SOON:
            return data  # type: ignore[no-any-return]
        try:
            day = date.fromisoformat(data) if isinstance(data, str) and len(data) == 10 else None
        except ValueError:
            day = None
        if day is None:
            raise serializers.ValidationError("Expected now, period_end or a day such as 2026-10-05.")
        validate_year(day)
        return day

    def to_representation(self, value: Any) -> Any:
        return value


class ChangeSerializer(StrictSerializer):
    when = WhenField(
        default="now",
        help_text="now (today in the customer's time zone), period_end, or a day such as 2026-10-05.",
    )
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=400)
    preview = serializers.BooleanField(default=False, help_text="true shows the effect and writes nothing.")


class PlanChangeSerializer(ChangeSerializer):
    plan = PlanByCodeField(help_text="The plan's code; its active version goes on.")


class QuantityChangeSerializer(ChangeSerializer):
    quantity = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="Seats from that day on.")


class PauseSerializer(ChangeSerializer):
    until = serializers.DateField(
        required=False,
        allow_null=True,
        default=None,
        validators=[validate_year],
        help_text="The first day fixed fees are owed again; until it is resumed when left out.",
    )


class ReactivateSerializer(ChangeSerializer):
    plan = PlanByCodeField(
        required=False, allow_null=True, default=None, help_text="Another plan; the same when left out."
    )


class UndoSerializer(StrictSerializer):
    change = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="The id of the change; the last when left out.",
    )
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=400)
    preview = serializers.BooleanField(default=False, help_text="true shows the effect and writes nothing.")


class SubscriptionChangeShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=AgreementKind.choices)
    effective_on = serializers.DateField()
    until = serializers.DateField(allow_null=True)
    quantity = serializers.IntegerField(allow_null=True)
    following = serializers.IntegerField(allow_null=True, help_text="The subscription that goes on.")
    undoes = serializers.IntegerField(allow_null=True)
    made_at = serializers.DateTimeField()
    made_by = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)


class EffectShape(serializers.Serializer[Any]):
    preview = serializers.BooleanField()
    subscription = serializers.IntegerField(help_text="The one that goes on: another after a change of plan.")
    effective_on = serializers.DateField()
    currency = serializers.CharField()
    difference = serializers.CharField(help_text="Of the coming invoices together, after - before.")
    before = InvoiceShape(many=True, help_text="The coming invoices without the change.")
    after = InvoiceShape(many=True, help_text="The coming invoices with it.")


def change_body(change: SubscriptionChange) -> dict[str, Any]:
    return {
        "id": change.pk,
        "kind": change.kind,
        "effective_on": change.effective_on.isoformat(),
        "until": change.until_on.isoformat() if change.until_on else None,
        "quantity": change.quantity,
        "following": change.following_id,
        "undoes": change.undoes_id,
        "made_at": instant_text(change.made_at),
        "made_by": change.made_by,
        "reason": change.reason,
    }


def effect_body(effect: Effect, *, preview: bool) -> dict[str, Any]:
    return {
        "preview": preview,
        "effective_on": effect.effective_on.isoformat(),
        "currency": effect.currency,
        "difference": amount_text(effect.difference, effect.currency),
        "before": [preview_body(draft) for draft in effect.before.drafts],
        "after": [preview_body(draft) for draft in effect.after.drafts],
    }
