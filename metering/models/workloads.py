"""Who works: workloads and the names by which events call them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from customers.codes import validate_code
from customers.history import HistoricalRecords


class Workload(models.Model):
    """An internal system that does work, for example "Support chatbot". It belongs to no customer."""

    code = models.CharField(max_length=200, unique=True, validators=[validate_code])
    name = models.CharField(max_length=200)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="children"
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
