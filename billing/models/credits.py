"""Credits that customers hold, and the ledger that only grows. The equations are the database's (triggers).

A grant starts with a balance of 0; each ledger entry moves it, nothing else can, and no entry changes or goes.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from billing.models.invoices import AmountField, Invoice
from billing.models.payments import Payment
from customers.models import Customer


class CreditKind(models.TextChoices):
    PREPAID = "prepaid", "Prepaid"
    PROMOTIONAL = "promotional", "Promotional"
    CARRIED_OVER = "carried_over", "Carried over from an invoice"
    MOVED = "moved", "Moved from a credit balance"


class GrantInterval(models.TextChoices):
    MONTH = "month", "Every month"
    QUARTER = "quarter", "Every three months"
    YEAR = "year", "Every year"


class RecurringGrant(models.Model):
    """A credit granted anew at the beginning of every period, counted from `start_on` in the customer's zone.

    Its terms never change. `next_on` is the first day of the period whose credit is not granted yet.
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="recurring_grants")
    name = models.CharField(max_length=200, help_text="Shown to the customer and on invoices.")
    kind = models.CharField(max_length=16, choices=CreditKind.choices, default=CreditKind.PROMOTIONAL)
    amount = AmountField()
    currency = models.CharField(max_length=3)
    priority = models.PositiveSmallIntegerField(default=50)
    interval = models.CharField("how often", max_length=8, choices=GrantInterval.choices)
    start_on = models.DateField("from", help_text="The first day of the first period.")
    end_on = models.DateField(
        "until before", null=True, blank=True, help_text="No period begins on this day or later."
    )
    zone = models.CharField("time zone", max_length=64)
    expires = models.BooleanField(default=True, help_text="What is left expires at the end of its period.")
    rollover_limit = AmountField(
        null=True, blank=True, help_text="So much of what is left can still be used in the period after."
    )
    next_on = models.DateField(editable=False)
    next_at = models.DateTimeField(editable=False)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["start_on", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=["prepaid", "promotional"]), name="recurringgrant_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(interval__in=GrantInterval.values), name="recurringgrant_interval_known"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="recurringgrant_amount_above_zero"),
            models.CheckConstraint(
                condition=Q(rollover_limit=None) | Q(rollover_limit__gt=0, expires=True),
                name="recurringgrant_rolls_over_at_expiry",
            ),
            models.CheckConstraint(
                condition=Q(end_on=None) | Q(end_on__gt=F("start_on")), name="recurringgrant_ends_after_start"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_at"], condition=Q(stopped_at=None), name="recurringgrant_due")
        ]

    def __str__(self) -> str:
        return self.name


