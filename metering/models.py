"""HOW MUCH is used: meters, events and the batches they arrived in, workloads."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import RegexValidator
from django.db import models
from simple_history.models import HistoricalRecords

from customers.codes import validate_code
from customers.models import Customer

validate_dimension = RegexValidator(
    r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}$",
    "Dimension names are letters, digits and _ . -, beginning with a letter or _.",
    code="invalid_dimension",
)


class QuantityField(models.DecimalField):  # type: ignore[type-arg]  # not generic at run time
    """An exact decimal of any scale, as PostgreSQL's plain `numeric`: what was sent is what is stored."""

    def db_type(self, connection: Any) -> str:
        return "numeric"


class MeterType(models.TextChoices):
    """How the events of a period become one quantity."""

    COUNT = "count", "Count: adds 1 per event, or the event's value when it has one"
    SUM = "sum", "Sum: adds the values of events"


class MeterStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    DEPRECATED = "deprecated", "Deprecated"


class Meter(models.Model):
    """What is counted, for example "Tickets Resolved"."""

    code = models.CharField(
        max_length=200,
        unique=True,
        validators=[validate_code],
        help_text="The name events use. Made from the label when left empty. It cannot be changed later.",
    )
    label = models.CharField(max_length=200, help_text="The name people read, also on invoices.")
    type = models.CharField(max_length=16, choices=MeterType.choices, default=MeterType.COUNT)
    unit = models.CharField(
        max_length=40,
        blank=True,
        help_text="What one of it is called on invoices, for example “ticket”.",
    )
    dimensions = ArrayField(
        models.CharField(max_length=63, validators=[validate_dimension]),
        default=list,
        blank=True,
        help_text="Properties of events to group or price by, separated by commas: channel, region.",
    )
    description = models.TextField(
        blank=True, help_text="What counts and what does not, for your colleagues."
    )
    status = models.CharField(max_length=16, choices=MeterStatus.choices, default=MeterStatus.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["label"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(code=""), name="meter_code_not_empty"),
            models.CheckConstraint(condition=models.Q(type__in=MeterType.values), name="meter_type_known"),
            models.CheckConstraint(
                condition=models.Q(status__in=MeterStatus.values),
                name="meter_status_known",
            ),
        ]

    def __str__(self) -> str:
        return self.label


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


class EventLedger(models.Model):
    """One row: the position of the last batch. Its row lock puts batches in one order."""

    singleton = models.BooleanField(primary_key=True, default=True)
    last_position = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(singleton=True), name="eventledger_one_row")
        ]

    def __str__(self) -> str:
        return f"position {self.last_position}"


class BatchKind(models.TextChoices):
    RECEIVED = "received", "Received"
    RELEASED = "released", "Released from unmatched"
    CORRECTED = "corrected", "Corrected"


class EventBatch(models.Model):
    """The ledger row of one batch, written in the same transaction as its events.

    `stored` is the number of event rows that carry this batch's id. `position` is given after the commit, in commit
    order as others can see it: every batch up to a position is visible to whoever can see that position.
    """

    id = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=16, choices=BatchKind.choices, default=BatchKind.RECEIVED)
    source = models.CharField(max_length=100)
    received_at = models.DateTimeField()
    stored = models.IntegerField(help_text="Event rows written with this batch's id.")
    accepted = models.IntegerField(default=0)
    duplicates = models.IntegerField(default=0)
    conflicts = models.IntegerField(default=0)
    unmatched = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    first_occurred_at = models.DateTimeField(null=True)
    last_occurred_at = models.DateTimeField(null=True)
    position = models.BigIntegerField(null=True, unique=True)

    class Meta:
        verbose_name_plural = "event batches"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["released", "corrected"])
                | models.Q(stored=models.F("accepted") + models.F("unmatched")),
                name="eventbatch_stored_is_accepted_and_unmatched",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=BatchKind.values),
                name="eventbatch_kind_known",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["received_at"],
                condition=models.Q(position=None),
                name="eventbatch_unplaced",
            ),
            models.Index(fields=["received_at"], name="eventbatch_received"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.received_at:%Y-%m-%d %H:%M:%S}"


class Event(models.Model):
    """Something that happened once. Never changed, never deleted; its primary key is its idempotency key.

    Foreign keys are not checked row by row by the database because nothing they point to can ever be deleted
    (triggers in the first migration); that keeps two index look-ups and a row lock out of every insert.
    `meter` and `customer` are null while the event is unmatched; the codes it was sent with are kept.
    """

    id = models.UUIDField(primary_key=True)
    source = models.CharField(max_length=100)
    key = models.TextField()
    batch_id = models.UUIDField()
    meter = models.ForeignKey(
        Meter,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    customer = models.ForeignKey(
        Customer,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    workload = models.ForeignKey(
        WorkloadName,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    value = QuantityField(null=True, max_digits=38, decimal_places=18)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    subject = models.TextField(null=True)
    dimensions = models.JSONField(null=True)
    meter_code = models.TextField(null=True)
    customer_code = models.TextField(null=True)
    released_batch_id = models.UUIDField(null=True)
    voided_batch_id = models.UUIDField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(meter__isnull=False, customer__isnull=False)
                | models.Q(meter_code__isnull=False, customer_code__isnull=False),
                name="event_matched_or_named",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["customer", "meter", "occurred_at"], name="event_measure"),
            BrinIndex(fields=["received_at"], name="event_received", pages_per_range=32),
            models.Index(
                fields=["received_at"],
                condition=models.Q(meter=None) | models.Q(customer=None),
                name="event_unmatched",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def counted_value(self) -> Decimal:
        """The value as a count meter adds it: 1 when none was sent."""
        return Decimal(1) if self.value is None else self.value


class EventConflict(models.Model):
    """A refused event: its key was used before for other content. Both are kept for staff to compare."""

    event_id = models.UUIDField(db_index=True)
    source = models.CharField(max_length=100)
    key = models.TextField()
    batch_id = models.UUIDField()
    offered = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-received_at", "-id"]

    def __str__(self) -> str:
        return self.key
