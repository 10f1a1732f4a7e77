"""Meters and workloads as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from customers.api.serializers import CodedSerializer
from metering.api.fields import FiltersField, QuantityTextField, RoundingField
from metering.defining import change_meter, create_meter
from metering.incoming import MAX_DIMENSIONS
from metering.models import Meter, MeterStatus, Workload, validate_filters
from metering.models.workloads import MAX_TAGS


def help_of(name: str) -> str:
    """Give the sentence that the model has for a field."""
    return str(Meter._meta.get_field(name).help_text)  # type: ignore[union-attr]


class MeterSerializer(CodedSerializer):
    """A meter with its whole definition; metering.defining says what may change and when."""

    code_source = "label"
    status = serializers.ChoiceField(
        choices=MeterStatus.choices,
        default=MeterStatus.ACTIVE,
        help_text="A draft counts nothing yet; a deprecated meter takes no new prices.",
    )
    percentile = QuantityTextField(required=False, allow_null=True, help_text=help_of("percentile"))
    timeout_hours = QuantityTextField(required=False, allow_null=True, help_text=help_of("timeout_hours"))
    verification_hours = QuantityTextField(
        required=False, allow_null=True, help_text=help_of("verification_hours")
    )
    evidence_meter: Any = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Meter.objects.all(),
        required=False,
        allow_null=True,
        help_text=help_of("evidence_meter"),
    )
    attempts_meter: Any = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Meter.objects.all(),
        required=False,
        allow_null=True,
        help_text=help_of("attempts_meter"),
    )
    filters = FiltersField(required=False, validators=[validate_filters], help_text=help_of("filters"))
    factor = QuantityTextField(required=False, help_text=help_of("factor"))
    divisor = QuantityTextField(required=False, help_text=help_of("divisor"))
    rounding = RoundingField(help_text=help_of("rounding_function"))

    class Meta:
        model = Meter
        fields = [
            "code",
            "label",
            "type",
            "unit",
            "dimensions",
            "description",
            "value_dimension",
            "percentile",
            "window",
            "timeout_hours",
            "filters",
            "factor",
            "divisor",
            "rounding",
            "once_per_subject",
            "verification_hours",
            "evidence_meter",
            "attempts_meter",
            "allow_negative",
            "status",
            "created_at",
        ]
        read_only_fields = ["created_at"]

    def create(self, validated_data: dict[str, Any]) -> Meter:
        return create_meter(now=timezone.now(), **validated_data)

    def update(self, instance: Meter, validated_data: dict[str, Any]) -> Meter:
        return change_meter(instance, now=timezone.now(), **validated_data)

    def validate_dimensions(self, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise serializers.ValidationError("A dimension is named twice.")
        if len(names) > MAX_DIMENSIONS:
            raise serializers.ValidationError(f"A meter declares {MAX_DIMENSIONS} dimensions at most.")
        return names

    def validate_verification_hours(self, hours: Decimal | None) -> Decimal | None:
        return hours or None  # no window and a window of no time are the same

    def validate_status(self, status: str) -> str:
        if self.instance is not None and status == MeterStatus.DRAFT != self.instance.status:
            raise serializers.ValidationError("A meter that counted cannot become a draft again.")
        return status


class WorkloadSerializer(CodedSerializer):
    parent: Any = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Workload.objects.all(),
        required=False,
        allow_null=True,
        help_text="The code of the workload it is part of.",
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50),
        required=False,
        max_length=MAX_TAGS,
        help_text="Words to find it by, such as production or gpu.",
    )

    class Meta:
        model = Workload
        fields = ["code", "name", "parent", "owner", "tags", "created_at"]
        read_only_fields = ["created_at"]

    def validate_parent(self, parent: Workload | None) -> Workload | None:
        above = parent
        while above is not None:
            if self.instance is not None and above.pk == self.instance.pk:
                raise serializers.ValidationError("A workload cannot be part of itself.")
            above = above.parent
        return parent
