"""Meters and workloads as JSON."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from customers.api.serializers import CodedSerializer
from metering.incoming import MAX_DIMENSIONS
from metering.models import Meter, MeterStatus, Workload


class MeterSerializer(CodedSerializer):
    code_source = "label"
    unchangeable = frozenset({"code", "type"})
    neutral: ClassVar = {
        "filters": (None, {}, []),
        "rounding": (None, "", "none", {}),
        "once_per_subject": (None, "never"),
        "verification_hours": (None, 0, "0"),
    }
    status = serializers.ChoiceField(
        choices=MeterStatus.choices,
        default=MeterStatus.ACTIVE,
        help_text="A draft counts nothing yet; a deprecated meter takes no new prices.",
    )

    class Meta:
        model = Meter
        fields = [
            "code",
            "label",
            "type",
            "unit",
            "dimensions",
            "description",
            "status",
            "created_at",
        ]
        read_only_fields = ["created_at"]

    def validate_dimensions(self, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise serializers.ValidationError("A dimension is named twice.")
        if len(names) > MAX_DIMENSIONS:
            raise serializers.ValidationError(f"A meter declares {MAX_DIMENSIONS} dimensions at most.")
        return names

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

    class Meta:
        model = Workload
        fields = ["code", "name", "parent", "created_at"]
        read_only_fields = ["created_at"]

    def validate_parent(self, parent: Workload | None) -> Workload | None:
        above = parent
        while above is not None:
            if self.instance is not None and above.pk == self.instance.pk:
                raise serializers.ValidationError("A workload cannot be part of itself.")
            above = above.parent
        return parent
