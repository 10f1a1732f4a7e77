"""HOW MUCH is used: meters, events and the batches they arrived in, workloads."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.lookups import Exact

from customers.codes import validate_code
from customers.history import HistoricalRecords
from customers.models import Customer
from metering.meter_types import ONLY_ON, REFUSES_NEGATIVE, MeterType, MeterWindow, Rounding

__all__ = ["MeterType"]

# More decimals than an event's value may have would round nothing.
MAX_DIGITS = 18
MAX_TIMEOUT_HOURS = 87_600
# PostgreSQL holds NaN to be greater than every number, so an upper bound refuses it too.
TOO_LARGE = Decimal(10) ** 20

validate_dimension = RegexValidator(
    r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}$",
    "Dimension names are letters, digits and _ . -, beginning with a letter or _.",
    code="invalid_dimension",
)


def validate_filters(filters: object) -> None:
    """Refuse filters that are not dimension names with a list of allowed values each."""
    example = 'Write names with lists of values: {"channel": ["email", "chat"]}.'
    if not isinstance(filters, dict):
        raise ValidationError(f"Filters are an object. {example}", code="invalid_filters")
    for name, values in filters.items():
        validate_dimension(name)
        if not isinstance(values, list) or not values or not all(isinstance(each, str) for each in values):
            raise ValidationError(
                f"The filter on {name} needs a list of at least one text. {example}", code="invalid_filters"
            )


class QuantityField(models.DecimalField):  # type: ignore[type-arg]  # not generic at run time
    """An exact decimal of any scale, as PostgreSQL's plain `numeric`: what was sent is what is stored."""

    def db_type(self, connection: Any) -> str:
        return "numeric"


class MeterStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    DEPRECATED = "deprecated", "Deprecated"


