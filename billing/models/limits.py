"""How much of a meter a customer may use in a billing period, and what is reserved of it for work in progress."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from customers.history import HistoricalRecords
from customers.models import Customer
from metering.models import Meter, QuantityField


class LimitKind(models.TextChoices):
    """What happens at the limit. Events are always taken and billed: a limit answers, it drops nothing."""

    HARD = "hard", "Hard: no more is allowed"
    SOFT = "soft", "Soft: still allowed, but shown"


class UsageLimit(models.Model):
    """The most a customer may use of a meter in one billing period, in units of the meter."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="usage_limits")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    quantity = QuantityField(
        "limit", max_digits=38, decimal_places=18, help_text="Units of the meter in one billing period."
    )
    kind = models.CharField(max_length=8, choices=LimitKind.choices, default=LimitKind.HARD)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["customer", "meter"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "meter"], name="usagelimit_one_per_meter"),
            models.CheckConstraint(condition=models.Q(quantity__gte=0), name="usagelimit_not_negative"),
            models.CheckConstraint(
                condition=models.Q(kind__in=LimitKind.values), name="usagelimit_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter} for {self.customer}"


class ReservationState(models.TextChoices):
    HELD = "held", "Held"
    SETTLED = "settled", "Settled: its usage was sent"
    RELEASED = "released", "Released: nothing was used"


class Reservation(models.Model):
    """Part of a limit that is set aside until the work is done. Its key counts once for a customer and meter."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=255)
    quantity = QuantityField(max_digits=38, decimal_places=18)
    state = models.CharField(max_length=8, choices=ReservationState.choices, default=ReservationState.HELD)
    period_start = models.DateTimeField(help_text="The first instant of the billing period it was made in.")
    made_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "meter", "key"], name="reservation_key_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="reservation_positive"),
            models.CheckConstraint(
                condition=models.Q(state__in=ReservationState.values), name="reservation_state_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["customer", "meter", "period_start"],
                condition=models.Q(state="held"),
                name="reservation_held",
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.meter} for {self.customer}"
