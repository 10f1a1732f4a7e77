"""Meters, events, workloads and outcomes: the tables."""

from decimal import Decimal

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.lookups
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import metering.models.fields
import metering.models.meter_rules
import metering.models.workloads


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "__first__"),
        ("customers", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="EventArchive",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("before", models.DateTimeField(help_text="Events that happened before this were archived.")),
                ("events", models.BigIntegerField()),
                ("file", models.TextField()),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="EventConflict",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("event_id", models.UUIDField(db_index=True)),
                ("source", models.CharField(max_length=100)),
                ("key", models.TextField()),
                ("batch_id", models.UUIDField()),
                ("offered", models.JSONField()),
                ("received_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-received_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="RollupZone",
            fields=[
                (
                    "customer",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="customers.customer",
                    ),
                ),
                ("zone", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="EventBatch",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("released", "Released from unmatched"),
                            ("corrected", "Corrected"),
                        ],
                        default="received",
                        max_length=16,
                    ),
                ),
                ("source", models.CharField(max_length=100)),
                ("received_at", models.DateTimeField()),
                ("stored", models.IntegerField(help_text="Event rows written with this batch's id.")),
                (
                    "pruned",
                    models.IntegerField(
                        db_default=0, help_text="Rows of these that were archived and deleted since."
                    ),
                ),
                ("accepted", models.IntegerField(default=0)),
                ("duplicates", models.IntegerField(default=0)),
                ("conflicts", models.IntegerField(default=0)),
                ("unmatched", models.IntegerField(default=0)),
                ("rejected", models.IntegerField(default=0)),
                ("first_occurred_at", models.DateTimeField(null=True)),
                ("last_occurred_at", models.DateTimeField(null=True)),
                (
                    "has_signals",
                    models.BooleanField(
                        db_default=False,
                        help_text="Holds events that reverse or confirm outcomes, which may be of any earlier time.",
                    ),
                ),
                ("position", models.BigIntegerField(null=True, unique=True)),
            ],
            options={
                "verbose_name_plural": "event batches",
                "indexes": [
                    models.Index(
                        condition=models.Q(("position", None)),
                        fields=["received_at"],
                        name="eventbatch_unplaced",
                    ),
                    models.Index(fields=["received_at"], name="eventbatch_received"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind__in", ["released", "corrected"]),
                            (
                                "stored",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("accepted"), "+", models.F("unmatched")
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="eventbatch_stored_is_accepted_and_unmatched",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["received", "released", "corrected"])),
                        name="eventbatch_kind_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="EventLedger",
            fields=[
                ("singleton", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("last_position", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("singleton", True)), name="eventledger_one_row"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Meter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        help_text="The name events use. Made from the label when left empty. It cannot be changed later.",
                        max_length=200,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$",
                                "Use letters, digits and _ . : @ + - only, beginning with a letter or digit; no spaces.",
                                code="invalid_code",
                            )
                        ],
                    ),
                ),
                (
                    "label",
                    models.CharField(help_text="The name people read, also on invoices.", max_length=200),
                ),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("count", "Count: 1 per event, or the event's value when it has one"),
                            ("sum", "Sum: the values of events added up"),
                            ("max", "Maximum: the highest value, or the peaks of each hour or day added up"),
                            ("min", "Minimum: the lowest value"),
                            ("latest", "Latest: the value of the last event"),
                            ("average", "Average: the mean of the values"),
                            ("unique", "Unique: how many different subjects or values of a dimension"),
                            (
                                "weighted_sum",
                                "Weighted sum: a level held over time, such as seats or stored gigabytes",
                            ),
                            (
                                "percentile",
                                "Percentile: the value that a share of the events does not exceed",
                            ),
                        ],
                        default="count",
                        max_length=16,
                    ),
                ),
                (
                    "unit",
                    models.CharField(
                        blank=True,
                        help_text="What one of it is called on invoices, for example “ticket”.",
                        max_length=40,
                    ),
                ),
                (
                    "dimensions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=63,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "^[A-Za-z_][A-Za-z0-9_.-]{0,62}$",
                                    "Dimension names are letters, digits and _ . -, beginning with a letter or _.",
                                    code="invalid_dimension",
                                )
                            ],
                        ),
                        blank=True,
                        default=list,
                        help_text="Properties of events to group or price by, separated by commas: channel, region.",
                        size=None,
                    ),
                ),
                (
                    "description",
                    models.TextField(
                        blank=True, help_text="What counts and what does not, for your colleagues."
                    ),
                ),
                (
                    "value_dimension",
                    models.CharField(
                        blank=True,
                        help_text="Unique only: the dimension whose different values are counted; empty counts subjects.",
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z_][A-Za-z0-9_.-]{0,62}$",
                                "Dimension names are letters, digits and _ . -, beginning with a letter or _.",
                                code="invalid_dimension",
                            )
                        ],
                    ),
                ),
                (
                    "percentile",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Percentile only: 95 gives the value that 95 % of the events do not exceed.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "window",
                    models.CharField(
                        blank=True,
                        choices=[("hour", "Hour"), ("day", "Day")],
                        help_text="Maximum only: the peak of each hour or day added up, instead of one for the whole period.",
                        max_length=4,
                    ),
                ),
                (
                    "timeout_hours",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Weighted sum only: a level ends when no event comes for so long; empty: it stays.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "filters",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='Only events with these values count: {"channel": ["email", "chat"]}. Empty: all count.',
                        validators=[metering.models.meter_rules.validate_filters],
                    ),
                ),
                (
                    "factor",
                    metering.models.fields.QuantityField(
                        decimal_places=18,
                        default=Decimal("1"),
                        help_text="The quantity of a period is multiplied by this: 0.01 makes dollars of cents.",
                        max_digits=38,
                    ),
                ),
                (
                    "divisor",
                    metering.models.fields.QuantityField(
                        decimal_places=18,
                        default=Decimal("1"),
                        help_text="The quantity of a period is divided by this: 3600 makes hours of seconds.",
                        max_digits=38,
                    ),
                ),
                (
                    "rounding_function",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("half_up", "Half up: 0.5 and more up"),
                            ("up", "Up: every started unit counts"),
                            ("down", "Down: only full units count"),
                        ],
                        help_text="How the quantity of a period is rounded, once. Empty: it keeps all its digits.",
                        max_length=8,
                        verbose_name="rounding",
                    ),
                ),
                (
                    "rounding_digits",
                    models.SmallIntegerField(
                        default=0,
                        help_text="Decimals to round to; -2 rounds to hundreds.",
                        validators=[
                            django.core.validators.MinValueValidator(-18),
                            django.core.validators.MaxValueValidator(18),
                        ],
                    ),
                ),
                (
                    "once_per_subject",
                    models.CharField(
                        choices=[
                            ("never", "Every outcome counts"),
                            ("period", "Once per subject and billing period"),
                            ("ever", "Once per subject, for ever"),
                        ],
                        default="never",
                        help_text="Count only. A ticket that is resolved again counts once; events must name their subject.",
                        max_length=8,
                    ),
                ),
                (
                    "verification_hours",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Count only. An outcome counts so many hours after it happened, unless it was reversed before; it belongs to the period in which it settles.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "allow_negative",
                    models.BooleanField(
                        blank=True,
                        help_text="Whether events may carry negative values. Unknown: not on a count, else yes.",
                        null=True,
                        verbose_name="negative values",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("draft", "Draft"), ("active", "Active"), ("deprecated", "Deprecated")],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "attempts_meter",
                    models.ForeignKey(
                        blank=True,
                        help_text="Outcomes only. Each event of this meter is an attempt, such as a conversation begun: the resolution rate is what settled of them. Empty: each outcome is one. It changes no quantity and no invoice.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "evidence_meter",
                    models.ForeignKey(
                        blank=True,
                        help_text="Count only. An outcome counts only when an event of this meter exists for the same subject, no later than it settles.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
            ],
            options={
                "ordering": ["label"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("code", ""), _negated=True), name="meter_code_not_empty"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "type__in",
                                [
                                    "count",
                                    "sum",
                                    "max",
                                    "min",
                                    "latest",
                                    "average",
                                    "unique",
                                    "weighted_sum",
                                    "percentile",
                                ],
                            )
                        ),
                        name="meter_type_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["draft", "active", "deprecated"])),
                        name="meter_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("value_dimension", ""), ("type", "unique"), _connector="OR"),
                        name="meter_value_dimension_only_on_unique",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("percentile__gt", 0),
                                ("percentile__isnull", False),
                                ("percentile__lte", 100),
                                ("type", "percentile"),
                            ),
                            models.Q(models.Q(("type", "percentile"), _negated=True), ("percentile", None)),
                            _connector="OR",
                        ),
                        name="meter_percentile_exactly_on_percentile",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("window", ""),
                            models.Q(("type", "max"), ("window__in", ["hour", "day"])),
                            _connector="OR",
                        ),
                        name="meter_window_only_on_max",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("timeout_hours", None),
                            models.Q(
                                ("timeout_hours__gt", 0),
                                ("timeout_hours__lte", 87600),
                                ("type", "weighted_sum"),
                            ),
                            _connector="OR",
                        ),
                        name="meter_timeout_only_on_weighted_sum",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("evidence_meter", None),
                                ("once_per_subject", "never"),
                                ("verification_hours", None),
                            ),
                            models.Q(
                                ("once_per_subject__in", ["never", "period", "ever"]),
                                ("type", "count"),
                                models.Q(
                                    ("verification_hours", None),
                                    models.Q(
                                        ("verification_hours__gt", 0), ("verification_hours__lte", 87600)
                                    ),
                                    _connector="OR",
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="meter_outcomes_are_counted",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("attempts_meter", None),
                            models.Q(
                                ("evidence_meter", None),
                                ("once_per_subject", "never"),
                                ("verification_hours", None),
                                _negated=True,
                            ),
                            _connector="OR",
                        ),
                        name="meter_attempts_of_outcomes",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("attempts_meter", None),
                            models.Q(("attempts_meter", models.F("id")), _negated=True),
                            _connector="OR",
                        ),
                        name="meter_attempts_of_another",
                    ),
                    models.CheckConstraint(
                        condition=django.db.models.lookups.Exact(
                            models.Func("filters", function="jsonb_typeof"), models.Value("object")
                        ),
                        name="meter_filters_object",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("divisor__gt", 0),
                            ("divisor__lt", Decimal("100000000000000000000")),
                            ("factor__gt", 0),
                            ("factor__lt", Decimal("100000000000000000000")),
                        ),
                        name="meter_conversion_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rounding_function__in", ["", "half_up", "up", "down"])),
                        name="meter_rounding_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rounding_digits__range", (-18, 18))),
                        name="meter_rounding_digits_bounded",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoricalMeter",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "code",
                    models.CharField(
                        db_index=True,
                        help_text="The name events use. Made from the label when left empty. It cannot be changed later.",
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$",
                                "Use letters, digits and _ . : @ + - only, beginning with a letter or digit; no spaces.",
                                code="invalid_code",
                            )
                        ],
                    ),
                ),
                (
                    "label",
                    models.CharField(help_text="The name people read, also on invoices.", max_length=200),
                ),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("count", "Count: 1 per event, or the event's value when it has one"),
                            ("sum", "Sum: the values of events added up"),
                            ("max", "Maximum: the highest value, or the peaks of each hour or day added up"),
                            ("min", "Minimum: the lowest value"),
                            ("latest", "Latest: the value of the last event"),
                            ("average", "Average: the mean of the values"),
                            ("unique", "Unique: how many different subjects or values of a dimension"),
                            (
                                "weighted_sum",
                                "Weighted sum: a level held over time, such as seats or stored gigabytes",
                            ),
                            (
                                "percentile",
                                "Percentile: the value that a share of the events does not exceed",
                            ),
                        ],
                        default="count",
                        max_length=16,
                    ),
                ),
                (
                    "unit",
                    models.CharField(
                        blank=True,
                        help_text="What one of it is called on invoices, for example “ticket”.",
                        max_length=40,
                    ),
                ),
                (
                    "dimensions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=63,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "^[A-Za-z_][A-Za-z0-9_.-]{0,62}$",
                                    "Dimension names are letters, digits and _ . -, beginning with a letter or _.",
                                    code="invalid_dimension",
                                )
                            ],
                        ),
                        blank=True,
                        default=list,
                        help_text="Properties of events to group or price by, separated by commas: channel, region.",
                        size=None,
                    ),
                ),
                (
                    "description",
                    models.TextField(
                        blank=True, help_text="What counts and what does not, for your colleagues."
                    ),
                ),
                (
                    "value_dimension",
                    models.CharField(
                        blank=True,
                        help_text="Unique only: the dimension whose different values are counted; empty counts subjects.",
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z_][A-Za-z0-9_.-]{0,62}$",
                                "Dimension names are letters, digits and _ . -, beginning with a letter or _.",
                                code="invalid_dimension",
                            )
                        ],
                    ),
                ),
                (
                    "percentile",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Percentile only: 95 gives the value that 95 % of the events do not exceed.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "window",
                    models.CharField(
                        blank=True,
                        choices=[("hour", "Hour"), ("day", "Day")],
                        help_text="Maximum only: the peak of each hour or day added up, instead of one for the whole period.",
                        max_length=4,
                    ),
                ),
                (
                    "timeout_hours",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Weighted sum only: a level ends when no event comes for so long; empty: it stays.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "filters",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='Only events with these values count: {"channel": ["email", "chat"]}. Empty: all count.',
                        validators=[metering.models.meter_rules.validate_filters],
                    ),
                ),
                (
                    "factor",
                    metering.models.fields.QuantityField(
                        decimal_places=18,
                        default=Decimal("1"),
                        help_text="The quantity of a period is multiplied by this: 0.01 makes dollars of cents.",
                        max_digits=38,
                    ),
                ),
                (
                    "divisor",
                    metering.models.fields.QuantityField(
                        decimal_places=18,
                        default=Decimal("1"),
                        help_text="The quantity of a period is divided by this: 3600 makes hours of seconds.",
                        max_digits=38,
                    ),
                ),
                (
                    "rounding_function",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("half_up", "Half up: 0.5 and more up"),
                            ("up", "Up: every started unit counts"),
                            ("down", "Down: only full units count"),
                        ],
                        help_text="How the quantity of a period is rounded, once. Empty: it keeps all its digits.",
                        max_length=8,
                        verbose_name="rounding",
                    ),
                ),
                (
                    "rounding_digits",
                    models.SmallIntegerField(
                        default=0,
                        help_text="Decimals to round to; -2 rounds to hundreds.",
                        validators=[
                            django.core.validators.MinValueValidator(-18),
                            django.core.validators.MaxValueValidator(18),
                        ],
                    ),
                ),
                (
                    "once_per_subject",
                    models.CharField(
                        choices=[
                            ("never", "Every outcome counts"),
                            ("period", "Once per subject and billing period"),
                            ("ever", "Once per subject, for ever"),
                        ],
                        default="never",
                        help_text="Count only. A ticket that is resolved again counts once; events must name their subject.",
                        max_length=8,
                    ),
                ),
                (
                    "verification_hours",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Count only. An outcome counts so many hours after it happened, unless it was reversed before; it belongs to the period in which it settles.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "allow_negative",
                    models.BooleanField(
                        blank=True,
                        help_text="Whether events may carry negative values. Unknown: not on a count, else yes.",
                        null=True,
                        verbose_name="negative values",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("draft", "Draft"), ("active", "Active"), ("deprecated", "Deprecated")],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "attempts_meter",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Outcomes only. Each event of this meter is an attempt, such as a conversation begun: the resolution rate is what settled of them. Empty: each outcome is one. It changes no quantity and no invoice.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "evidence_meter",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Count only. An outcome counts only when an event of this meter exists for the same subject, no later than it settles.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical meter",
                "verbose_name_plural": "historical meters",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Rollup",
            fields=[
                ("singleton", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("folded_position", models.BigIntegerField(default=0)),
                ("settled_position", models.BigIntegerField(db_default=0, default=0)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("singleton", True)), name="rollup_one_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="SettledOutcome",
            fields=[
                ("event_id", models.UUIDField(primary_key=True, serialize=False)),
                ("subject", models.TextField(null=True)),
                ("occurred_at", models.DateTimeField()),
                ("settles_at", models.DateTimeField()),
                ("value", metering.models.fields.QuantityField(decimal_places=18, max_digits=38)),
                ("dimensions", models.JSONField(null=True)),
                (
                    "standing",
                    models.SmallIntegerField(
                        choices=[
                            (0, "Does not count"),
                            (1, "Counts"),
                            (2, "Counts unless another of its subject settles before it in the period"),
                        ]
                    ),
                ),
                ("position", models.BigIntegerField()),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("standing", 1)),
                        fields=["customer", "meter", "settles_at"],
                        include=("value",),
                        name="settledoutcome_counts",
                    ),
                    models.Index(
                        condition=models.Q(("standing", 2)),
                        fields=["customer", "meter", "settles_at"],
                        name="settledoutcome_first_counts",
                    ),
                    models.Index(fields=["customer", "meter", "subject"], name="settledoutcome_subject"),
                    models.Index(fields=["position"], name="settledoutcome_position"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("standing__in", [0, 1, 2])), name="settledoutcome_standing_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("settles_at__gte", models.F("occurred_at"))),
                        name="settledoutcome_settles_after_it_happened",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageByDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "meter",
                        "starts_at",
                        "customer",
                        "ends_at",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("amount", metering.models.fields.QuantityField(decimal_places=18, max_digits=38)),
                ("events", models.BigIntegerField()),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "usage by day",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))),
                        name="usagebyday_not_empty",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Workload",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        max_length=200,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$",
                                "Use letters, digits and _ . : @ + - only, beginning with a letter or digit; no spaces.",
                                code="invalid_code",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "owner",
                    models.CharField(
                        blank=True,
                        help_text="The team or person who answers for what it costs.",
                        max_length=200,
                    ),
                ),
                (
                    "tags",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Words to find it by, such as production or gpu.",
                        validators=[metering.models.workloads.validate_tags],
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalWorkloadRule",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "position",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Rules of all workloads are tried in this order.",
                        verbose_name="order",
                    ),
                ),
                (
                    "dimension",
                    models.CharField(
                        blank=True, help_text="Only events with this dimension,", max_length=200
                    ),
                ),
                ("value", models.CharField(blank=True, help_text="which has this value.", max_length=200)),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        help_text="Only events that this source sent: the name of its API key.",
                        max_length=100,
                    ),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Only events of this meter.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "workload",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical workload rule",
                "verbose_name_plural": "historical workload rules",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalWorkload",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "code",
                    models.CharField(
                        db_index=True,
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$",
                                "Use letters, digits and _ . : @ + - only, beginning with a letter or digit; no spaces.",
                                code="invalid_code",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "owner",
                    models.CharField(
                        blank=True,
                        help_text="The team or person who answers for what it costs.",
                        max_length=200,
                    ),
                ),
                (
                    "tags",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Words to find it by, such as production or gpu.",
                        validators=[metering.models.workloads.validate_tags],
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical workload",
                "verbose_name_plural": "historical workloads",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="WorkloadName",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=200, unique=True)),
                ("first_seen_at", models.DateTimeField()),
                (
                    "workload",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="names",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=100)),
                ("key", models.TextField()),
                ("batch_id", models.UUIDField()),
                ("value", metering.models.fields.QuantityField(decimal_places=18, max_digits=38, null=True)),
                ("occurred_at", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("subject", models.TextField(null=True)),
                ("dimensions", models.JSONField(null=True)),
                ("meter_code", models.TextField(null=True)),
                ("customer_code", models.TextField(null=True)),
                (
                    "signal",
                    models.CharField(
                        choices=[
                            ("reverses", "Takes an outcome back"),
                            ("confirms", "Confirms an outcome: it settles at once"),
                        ],
                        help_text="Set where the event is no outcome itself but reverses or confirms one.",
                        max_length=8,
                        null=True,
                    ),
                ),
                (
                    "target_id",
                    models.UUIDField(
                        help_text="The outcome a signal is about; null: all of its subject.", null=True
                    ),
                ),
                ("released_batch_id", models.UUIDField(null=True)),
                ("voided_batch_id", models.UUIDField(null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "workload",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.workloadname",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["customer", "meter", "occurred_at"],
                        include=("value", "voided_batch_id"),
                        name="event_measured",
                    ),
                    django.contrib.postgres.indexes.BrinIndex(
                        fields=["received_at"], name="event_received", pages_per_range=32
                    ),
                    models.Index(
                        condition=models.Q(("meter", None), ("customer", None), _connector="OR"),
                        fields=["received_at"],
                        name="event_unmatched",
                    ),
                    models.Index(
                        condition=models.Q(("released_batch_id__isnull", False)),
                        fields=["released_batch_id"],
                        name="event_released",
                    ),
                    models.Index(
                        condition=models.Q(("signal__isnull", False)),
                        fields=["customer", "meter", "subject", "occurred_at"],
                        name="event_signals",
                    ),
                    models.Index(
                        condition=models.Q(("target_id__isnull", False)),
                        fields=["target_id"],
                        name="event_targets",
                    ),
                    models.Index(
                        condition=models.Q(("voided_batch_id__isnull", False)),
                        fields=["voided_batch_id"],
                        name="event_voided",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("customer__isnull", False), ("meter__isnull", False)),
                            models.Q(("customer_code__isnull", False), ("meter_code__isnull", False)),
                            _connector="OR",
                        ),
                        name="event_matched_or_named",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("signal", None), ("target_id", None)),
                            models.Q(
                                ("signal__in", ["reverses", "confirms"]),
                                ("value", None),
                                models.Q(
                                    ("target_id__isnull", False), ("subject__isnull", False), _connector="OR"
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="event_signal_names_outcome",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkloadRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "position",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Rules of all workloads are tried in this order.",
                        verbose_name="order",
                    ),
                ),
                (
                    "dimension",
                    models.CharField(
                        blank=True, help_text="Only events with this dimension,", max_length=200
                    ),
                ),
                ("value", models.CharField(blank=True, help_text="which has this value.", max_length=200)),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        help_text="Only events that this source sent: the name of its API key.",
                        max_length=100,
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        blank=True,
                        help_text="Only events of this meter.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "workload",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rules",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("meter__isnull", False),
                            models.Q(("dimension", ""), _negated=True),
                            models.Q(("source", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="workloadrule_not_empty",
                        violation_error_message="Name a meter, a dimension or a source.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("dimension", ""), _negated=True), ("value", ""), _connector="OR"
                        ),
                        name="workloadrule_value_of_dimension",
                        violation_error_message="Name the dimension that has this value.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="EventCorrection",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("event_id", models.UUIDField(unique=True)),
                ("kind", models.CharField(choices=[("void", "Voided"), ("amend", "Amended")], max_length=8)),
                ("replacement_id", models.UUIDField(null=True, unique=True)),
                ("reason", models.TextField()),
                ("by", models.CharField(help_text="The person or the API key.", max_length=255)),
                ("at", models.DateTimeField()),
                ("batch_id", models.UUIDField()),
                (
                    "customer",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-id"],
                "indexes": [models.Index(fields=["-at"], name="eventcorrection_at")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "void"), ("replacement_id", None)),
                            models.Q(("kind", "amend"), ("replacement_id__isnull", False)),
                            _connector="OR",
                        ),
                        name="eventcorrection_replaced_when_amended",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="eventcorrection_has_reason"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("by", ""), _negated=True), name="eventcorrection_has_author"
                    ),
                ],
            },
        ),
    ]
