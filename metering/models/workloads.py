"""Who works: workloads and the names by which events call them."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from customers.codes import validate_code
from customers.history import HistoricalRecords
from metering.models.meters import Meter

MAX_TAGS = 20


def validate_tags(tags: object) -> None:
    """Refuse tags that are not a list of up to 20 short texts."""
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise ValidationError(f"Tags are a list of at most {MAX_TAGS} words.")
    if not all(isinstance(tag, str) and 0 < len(tag) <= 50 for tag in tags):
        raise ValidationError("Each tag is a text of 1 to 50 characters.")


class Workload(models.Model):
    """An internal system that does work, for example "Support chatbot". It belongs to no customer."""

    code = models.CharField(max_length=200, unique=True, validators=[validate_code])
    name = models.CharField(max_length=200)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="children"
    )
    owner = models.CharField(
        max_length=200, blank=True, help_text="The team or person who answers for what it costs."
    )
    tags = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_tags],
        help_text="Words to find it by, such as production or gpu.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class WorkloadName(models.Model):
    """A workload as events name it. Unassigned until it points to a workload; events keep pointing here."""

    name = models.CharField(max_length=200, unique=True)
    workload = models.ForeignKey(
        Workload, on_delete=models.PROTECT, null=True, blank=True, related_name="names"
    )
    first_seen_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class WorkloadRule(models.Model):
    """Which workload events belong to that name none, or a name that is unassigned. The first rule that fits is used.

    Rules are read when something is costed, so a new one holds for events of the past as well; events never change.
    """

    workload = models.ForeignKey(Workload, on_delete=models.CASCADE, related_name="rules")
    position = models.PositiveIntegerField(
        "order", default=0, help_text="Rules of all workloads are tried in this order."
    )
    meter = models.ForeignKey(
        Meter,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Only events of this meter.",
    )
    dimension = models.CharField(max_length=200, blank=True, help_text="Only events with this dimension,")
    value = models.CharField(max_length=200, blank=True, help_text="which has this value.")
    source = models.CharField(
        max_length=100, blank=True, help_text="Only events that this source sent: the name of its API key."
    )
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["position", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(meter__isnull=False) | ~models.Q(dimension="") | ~models.Q(source=""),
                name="workloadrule_not_empty",
                violation_error_message="Name a meter, a dimension or a source.",
            ),
            models.CheckConstraint(
                condition=~models.Q(dimension="") | models.Q(value=""),
                name="workloadrule_value_of_dimension",
                violation_error_message="Name the dimension that has this value.",
            ),
        ]

    def __str__(self) -> str:
        parts = [
            self.meter.label if self.meter else "",
            f"{self.dimension} = {self.value or '(none)'}" if self.dimension else "",
            f"source {self.source}" if self.source else "",
        ]
        return f"{', '.join(filter(None, parts))}: {self.workload}"
