"""Usage events as a team would write them for itself."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Meter(models.Model):
    code = models.CharField(max_length=200, unique=True)

    def __str__(self) -> str:
        return self.code


class Customer(models.Model):
    code = models.CharField(max_length=200, unique=True)

    def __str__(self) -> str:
        return self.code


class UsageEvent(models.Model):
    key = models.CharField(max_length=255, unique=True)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
    value = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(auto_now_add=True)
    dimensions = models.JSONField(default=dict)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["customer", "meter", "occurred_at"])]

    def __str__(self) -> str:
        return self.key