class Meter(models.Model):
    """What is counted, for example "Tickets Resolved".

    `type` and the fields in DEFINITION_FIELDS say how events become a quantity. They stay as they are once
    events or an agreed price depend on them (see metering.defining).
    """

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
    value_dimension = models.CharField(
        max_length=63,
        blank=True,
        validators=[validate_dimension],
        help_text="Unique only: the dimension whose different values are counted; empty counts subjects.",
    )
    percentile = QuantityField(
        max_digits=38,
        decimal_places=18,
        null=True,
        blank=True,
        help_text="Percentile only: 95 gives the value that 95 % of the events do not exceed.",
    )
    window = models.CharField(
        max_length=4,
        choices=MeterWindow.choices,
        blank=True,
        help_text="Maximum only: the peak of each hour or day added up, instead of one for the whole period.",
    )
    timeout_hours = QuantityField(
        max_digits=38,
        decimal_places=18,
        null=True,
        blank=True,
        help_text="Weighted sum only: a level ends when no event comes for so long; empty: it stays.",
    )
    filters = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_filters],
        help_text='Only events with these values count: {"channel": ["email", "chat"]}. Empty: all count.',
    )
    factor = QuantityField(
        max_digits=38,
        decimal_places=18,
        default=Decimal(1),
        help_text="The quantity of a period is multiplied by this: 0.01 makes dollars of cents.",
    )
    divisor = QuantityField(
        max_digits=38,
        decimal_places=18,
        default=Decimal(1),
        help_text="The quantity of a period is divided by this: 3600 makes hours of seconds.",
    )
    rounding_function = models.CharField(
        "rounding",
        max_length=8,
        choices=Rounding.choices,
        blank=True,
        help_text="How the quantity of a period is rounded, once. Empty: it keeps all its digits.",
    )
    rounding_digits = models.SmallIntegerField(
        default=0,
        validators=[MinValueValidator(-MAX_DIGITS), MaxValueValidator(MAX_DIGITS)],
        help_text="Decimals to round to; -2 rounds to hundreds.",
    )
    allow_negative = models.BooleanField(
        "negative values",
        null=True,
        blank=True,
        help_text="Whether events may carry negative values. Unknown: not on a count, else yes.",
    )
    status = models.CharField(max_length=16, choices=MeterStatus.choices, default=MeterStatus.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    # How events become a quantity. An invoice line keeps a copy: see definition().
    DEFINITION_FIELDS: ClassVar = (
        "type",
        "value_dimension",
        "percentile",
        "window",
        "timeout_hours",
        "filters",
        "factor",
        "divisor",
        "rounding_function",
        "rounding_digits",
    )

    class Meta:
        ordering: ClassVar = ["label"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(code=""), name="meter_code_not_empty"),
            models.CheckConstraint(condition=models.Q(type__in=MeterType.values), name="meter_type_known"),
            models.CheckConstraint(
                condition=models.Q(status__in=MeterStatus.values), name="meter_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(value_dimension="") | models.Q(type="unique"),
                name="meter_value_dimension_only_on_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    type="percentile", percentile__isnull=False, percentile__gt=0, percentile__lte=100
                )
                | (~models.Q(type="percentile") & models.Q(percentile=None)),
                name="meter_percentile_exactly_on_percentile",
            ),
            models.CheckConstraint(
                condition=models.Q(window="") | models.Q(type="max", window__in=MeterWindow.values),
                name="meter_window_only_on_max",
            ),
            models.CheckConstraint(
                condition=models.Q(timeout_hours=None)
                | models.Q(type="weighted_sum", timeout_hours__gt=0, timeout_hours__lte=MAX_TIMEOUT_HOURS),
                name="meter_timeout_only_on_weighted_sum",
            ),
            models.CheckConstraint(
                condition=Exact(models.Func("filters", function="jsonb_typeof"), models.Value("object")),
                name="meter_filters_object",
            ),
            models.CheckConstraint(
                condition=models.Q(factor__gt=0, divisor__gt=0, factor__lt=TOO_LARGE, divisor__lt=TOO_LARGE),
                name="meter_conversion_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(rounding_function__in=["", *Rounding.values]), name="meter_rounding_known"
            ),
            models.CheckConstraint(
                condition=models.Q(rounding_digits__range=(-MAX_DIGITS, MAX_DIGITS)),
                name="meter_rounding_digits_bounded",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    def clean(self) -> None:
        """Refuse a setting that the meter\'s type has no use for, and a change to a definition in use."""
        problems = {
            name: sentence
            for name, (type_, sentence) in ONLY_ON.items()
            if getattr(self, name) not in (None, "") and self.type != type_
        }
        if self.type == MeterType.PERCENTILE and not (self.percentile and 0 < self.percentile <= 100):
            problems["percentile"] = "Give the percentile: more than 0 and at most 100, for example 95."
        for name, bound in (
            ("timeout_hours", MAX_TIMEOUT_HOURS),
            ("factor", TOO_LARGE),
            ("divisor", TOO_LARGE),
        ):
            number = getattr(self, name)
            if number is not None and not 0 < number < bound:
                problems.setdefault(name, f"Give a number above 0 and below {bound}.")
        if problems:
            raise ValidationError(problems)
        if self.pk is not None:
            from metering.defining import check_changes

            check_changes(self)

    @property
    def refuses_negative(self) -> bool:
        if self.allow_negative is None:
            return self.type in REFUSES_NEGATIVE
        return not self.allow_negative

    def definition(self) -> dict[str, object]:
        """Give everything that turns events into a quantity, as JSON: what an invoice line keeps."""
        return {
            "code": self.code,
            "label": self.label,
            "unit": self.unit,
            "dimensions": list(self.dimensions),
            **{name: _as_json(getattr(self, name)) for name in self.DEFINITION_FIELDS},
        }

    @classmethod
    def from_definition(cls, pk: int, definition: Mapping[str, Any]) -> Meter:
        """Give the meter as a definition says it was, to measure again by it. It is not to be saved."""
        fields = dict(definition)
        for name in ("percentile", "timeout_hours", "factor", "divisor"):
            if fields[name] is not None:
                fields[name] = Decimal(fields[name])
        return cls(pk=pk, **fields)


def _as_json(setting: Any) -> object:
    return f"{setting:f}" if isinstance(setting, Decimal) else setting


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

    `stored` is the number of event rows that carry this batch's id: as the batch that stored, released or voided
    them. `position` is given after the commit, in commit order as others can see it: every batch up to a position
    is visible to whoever can see that position.
    """

    id = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=16, choices=BatchKind.choices, default=BatchKind.RECEIVED)
    source = models.CharField(max_length=100)
    received_at = models.DateTimeField()
    stored = models.IntegerField(help_text="Event rows written with this batch's id.")
    pruned = models.IntegerField(
        db_default=0, help_text="Rows of these that were archived and deleted since."
    )
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
            # Holds what counts and sums need, so that they never look at the rows themselves: docs/storage.md.
            models.Index(
                fields=["customer", "meter", "occurred_at"],
                include=["value", "voided_batch_id"],
                name="event_measured",
            ),
            BrinIndex(fields=["received_at"], name="event_received", pages_per_range=32),
            models.Index(
                fields=["received_at"],
                condition=models.Q(meter=None) | models.Q(customer=None),
                name="event_unmatched",
            ),
            models.Index(
                fields=["released_batch_id"],
                condition=models.Q(released_batch_id__isnull=False),
                name="event_released",
            ),
            models.Index(
                fields=["voided_batch_id"],
                condition=models.Q(voided_batch_id__isnull=False),
                name="event_voided",
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


class Rollup(models.Model):
    """One row: the ledger position up to which UsageByDay counts. Its row lock lets one folder work at a time."""

    singleton = models.BooleanField(primary_key=True, default=True)
    folded_position = models.BigIntegerField(default=0)

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


class CorrectionKind(models.TextChoices):
    VOID = "void", "Voided"
    AMEND = "amend", "Amended"


class EventCorrection(models.Model):
    """Why a stored event does not count any more, and by which event it was replaced. Written once, never changed.

    Events are referred to by value: nothing points into the table of events.
    """

    event_id = models.UUIDField(unique=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=8, choices=CorrectionKind.choices)
    replacement_id = models.UUIDField(null=True, unique=True)
    reason = models.TextField()
    by = models.CharField(max_length=255, help_text="The person or the API key.")
    at = models.DateTimeField()
    batch_id = models.UUIDField()

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind="void", replacement_id=None)
                | models.Q(kind="amend", replacement_id__isnull=False),
                name="eventcorrection_replaced_when_amended",
            ),
            models.CheckConstraint(condition=~models.Q(reason=""), name="eventcorrection_has_reason"),
            models.CheckConstraint(condition=~models.Q(by=""), name="eventcorrection_has_author"),
        ]
        indexes: ClassVar = [models.Index(fields=["-at"], name="eventcorrection_at")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.at:%Y-%m-%d %H:%M}: {self.reason}"


class EventArchive(models.Model):
    """A file to which old events were archived before they were deleted."""

    before = models.DateTimeField(help_text="Events that happened before this were archived.")
    events = models.BigIntegerField()
    file = models.TextField()
    sha256 = models.CharField("SHA-256", max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.events} events before {self.before:%Y-%m-%d}"
