"""What holds of every meter: bounds, names of dimensions, filters, and the constraints of the database."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.lookups import Exact

from metering.meter_types import MeterType, MeterWindow, OncePerSubject, Rounding

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


class MeterStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    DEPRECATED = "deprecated", "Deprecated"


METER_CONSTRAINTS: list[models.BaseConstraint] = [
    models.CheckConstraint(condition=~models.Q(code=""), name="meter_code_not_empty"),
    models.CheckConstraint(condition=models.Q(type__in=MeterType.values), name="meter_type_known"),
    models.CheckConstraint(condition=models.Q(status__in=MeterStatus.values), name="meter_status_known"),
    models.CheckConstraint(
        condition=models.Q(value_dimension="") | models.Q(type="unique"),
        name="meter_value_dimension_only_on_unique",
    ),
    models.CheckConstraint(
        condition=models.Q(type="percentile", percentile__isnull=False, percentile__gt=0, percentile__lte=100)
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
        condition=models.Q(once_per_subject="never", verification_hours=None, evidence_meter=None)
        | (
            models.Q(type="count", once_per_subject__in=OncePerSubject.values)
            & (
                models.Q(verification_hours=None)
                | models.Q(verification_hours__gt=0, verification_hours__lte=MAX_TIMEOUT_HOURS)
            )
        ),
        name="meter_outcomes_are_counted",
    ),
    models.CheckConstraint(
        condition=models.Q(attempts_meter=None)
        | ~models.Q(once_per_subject="never", verification_hours=None, evidence_meter=None),
        name="meter_attempts_of_outcomes",
    ),
    models.CheckConstraint(
        condition=models.Q(attempts_meter=None) | ~models.Q(attempts_meter=models.F("id")),
        name="meter_attempts_of_another",
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
