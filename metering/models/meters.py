"""What is counted: meters and their definition."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from customers.codes import validate_code
from customers.history import HistoricalRecords
from metering.meter_types import ONLY_ON, REFUSES_NEGATIVE, MeterType, MeterWindow, OncePerSubject, Rounding
from metering.models.fields import QuantityField
from metering.models.meter_rules import (
    MAX_DIGITS,
    MAX_TIMEOUT_HOURS,
    METER_CONSTRAINTS,
    TOO_LARGE,
    MeterStatus,
    validate_dimension,
    validate_filters,
)


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
    once_per_subject = models.CharField(
        max_length=8,
        choices=OncePerSubject.choices,
        default=OncePerSubject.NEVER,
        help_text="Count only. A ticket that is resolved again counts once; events must name their subject.",
    )
    verification_hours = QuantityField(
        max_digits=38,
        decimal_places=18,
        null=True,
        blank=True,
        help_text="Count only. An outcome counts so many hours after it happened, unless it was reversed before; "
        "it belongs to the period in which it settles.",
    )
    evidence_meter = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Count only. An outcome counts only when an event of this meter exists for the same subject, no "
        "later than it settles.",
    )
    attempts_meter = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Outcomes only. Each event of this meter is an attempt, such as a conversation begun: the resolution "
        "rate is what settled of them. Empty: each outcome is one. It changes no quantity and no invoice.",
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
        "once_per_subject",
        "verification_hours",
        "evidence_meter_id",
    )

    class Meta:
        ordering: ClassVar = ["label"]
        constraints: ClassVar = METER_CONSTRAINTS

    def __str__(self) -> str:
        return self.label

    def clean(self) -> None:
        """Refuse a setting that the meter's type has no use for, and a change to a definition in use."""
        problems = {
            name: sentence
            for name, (type_, sentence) in ONLY_ON.items()
            if getattr(self, name) not in (None, "") and self.type != type_
        }
        if self.type == MeterType.PERCENTILE and not (self.percentile and 0 < self.percentile <= 100):
            problems["percentile"] = "Give the percentile: more than 0 and at most 100, for example 95."
        if self.is_outcome and self.type != MeterType.COUNT:
            for name in ("once_per_subject", "verification_hours", "evidence_meter"):
                if getattr(self, name) not in (None, OncePerSubject.NEVER):
                    problems[name] = "Only a count meter counts outcomes. Leave this empty."
        if self.evidence_meter_id is not None and self.evidence_meter_id == self.pk:
            problems["evidence_meter"] = (
                "A meter is no evidence for itself. Choose the meter of the activity."
            )
        if self.attempts_meter_id is not None and not self.is_outcome:
            problems["attempts_meter"] = (
                "Only an outcome meter has attempts. Leave this empty, or say what counts as a result."
            )
        elif self.attempts_meter_id is not None and self.attempts_meter_id == self.pk:
            problems["attempts_meter"] = "Leave this empty where each outcome is an attempt."
        for name, bound in (
            ("timeout_hours", MAX_TIMEOUT_HOURS),
            ("verification_hours", MAX_TIMEOUT_HOURS),
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
    def is_outcome(self) -> bool:
        """Whether events are outcomes, which may be repeated, unproven, or reversed, and then do not count."""
        return (
            self.once_per_subject != OncePerSubject.NEVER
            or self.verification_hours is not None
            or self.evidence_meter_id is not None
        )

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
        for name in ("percentile", "timeout_hours", "factor", "divisor", "verification_hours"):
            if fields[name] is not None:
                fields[name] = Decimal(fields[name])
        return cls(pk=pk, **fields)


def _as_json(setting: Any) -> object:
    return f"{setting:f}" if isinstance(setting, Decimal) else setting
