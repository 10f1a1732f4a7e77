"""Usage added up by day, for charts."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from customers.models import Customer
from metering.models.fields import QuantityField
from metering.models.meters import Meter


class Rollup(models.Model):
    """One row: the ledger positions up to which UsageByDay counts and outcomes are settled ahead.

    Its row lock lets one folder work at a time.
    """

    singleton = models.BooleanField(primary_key=True, default=True)
    folded_position = models.BigIntegerField(default=0)
    settled_position = models.BigIntegerField(db_default=0, default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(singleton=True), name="rollup_one_row")
        ]

    def __str__(self) -> str:
        return f"folded up to position {self.folded_position}"


class RollupZone(models.Model):
    """The time zone in which a customer's days were first cut in UsageByDay. Rows of two zones would overlap."""

    customer = models.OneToOneField(
        Customer, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+"
    )
    zone = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.zone


class UsageByDay(models.Model):
    """What a customer's events of an additive meter add up to in `[starts_at, ends_at)`: see metering.rollup.

    Days are cut at midnight in UTC and in the customer's time zone (RollupZone), so both kinds of day are sums
    of whole rows.
    For charts and dashboards; an invoice never reads it.
    """

    pk = models.CompositePrimaryKey("meter", "starts_at", "customer", "ends_at")
    meter = models.ForeignKey(
        Meter, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    starts_at = models.DateTimeField()
    customer = models.ForeignKey(
        Customer, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    ends_at = models.DateTimeField()
    amount = QuantityField(max_digits=38, decimal_places=18)
    events = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "usage by day"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="usagebyday_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.events} events from {self.starts_at:%Y-%m-%d %H:%M}"
