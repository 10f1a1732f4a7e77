"""How much of a meter a customer may use in a billing period, and what is reserved of it for work in progress."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from customers.history import HistoricalRecords
from customers.models import Customer
from metering.models import Meter, QuantityField


class LimitKind(models.TextChoices):
    """What happens at the limit. Events are always taken and billed: a limit answers, it drops nothing."""

    HARD = "hard", "Hard: no more is allowed"
    SOFT = "soft", "Soft: still allowed, but shown"


class LimitSetter(models.TextChoices):
    """Who set a limit. A customer's own comes on top of what staff set, so it can only make things tighter."""

    STAFF = "staff", "Us"
    CUSTOMER = "customer", "The customer"


def usual_reminders() -> list[int]:
    return [50, 80, 100]


class UsageLimit(models.Model):
    """The most a customer may use of a meter in one billing period: units of the meter, or money for them.

    Money is what the period's usage lines of the meter come to, before coupons and tax, in the currency of the plan.
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="usage_limits")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    quantity = QuantityField(
        "in units", max_digits=38, decimal_places=18, null=True, blank=True,
        help_text="Units of the meter in one billing period.",
    )  # fmt: skip
    amount = models.DecimalField(
        "in money", max_digits=20, decimal_places=4, null=True, blank=True,
        help_text="Or what they may cost in one billing period, in the customer's currency, before coupons and tax.",
    )  # fmt: skip
    kind = models.CharField("at the limit", max_length=8, choices=LimitKind.choices, default=LimitKind.HARD)
    set_by = models.CharField(
        max_length=8, choices=LimitSetter.choices, default=LimitSetter.STAFF, editable=False
    )
    remind_at = ArrayField(
        models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(1000)]),
        default=usual_reminders,
        blank=True,
        verbose_name="remind at percent",
        help_text="Mail, webhook and a note in the portal, each once per billing period: 50, 80, 100. Empty: never.",
    )
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["customer", "meter", "-set_by"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["customer", "meter", "set_by"],
                name="usagelimit_one_per_meter",
                violation_error_message="There is a limit for this customer and meter already. Change that one.",
            ),
            models.CheckConstraint(
                condition=models.Q(quantity__isnull=False, amount__isnull=True)
                | models.Q(quantity__isnull=True, amount__isnull=False),
                name="usagelimit_units_or_money",
                violation_error_message="Give the limit in units or in money, one of the two.",
            ),
            models.CheckConstraint(
                condition=(models.Q(quantity=None) | models.Q(quantity__gte=0))
                & (models.Q(amount=None) | models.Q(amount__gte=0)),
                name="usagelimit_not_negative",
                violation_error_message="A limit is 0 or more.",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=LimitKind.values), name="usagelimit_kind_known"
            ),
            models.CheckConstraint(
                condition=models.Q(set_by__in=LimitSetter.values), name="usagelimit_setter_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter} for {self.customer}"

    @property
    def is_money(self) -> bool:
        return self.amount is not None

    @property
    def most(self) -> Decimal:
        """The limit, in units or in money."""
        most = self.quantity if self.amount is None else self.amount
        assert most is not None  # held by usagelimit_units_or_money
        return most


class LimitReminder(models.Model):
    """A part of a limit that was reached in a billing period. Each once, however often it is looked at."""

    limit = models.ForeignKey(UsageLimit, on_delete=models.CASCADE, related_name="reminders")
    period_start = models.DateTimeField()
    percent = models.PositiveSmallIntegerField()
    used = models.DecimalField(max_digits=38, decimal_places=18)
    reached_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-reached_at", "-percent"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["limit", "period_start", "percent"], name="limitreminder_once_per_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.percent} % of {self.limit}"


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
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(
        null=True, help_text="From when on it is no longer counted. Null: from the end of its billing period."
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(expires_at=None) | models.Q(expires_at__gt=models.F("made_at")),
                name="reservation_expires_later",
            ),
            models.UniqueConstraint(fields=["customer", "meter", "key"], name="reservation_key_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="reservation_positive"),
            models.CheckConstraint(
                condition=models.Q(state__in=ReservationState.values), name="reservation_state_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["customer", "meter", "made_at"],
                condition=models.Q(state="held"),
                name="reservation_held",
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.meter} for {self.customer}"