class CreditGrant(models.Model):
    """A credit of one customer in one currency, usable in `[effective_at, expires_at)` until its balance is 0."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="credit_grants")
    currency = models.CharField(max_length=3)
    kind = models.CharField(max_length=16, choices=CreditKind.choices, default=CreditKind.PROMOTIONAL)
    name = models.CharField(max_length=200, help_text="Shown to the customer and on invoices.")
    amount = AmountField()
    balance = AmountField(default=0, editable=False, help_text="The sum of its entries in the ledger.")
    priority = models.PositiveSmallIntegerField(
        default=50, help_text="Low numbers are used first; then what expires soonest; then the oldest."
    )
    effective_at = models.DateTimeField(help_text="From when it can be used.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it does not expire.")
    rollover_limit = AmountField(
        null=True, blank=True, help_text="So much of what is left goes on into a new grant when it expires."
    )
    rollover_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long the new grant lasts. Empty: it does not expire."
    )
    rollover_until = models.DateTimeField(
        null=True, blank=True, help_text="Until when the new grant lasts, where that is a moment."
    )
    recurring = models.ForeignKey(
        RecurringGrant, on_delete=models.PROTECT, null=True, editable=False, related_name="grants"
    )
    recurring_on = models.DateField(
        null=True, editable=False, help_text="The first day of the period that it is for."
    )
    reference = models.CharField(
        max_length=200, blank=True, help_text="For example the payment by which it was bought."
    )
    source_invoice = models.OneToOneField(
        Invoice, on_delete=models.PROTECT, null=True, editable=False, related_name="carried_over"
    )
    source_payment = models.OneToOneField(
        Payment,
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="moved_to",
        help_text="The entry that took it off the invoice.",
    )
    rolled_from = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, editable=False, related_name="rolled_to"
    )
    granted_at = models.DateTimeField()
    granted_by = models.CharField(max_length=200, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    voided_by = models.CharField(max_length=200, blank=True)
    void_reason = models.CharField(max_length=400, blank=True)

    class Meta:
        ordering: ClassVar = ["-granted_at", "-id"]
        permissions: ClassVar = [("void_creditgrant", "Can void credit grant")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=CreditKind.values), name="creditgrant_kind_known"),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[A-Z]{3}$"), name="creditgrant_currency_iso"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="creditgrant_amount_above_zero"),
            models.CheckConstraint(
                condition=Q(balance__gte=0, balance__lte=F("amount")), name="creditgrant_balance_in_range"
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("effective_at")),
                name="creditgrant_expires_after_start",
            ),
            models.CheckConstraint(
                condition=Q(rollover_limit=None, rollover_days=None)
                | (
                    Q(rollover_limit__gt=0, expires_at__isnull=False)
                    & (Q(rollover_days=None) | Q(rollover_days__gte=1))
                ),
                name="creditgrant_rolls_over_at_expiry",
            ),
            models.CheckConstraint(
                condition=Q(voided_at=None, void_reason="")
                | (Q(voided_at__isnull=False, balance=0) & ~Q(void_reason="")),
                name="creditgrant_void_is_empty",
            ),
            models.CheckConstraint(
                condition=Q(kind="carried_over", source_invoice__isnull=False)
                | (~Q(kind="carried_over") & Q(source_invoice=None)),
                name="creditgrant_carried_over_names_invoice",
            ),
            models.CheckConstraint(
                condition=Q(kind="moved", source_payment__isnull=False)
                | (~Q(kind="moved") & Q(source_payment=None)),
                name="creditgrant_moved_names_payment",
            ),
            # However often the worker and the close look, a period has its credit once.
            models.UniqueConstraint(fields=["recurring", "recurring_on"], name="creditgrant_once_per_period"),
            models.CheckConstraint(
                condition=Q(recurring=None, recurring_on=None)
                | Q(recurring__isnull=False, recurring_on__isnull=False),
                name="creditgrant_recurring_names_period",
            ),
            models.CheckConstraint(
                condition=Q(rollover_until=None)
                | Q(rollover_limit__isnull=False, rollover_days=None, rollover_until__gt=F("expires_at")),
                name="creditgrant_rolls_over_until",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["customer", "currency"], condition=Q(balance__gt=0), name="creditgrant_with_balance"
            ),
            models.Index(fields=["expires_at"], condition=Q(balance__gt=0), name="creditgrant_expiring"),
        ]

    def __str__(self) -> str:
        return self.name


class CreditEntryKind(models.TextChoices):
    GRANTED = "granted", "Granted"
    APPLIED = "applied", "Applied to an invoice"
    RETURNED = "returned", "Returned from a void invoice"
    EXPIRED = "expired", "Expired"
    ROLLED_OVER = "rolled_over", "Rolled over into a new grant"
    VOIDED = "voided", "Voided"


class CreditEntry(models.Model):
    """One movement of one grant: above 0 what comes, below 0 what goes. Never changed, never deleted."""

    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="entries")
    kind = models.CharField(max_length=16, choices=CreditEntryKind.choices)
    amount = AmountField()
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_entries"
    )
    at = models.DateTimeField()
    reason = models.CharField(max_length=400, blank=True)
    by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        verbose_name_plural = "credit entries"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=["granted", "returned"], amount__gt=0)
                | Q(kind__in=["applied", "expired", "rolled_over", "voided"], amount__lt=0),
                name="creditentry_signed_by_kind",
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["applied", "returned"], invoice=None), name="creditentry_names_invoice"
            ),
            models.UniqueConstraint(
                fields=["grant"], condition=Q(kind="granted"), name="creditentry_granted_once"
            ),
            models.UniqueConstraint(
                fields=["grant", "invoice", "kind"],
                condition=Q(kind__in=["applied", "returned"]),
                name="creditentry_once_per_invoice",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.amount}"


class CreditAlert(models.Model):
    """Below which balance somebody is told. Told once; again only after the balance was above it."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="credit_alerts")
    currency = models.CharField(max_length=3)
    threshold = AmountField()
    notified_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["currency"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "currency"], name="creditalert_one_per_currency"),
            models.CheckConstraint(condition=Q(threshold__gt=0), name="creditalert_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.customer}: below {self.threshold} {self.currency}"
