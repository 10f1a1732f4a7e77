"""Prices, subscriptions, invoices and money: the tables. What they hold by triggers follows, a file for each noun."""

import datetime
import uuid
from decimal import Decimal

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import billing.models.budgets
import billing.models.invoices
import billing.models.limits
import customers.countries
import customers.models
import metering.models.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "__first__"),
        ("customers", "0001_initial"),
        ("metering", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="DocumentWords",
            fields=[
                ("digest", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("language", models.CharField(max_length=8)),
                ("texts", models.JSONField()),
                ("labels", models.JSONField()),
            ],
            options={
                "verbose_name_plural": "document words",
            },
        ),
        migrations.CreateModel(
            name="InvoiceSeries",
            fields=[
                ("prefix", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("last_number", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "invoice series",
            },
        ),
        migrations.CreateModel(
            name="MailText",
            fields=[
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("invoice", "Invoice"),
                            ("credit_note", "Credit note"),
                            ("reminder", "Reminder"),
                        ],
                        max_length=16,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("subject", models.CharField(max_length=200)),
                ("body", models.TextField()),
            ],
            options={
                "verbose_name": "mail text",
            },
        ),
        migrations.CreateModel(
            name="Outcome",
            fields=[],
            options={
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("metering.event",),
        ),
        migrations.CreateModel(
            name="AdjustmentScan",
            fields=[
                ("singleton", models.BooleanField(default=True, primary_key=True, serialize=False)),
                ("position", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("singleton", True)), name="adjustmentscan_one_row"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Budget",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(help_text="Named in mails and webhooks.", max_length=200)),
                (
                    "measure",
                    models.CharField(
                        choices=[
                            ("cost", "Cost: what the work costs us"),
                            ("spend", "Spend: what is billed"),
                            ("margin", "Margin: what is left of what is billed"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "plan_code",
                    models.CharField(
                        blank=True, help_text="In any version.", max_length=200, verbose_name="plan"
                    ),
                ),
                ("currency", models.CharField(max_length=3, validators=[customers.models.validate_currency])),
                (
                    "amount",
                    billing.models.invoices.AmountField(
                        blank=True,
                        decimal_places=4,
                        help_text="For a calendar month (UTC). A margin has none.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "thresholds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(),
                        blank=True,
                        default=list,
                        help_text="Percentages of the amount at which an alarm is raised.",
                        size=None,
                    ),
                ),
                (
                    "least_percent",
                    models.DecimalField(
                        blank=True,
                        decimal_places=2,
                        help_text="In percent: an alarm is raised below it.",
                        max_digits=7,
                        null=True,
                        verbose_name="least margin",
                    ),
                ),
                (
                    "forecast_alarm",
                    models.BooleanField(
                        default=True,
                        help_text="Raise an alarm as soon as the month is going to exceed the amount at its present pace.",
                        verbose_name="warn ahead",
                    ),
                ),
                (
                    "emails",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.EmailField(max_length=254),
                        blank=True,
                        default=list,
                        help_text="Addresses that get a mail with each alarm.",
                        size=None,
                        verbose_name="mail to",
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                (
                    "revision",
                    models.PositiveIntegerField(
                        default=0,
                        editable=False,
                        help_text="Counts changes of what it allows: alarms may be raised again.",
                    ),
                ),
                ("made_at", models.DateTimeField(editable=False)),
                ("made_by", models.CharField(editable=False, max_length=200)),
                (
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="budgets",
                        to="customers.customer",
                    ),
                ),
                (
                    "workload",
                    models.ForeignKey(
                        blank=True,
                        help_text="With all workloads that are part of it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="budgets",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("customer", None), ("plan_code", ""), ("workload__isnull", False)),
                            models.Q(("customer__isnull", False), ("plan_code", ""), ("workload", None)),
                            models.Q(
                                ("customer", None),
                                ("workload", None),
                                models.Q(("plan_code", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="budget_is_for_one_thing",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("measure", "cost"), ("plan_code", "")),
                            models.Q(("measure", "spend"), ("workload", None)),
                            ("measure", "margin"),
                            _connector="OR",
                        ),
                        name="budget_measure_fits",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("amount__gt", 0),
                                ("least_percent", None),
                                ("measure__in", ["cost", "spend"]),
                                models.Q(("thresholds", []), _negated=True),
                            ),
                            models.Q(
                                ("amount", None),
                                ("forecast_alarm", False),
                                ("least_percent__gte", -1000),
                                ("least_percent__lte", 100),
                                ("measure", "margin"),
                                ("thresholds", []),
                            ),
                            _connector="OR",
                        ),
                        name="budget_amount_or_margin",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="budget_currency_iso"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BudgetAlarm",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("revision", models.PositiveIntegerField()),
                ("month", models.DateField(help_text="Its first day.")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("threshold", "Threshold reached"),
                            ("forecast", "Going to exceed"),
                            ("margin", "Margin too low"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "threshold",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="In percent; 0 where there is none."
                    ),
                ),
                ("sentence", models.CharField(max_length=400)),
                ("spent", billing.models.budgets.ExactField(decimal_places=12, max_digits=38, null=True)),
                ("forecast", billing.models.budgets.ExactField(decimal_places=12, max_digits=38, null=True)),
                ("percent", billing.models.budgets.ExactField(decimal_places=12, max_digits=38, null=True)),
                ("raised_at", models.DateTimeField()),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alarms",
                        to="billing.budget",
                    ),
                ),
            ],
            options={
                "ordering": ["-raised_at", "-threshold", "-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("budget", "revision", "month", "kind", "threshold"), name="budgetalarm_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "threshold"), ("threshold__gt", 0)),
                            models.Q(("kind__in", ["forecast", "margin"]), ("threshold", 0)),
                            _connector="OR",
                        ),
                        name="budgetalarm_threshold_fits",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BudgetPoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("on", models.DateField()),
                (
                    "spent",
                    billing.models.budgets.ExactField(
                        decimal_places=12,
                        help_text="Cost or spend of the month so far; none for a margin.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                ("forecast", billing.models.budgets.ExactField(decimal_places=12, max_digits=38, null=True)),
                (
                    "revenue",
                    billing.models.budgets.ExactField(
                        decimal_places=12, help_text="Of a margin.", max_digits=38, null=True
                    ),
                ),
                (
                    "cost",
                    billing.models.budgets.ExactField(
                        decimal_places=12, help_text="Of a margin.", max_digits=38, null=True
                    ),
                ),
                (
                    "percent",
                    billing.models.budgets.ExactField(
                        decimal_places=12,
                        help_text="None where nothing was billed.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "unknown",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=400),
                        default=list,
                        help_text="What is missing in it.",
                        size=None,
                    ),
                ),
                ("checked_at", models.DateTimeField()),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="points",
                        to="billing.budget",
                    ),
                ),
            ],
            options={
                "ordering": ["on"],
                "constraints": [
                    models.UniqueConstraint(fields=("budget", "on"), name="budgetpoint_one_a_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="CheckRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("audit", "Audit"), ("verification", "Verification of invoices")],
                        max_length=16,
                    ),
                ),
                ("whole", models.BooleanField(default=True)),
                (
                    "scope",
                    models.CharField(
                        blank=True, help_text="What was checked, in words; empty: everything.", max_length=400
                    ),
                ),
                ("asked_by", models.CharField(max_length=255)),
                ("asked_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("checked", models.PositiveBigIntegerField(default=0, help_text="Equations or invoices.")),
                (
                    "differing",
                    models.PositiveBigIntegerField(default=0, help_text="Equations or invoices that differ."),
                ),
                (
                    "not_computable",
                    models.PositiveBigIntegerField(
                        default=0, help_text="Invoices whose events are archived."
                    ),
                ),
                ("findings", models.JSONField(default=list)),
                ("failure", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["-asked_at", "-id"],
                "permissions": [("run_checks", "Can run the audit and verify invoices")],
                "indexes": [models.Index(fields=["kind", "-asked_at"], name="checkrun_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["audit", "verification"])),
                        name="checkrun_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("finished_at", None), ("started_at__isnull", False), _connector="OR"
                        ),
                        name="checkrun_starts_before_it_ends",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CloseReview",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("month", models.DateField(help_text="Its first day.")),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32), size=None
                    ),
                ),
                ("findings", models.JSONField()),
                ("held", models.BooleanField()),
                ("currency", models.CharField(max_length=3)),
                (
                    "weight",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        help_text="The largest difference among the findings, in money.",
                        max_digits=24,
                    ),
                ),
                ("found_at", models.DateTimeField()),
                ("approved", models.JSONField(blank=True, default=list)),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, default="", max_length=400)),
                (
                    "approved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reviews",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "verbose_name": "unusual invoice",
                "ordering": ["-held", "-weight", "id"],
                "permissions": [("approve_invoices", "Can approve invoices that are held")],
                "indexes": [
                    models.Index(fields=["month", "-held", "-weight"], name="closereview_worst_first")
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("customer", "month"), name="closereview_once_per_month"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("approved_at", None), ("approved_by", None), ("reason", "")),
                            models.Q(
                                ("approved_at__isnull", False),
                                ("approved_by__isnull", False),
                                models.Q(("reason", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="closereview_approved_with_reason",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CloseRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("month", models.DateField(help_text="Its first day.")),
                (
                    "dry_run",
                    models.BooleanField(default=False, help_text="Looks only, and writes no invoice."),
                ),
                ("grace_days", models.PositiveIntegerField(help_text="0 issued at once.")),
                (
                    "customer_codes",
                    models.JSONField(default=list, help_text="Only these customers; empty: all."),
                ),
                (
                    "entrance",
                    models.CharField(
                        choices=[("admin", "Admin"), ("command", "Command"), ("schedule", "Schedule")],
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting for the worker"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=16,
                    ),
                ),
                ("asked_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("seen_at", models.DateTimeField(help_text="When it last reported progress.", null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("total", models.PositiveIntegerField(default=0)),
                ("done", models.PositiveIntegerField(default=0)),
                ("issued", models.PositiveIntegerField(default=0)),
                ("drafted", models.PositiveIntegerField(default=0)),
                (
                    "held",
                    models.PositiveIntegerField(default=0, help_text="Invoices that wait for approval."),
                ),
                ("unchanged", models.PositiveIntegerField(default=0)),
                ("not_over", models.PositiveIntegerField(default=0)),
                (
                    "failed",
                    models.PositiveIntegerField(default=0, help_text="Customers that could not be billed."),
                ),
                (
                    "amounts",
                    models.JSONField(default=dict, help_text="Totals drawn up, by currency, as text."),
                ),
                (
                    "refusal",
                    models.TextField(blank=True, default="", help_text="Why the whole close failed."),
                ),
                (
                    "started_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "close",
                "ordering": ["-asked_at", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["waiting", "running", "done", "failed"])),
                        name="closerun_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("finished_at__isnull", False), ("state__in", ("done", "failed"))),
                            models.Q(("finished_at", None), ("state__in", ("waiting", "running"))),
                            _connector="OR",
                        ),
                        name="closerun_finished_when_ended",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CostRate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("usage", "For what a meter counts"), ("fixed", "Fixed, each month")],
                        default="usage",
                        max_length=16,
                    ),
                ),
                ("terms", models.JSONField(default=dict)),
                (
                    "amount",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Of a fixed cost: for one month.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        default="USD", max_length=3, validators=[customers.models.validate_currency]
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        blank=True, help_text="Where it comes from: provider prices Jan 2026.", max_length=200
                    ),
                ),
                (
                    "effective_from",
                    models.DateField(
                        blank=True, help_text="The first day, in UTC. Empty: from the beginning.", null=True
                    ),
                ),
                (
                    "effective_until",
                    models.DateField(
                        blank=True,
                        help_text="The first day it no longer holds. Empty: until another takes its place.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("withdrawn_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "meter",
                    models.ForeignKey(
                        blank=True,
                        help_text="Whose units it prices. Of a fixed cost: the meter whose quantity it is spread by.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cost_rates",
                        to="metering.meter",
                    ),
                ),
                (
                    "workload",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cost_rates",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "ordering": [
                    "meter__label",
                    "workload__name",
                    models.OrderBy(models.F("effective_from"), descending=True, nulls_last=True),
                    "-id",
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("amount", None),
                                ("kind", "usage"),
                                ("meter__isnull", False),
                                ("workload", None),
                            ),
                            models.Q(("amount__gte", 0), ("kind", "fixed"), ("workload__isnull", False)),
                            _connector="OR",
                        ),
                        name="costrate_meter_or_workload",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("effective_from", None),
                            ("effective_until", None),
                            ("effective_until__gt", models.F("effective_from")),
                            _connector="OR",
                        ),
                        name="costrate_until_after_from",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="costrate_currency_iso"
                    ),
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        condition=models.Q(("kind", "usage"), ("withdrawn_at", None)),
                        expressions=[
                            (
                                models.Func(
                                    models.F("meter_id"),
                                    models.F("meter_id"),
                                    models.Value("[]"),
                                    function="int8range",
                                ),
                                "&&",
                            ),
                            (models.Func("effective_from", "effective_until", function="daterange"), "&&"),
                        ],
                        name="costrate_meter_never_twice",
                    ),
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        condition=models.Q(("kind", "fixed"), ("withdrawn_at", None)),
                        expressions=[
                            (
                                models.Func(
                                    models.F("workload_id"),
                                    models.F("workload_id"),
                                    models.Value("[]"),
                                    function="int8range",
                                ),
                                "&&",
                            ),
                            (
                                models.Func(
                                    models.Func("label", models.Value(0), function="hashtextextended"),
                                    models.Func("label", models.Value(0), function="hashtextextended"),
                                    models.Value("[]"),
                                    function="int8range",
                                ),
                                "&&",
                            ),
                            (models.Func("effective_from", "effective_until", function="daterange"), "&&"),
                        ],
                        name="costrate_fixed_never_twice",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Coupon",
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
                ("name", models.CharField(help_text="Printed on invoices.", max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[("percent", "Percentage"), ("fixed", "Fixed amount")],
                        default="percent",
                        max_length=16,
                    ),
                ),
                (
                    "value",
                    metering.models.fields.QuantityField(
                        decimal_places=18,
                        help_text="Percent from 0 to 100, or an amount in the currency.",
                        max_digits=38,
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        blank=True,
                        help_text="Of a fixed amount. A percentage has none.",
                        max_length=3,
                        validators=[customers.models.validate_currency],
                    ),
                ),
                (
                    "duration",
                    models.CharField(
                        choices=[
                            ("once", "Once: the next invoice"),
                            ("repeating", "A number of invoices"),
                            ("forever", "For ever: every invoice"),
                        ],
                        default="once",
                        help_text="How long it lasts.",
                        max_length=16,
                    ),
                ),
                (
                    "invoices",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Of a coupon for a number of invoices.",
                        null=True,
                        verbose_name="number of invoices",
                    ),
                ),
                (
                    "plan_codes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        default=list,
                        help_text="Codes of the plans it is for, in any version. Empty: all.",
                        size=None,
                        verbose_name="plans",
                    ),
                ),
                (
                    "rates",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        default=list,
                        help_text="Lines it is for: the code of the meter, or the name of a fee. Empty: all.",
                        size=None,
                    ),
                ),
                (
                    "valid_from",
                    models.DateField(
                        blank=True, help_text="The first day it can be given to a customer.", null=True
                    ),
                ),
                (
                    "valid_until",
                    models.DateField(
                        blank=True,
                        help_text="The first day it can no longer be given.",
                        null=True,
                        verbose_name="valid before",
                    ),
                ),
                (
                    "max_redemptions",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="To how many customers it can be given. Empty: any number.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "ordering": ["code"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("code", ""), _negated=True), name="coupon_code_not_empty"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("currency", ""), ("kind", "percent"), ("value__gt", 0), ("value__lte", 100)
                            ),
                            models.Q(
                                ("currency__regex", "^[A-Z]{3}$"),
                                ("kind", "fixed"),
                                ("value__gt", 0),
                                ("value__lt", 1000000000000000),
                            ),
                            _connector="OR",
                        ),
                        name="coupon_value_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("duration__in", ["once", "forever"]), ("invoices", None)),
                            models.Q(("duration", "repeating"), ("invoices__gte", 1)),
                            _connector="OR",
                        ),
                        name="coupon_duration_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_from", None),
                            ("valid_until", None),
                            ("valid_until__gt", models.F("valid_from")),
                            _connector="OR",
                        ),
                        name="coupon_valid_for_a_day",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CreditAlert",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("threshold", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                ("notified_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="credit_alerts",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "ordering": ["currency"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer", "currency"), name="creditalert_one_per_currency"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("threshold__gt", 0)), name="creditalert_above_zero"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CustomerCoupon",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "start_on",
                    models.DateField(
                        help_text="Invoices whose period ends after the beginning of this day are discounted.",
                        verbose_name="from",
                    ),
                ),
                ("given_at", models.DateTimeField()),
                ("given_by", models.CharField(blank=True, max_length=200)),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                ("removed_by", models.CharField(blank=True, max_length=200)),
                (
                    "coupon",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="given", to="billing.coupon"
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="coupons",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "ordering": ["given_at", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at", None)),
                        fields=("customer", "coupon"),
                        name="customercoupon_held_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoricalBudget",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                ("name", models.CharField(help_text="Named in mails and webhooks.", max_length=200)),
                (
                    "measure",
                    models.CharField(
                        choices=[
                            ("cost", "Cost: what the work costs us"),
                            ("spend", "Spend: what is billed"),
                            ("margin", "Margin: what is left of what is billed"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "plan_code",
                    models.CharField(
                        blank=True, help_text="In any version.", max_length=200, verbose_name="plan"
                    ),
                ),
                ("currency", models.CharField(max_length=3, validators=[customers.models.validate_currency])),
                (
                    "amount",
                    billing.models.invoices.AmountField(
                        blank=True,
                        decimal_places=4,
                        help_text="For a calendar month (UTC). A margin has none.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "thresholds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(),
                        blank=True,
                        default=list,
                        help_text="Percentages of the amount at which an alarm is raised.",
                        size=None,
                    ),
                ),
                (
                    "least_percent",
                    models.DecimalField(
                        blank=True,
                        decimal_places=2,
                        help_text="In percent: an alarm is raised below it.",
                        max_digits=7,
                        null=True,
                        verbose_name="least margin",
                    ),
                ),
                (
                    "forecast_alarm",
                    models.BooleanField(
                        default=True,
                        help_text="Raise an alarm as soon as the month is going to exceed the amount at its present pace.",
                        verbose_name="warn ahead",
                    ),
                ),
                (
                    "emails",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.EmailField(max_length=254),
                        blank=True,
                        default=list,
                        help_text="Addresses that get a mail with each alarm.",
                        size=None,
                        verbose_name="mail to",
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                (
                    "revision",
                    models.PositiveIntegerField(
                        default=0,
                        editable=False,
                        help_text="Counts changes of what it allows: alarms may be raised again.",
                    ),
                ),
                ("made_at", models.DateTimeField(editable=False)),
                ("made_by", models.CharField(editable=False, max_length=200)),
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
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
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
                    "workload",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="With all workloads that are part of it.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.workload",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical budget",
                "verbose_name_plural": "historical budgets",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalCloseReview",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                ("month", models.DateField(help_text="Its first day.")),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32), size=None
                    ),
                ),
                ("findings", models.JSONField()),
                ("held", models.BooleanField()),
                ("currency", models.CharField(max_length=3)),
                (
                    "weight",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        help_text="The largest difference among the findings, in money.",
                        max_digits=24,
                    ),
                ),
                ("found_at", models.DateTimeField()),
                ("approved", models.JSONField(blank=True, default=list)),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, default="", max_length=400)),
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
                    "approved_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
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
            ],
            options={
                "verbose_name": "historical unusual invoice",
                "verbose_name_plural": "historical unusual invoices",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalCostRate",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("usage", "For what a meter counts"), ("fixed", "Fixed, each month")],
                        default="usage",
                        max_length=16,
                    ),
                ),
                ("terms", models.JSONField(default=dict)),
                (
                    "amount",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Of a fixed cost: for one month.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        default="USD", max_length=3, validators=[customers.models.validate_currency]
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        blank=True, help_text="Where it comes from: provider prices Jan 2026.", max_length=200
                    ),
                ),
                (
                    "effective_from",
                    models.DateField(
                        blank=True, help_text="The first day, in UTC. Empty: from the beginning.", null=True
                    ),
                ),
                (
                    "effective_until",
                    models.DateField(
                        blank=True,
                        help_text="The first day it no longer holds. Empty: until another takes its place.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("withdrawn_at", models.DateTimeField(blank=True, editable=False, null=True)),
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
                        help_text="Whose units it prices. Of a fixed cost: the meter whose quantity it is spread by.",
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
                "verbose_name": "historical cost rate",
                "verbose_name_plural": "historical cost rates",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalCoupon",
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
                ("name", models.CharField(help_text="Printed on invoices.", max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[("percent", "Percentage"), ("fixed", "Fixed amount")],
                        default="percent",
                        max_length=16,
                    ),
                ),
                (
                    "value",
                    metering.models.fields.QuantityField(
                        decimal_places=18,
                        help_text="Percent from 0 to 100, or an amount in the currency.",
                        max_digits=38,
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        blank=True,
                        help_text="Of a fixed amount. A percentage has none.",
                        max_length=3,
                        validators=[customers.models.validate_currency],
                    ),
                ),
                (
                    "duration",
                    models.CharField(
                        choices=[
                            ("once", "Once: the next invoice"),
                            ("repeating", "A number of invoices"),
                            ("forever", "For ever: every invoice"),
                        ],
                        default="once",
                        help_text="How long it lasts.",
                        max_length=16,
                    ),
                ),
                (
                    "invoices",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Of a coupon for a number of invoices.",
                        null=True,
                        verbose_name="number of invoices",
                    ),
                ),
                (
                    "plan_codes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        default=list,
                        help_text="Codes of the plans it is for, in any version. Empty: all.",
                        size=None,
                        verbose_name="plans",
                    ),
                ),
                (
                    "rates",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        default=list,
                        help_text="Lines it is for: the code of the meter, or the name of a fee. Empty: all.",
                        size=None,
                    ),
                ),
                (
                    "valid_from",
                    models.DateField(
                        blank=True, help_text="The first day it can be given to a customer.", null=True
                    ),
                ),
                (
                    "valid_until",
                    models.DateField(
                        blank=True,
                        help_text="The first day it can no longer be given.",
                        null=True,
                        verbose_name="valid before",
                    ),
                ),
                (
                    "max_redemptions",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="To how many customers it can be given. Empty: any number.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
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
            ],
            options={
                "verbose_name": "historical coupon",
                "verbose_name_plural": "historical coupons",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalPlan",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "code",
                    models.CharField(
                        help_text="The name integrations use. Made from the name when left empty.",
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
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("name", models.CharField(help_text="The name customers read on invoices.", max_length=200)),
                ("description", models.TextField(blank=True)),
                (
                    "currency",
                    models.CharField(
                        default="USD", max_length=3, validators=[customers.models.validate_currency]
                    ),
                ),
                (
                    "billing_period",
                    models.CharField(
                        choices=[
                            ("daily", "Daily"),
                            ("weekly", "Weekly"),
                            ("monthly", "Monthly"),
                            ("quarterly", "Quarterly"),
                            ("yearly", "Yearly"),
                        ],
                        default="monthly",
                        max_length=16,
                    ),
                ),
                (
                    "usage_period",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("daily", "Daily"),
                            ("weekly", "Weekly"),
                            ("monthly", "Monthly"),
                            ("quarterly", "Quarterly"),
                            ("yearly", "Yearly"),
                        ],
                        help_text="Leave empty to invoice usage and fees together. A yearly plan may invoice its usage monthly.",
                        max_length=16,
                        verbose_name="usage is invoiced",
                    ),
                ),
                (
                    "minimum_amount",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="What usage and fees of an invoice come to at least; the rest is charged. By days for a part.",
                        max_digits=38,
                        null=True,
                        verbose_name="plan minimum",
                    ),
                ),
                (
                    "included_spend",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="So much usage of each invoice, of all rates together, is included in the plan.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "service_fee_percent",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Percent of everything else on the invoice.",
                        max_digits=38,
                        null=True,
                        verbose_name="service fee",
                    ),
                ),
                (
                    "custom_unit",
                    models.CharField(
                        blank=True,
                        help_text="Prices of usage are in this unit, for example “credit”, instead of the currency.",
                        max_length=40,
                    ),
                ),
                (
                    "custom_unit_value",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="What one custom unit costs in the currency: 0.01.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "tax_category",
                    models.CharField(
                        choices=[
                            ("standard", "Standard"),
                            ("reduced", "Reduced"),
                            ("digital", "Digital services"),
                            ("services", "Professional services"),
                            ("exempt", "Not taxable"),
                        ],
                        default="standard",
                        help_text="What its prices are for, as tax law sees it. A rate may have another.",
                        max_length=16,
                    ),
                ),
                (
                    "dispute_days",
                    models.PositiveSmallIntegerField(
                        default=30,
                        help_text="So many days after the invoice its customer may dispute outcomes in the portal. 0: not offered.",
                        validators=[django.core.validators.MaxValueValidator(3650)],
                    ),
                ),
                (
                    "dispute_reason_required",
                    models.BooleanField(
                        default=True,
                        help_text="Ask the customer to write why.",
                        verbose_name="a dispute needs a reason",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("draft", "Draft"), ("active", "Active"), ("deprecated", "Deprecated")],
                        default="draft",
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("activated_at", models.DateTimeField(blank=True, editable=False, null=True)),
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
            ],
            options={
                "verbose_name": "historical plan",
                "verbose_name_plural": "historical plans",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalTaxRate",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "country",
                    models.CharField(max_length=2, validators=[customers.countries.validate_country]),
                ),
                (
                    "region",
                    models.CharField(
                        blank=True,
                        help_text="A state or province, as customers have it. Empty: the whole country.",
                        max_length=10,
                    ),
                ),
                (
                    "category",
                    models.CharField(
                        choices=[
                            ("standard", "Standard"),
                            ("reduced", "Reduced"),
                            ("digital", "Digital services"),
                            ("services", "Professional services"),
                            ("exempt", "Not taxable"),
                        ],
                        default="standard",
                        max_length=16,
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="Printed on invoices: VAT, GST, sales tax.", max_length=60),
                ),
                ("percent", metering.models.fields.QuantityField(decimal_places=6, max_digits=9)),
                (
                    "inclusive",
                    models.BooleanField(
                        default=False,
                        help_text="The tax is inside the prices, not added to them.",
                        verbose_name="prices include it",
                    ),
                ),
                (
                    "on_top",
                    models.BooleanField(
                        default=False,
                        help_text="A region's tax that is charged in addition to its country's, as in Quebec.",
                        verbose_name="beside the country's",
                    ),
                ),
                (
                    "valid_from",
                    models.DateField(default=datetime.date(2000, 1, 1), help_text="The first day it holds."),
                ),
                (
                    "valid_until",
                    models.DateField(
                        blank=True,
                        help_text="The first day it no longer holds.",
                        null=True,
                        verbose_name="valid before",
                    ),
                ),
                (
                    "source",
                    models.CharField(blank=True, help_text="Where the rate was looked up.", max_length=200),
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
            ],
            options={
                "verbose_name": "historical tax rate",
                "verbose_name_plural": "historical tax rates",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalTaxSetup",
            fields=[
                ("singleton", models.BooleanField(db_index=True, default=True, editable=False)),
                (
                    "seller_country",
                    models.CharField(
                        blank=True,
                        help_text="Businesses in other EU countries are invoiced with reverse charge when yours is in the EU.",
                        max_length=2,
                        validators=[customers.countries.validate_country],
                        verbose_name="your country",
                    ),
                ),
                (
                    "reverse_charge_sentence",
                    models.CharField(
                        default="Reverse charge: the customer is liable for the tax.",
                        help_text="Printed on invoices where the customer owes the tax.",
                        max_length=200,
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
            ],
            options={
                "verbose_name": "historical tax setup",
                "verbose_name_plural": "historical tax setup",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalUsageLimit",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "quantity",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Units of the meter in one billing period.",
                        max_digits=38,
                        null=True,
                        verbose_name="in units",
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        help_text="Or what they may cost in one billing period, in the customer's currency, before coupons and tax.",
                        max_digits=20,
                        null=True,
                        verbose_name="in money",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("hard", "Hard: no more is allowed"),
                            ("soft", "Soft: still allowed, but shown"),
                        ],
                        default="hard",
                        max_length=8,
                        verbose_name="at the limit",
                    ),
                ),
                (
                    "set_by",
                    models.CharField(
                        choices=[("staff", "Us"), ("customer", "The customer")],
                        default="staff",
                        editable=False,
                        max_length=8,
                    ),
                ),
                (
                    "remind_at",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(
                            validators=[
                                django.core.validators.MinValueValidator(1),
                                django.core.validators.MaxValueValidator(1000),
                            ]
                        ),
                        blank=True,
                        default=billing.models.limits.usual_reminders,
                        help_text="Mail, webhook and a note in the portal, each once per billing period: 50, 80, 100. Empty: never.",
                        size=None,
                        verbose_name="remind at percent",
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
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
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
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical usage limit",
                "verbose_name_plural": "historical usage limits",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Logo",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("content", models.BinaryField()),
                ("width", models.PositiveSmallIntegerField()),
                ("height", models.PositiveSmallIntegerField()),
                ("uploaded_by", models.CharField(max_length=200)),
                ("uploaded_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("digest__regex", "^[0-9a-f]{64}$")), name="logo_named_by_content"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("height__gt", 0), ("width__gt", 0)), name="logo_has_a_size"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoricalSeller",
            fields=[
                ("singleton", models.BooleanField(db_index=True, default=True, editable=False)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("address", models.TextField(blank=True, max_length=1000)),
                (
                    "email",
                    models.EmailField(
                        blank=True,
                        help_text="Where customers may ask, and where answers to mails go.",
                        max_length=254,
                        verbose_name="e-mail",
                    ),
                ),
                ("tax_id", models.CharField(blank=True, max_length=64, verbose_name="tax ID")),
                (
                    "payment",
                    models.TextField(
                        blank=True,
                        help_text="Bank, account, IBAN. Printed on invoices with something due, and shown in the portal.",
                        max_length=1000,
                        verbose_name="how to pay",
                    ),
                ),
                (
                    "terms",
                    models.TextField(
                        blank=True, help_text="Printed at the foot of invoices.", max_length=2000
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
                    "logo",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.logo",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical seller",
                "verbose_name_plural": "historical seller",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="NoticeMail",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("to", models.EmailField(max_length=254)),
                ("subject", models.CharField(max_length=200)),
                ("body", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Waiting"),
                            ("sending", "Being sent"),
                            ("unsure", "Perhaps sent"),
                            ("sent", "Sent"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_try_at", models.DateTimeField()),
                ("error", models.CharField(blank=True, max_length=400)),
                ("written_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "notice",
                "ordering": ["-written_at", "-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "queued")),
                        fields=["next_try_at"],
                        name="noticemail_waiting",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ParkedCustomer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("month", models.DateField(help_text="Its first day.")),
                ("code", models.CharField(help_text="Stable name of the reason.", max_length=64)),
                ("reason", models.TextField()),
                ("parked_at", models.DateTimeField()),
                ("tried_at", models.DateTimeField(help_text="When the last close tried to bill it.")),
                ("tries", models.PositiveIntegerField(default=1)),
                ("cleared_at", models.DateTimeField(blank=True, null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parked",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "verbose_name": "customer not billed",
                "verbose_name_plural": "customers not billed",
                "ordering": ["-month", "parked_at", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("cleared_at", None)),
                        fields=("customer", "month"),
                        name="parkedcustomer_once_per_month",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="parkedcustomer_has_reason"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Plan",
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
                        help_text="The name integrations use. Made from the name when left empty.",
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
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("name", models.CharField(help_text="The name customers read on invoices.", max_length=200)),
                ("description", models.TextField(blank=True)),
                (
                    "currency",
                    models.CharField(
                        default="USD", max_length=3, validators=[customers.models.validate_currency]
                    ),
                ),
                (
                    "billing_period",
                    models.CharField(
                        choices=[
                            ("daily", "Daily"),
                            ("weekly", "Weekly"),
                            ("monthly", "Monthly"),
                            ("quarterly", "Quarterly"),
                            ("yearly", "Yearly"),
                        ],
                        default="monthly",
                        max_length=16,
                    ),
                ),
                (
                    "usage_period",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("daily", "Daily"),
                            ("weekly", "Weekly"),
                            ("monthly", "Monthly"),
                            ("quarterly", "Quarterly"),
                            ("yearly", "Yearly"),
                        ],
                        help_text="Leave empty to invoice usage and fees together. A yearly plan may invoice its usage monthly.",
                        max_length=16,
                        verbose_name="usage is invoiced",
                    ),
                ),
                (
                    "minimum_amount",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="What usage and fees of an invoice come to at least; the rest is charged. By days for a part.",
                        max_digits=38,
                        null=True,
                        verbose_name="plan minimum",
                    ),
                ),
                (
                    "included_spend",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="So much usage of each invoice, of all rates together, is included in the plan.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "service_fee_percent",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Percent of everything else on the invoice.",
                        max_digits=38,
                        null=True,
                        verbose_name="service fee",
                    ),
                ),
                (
                    "custom_unit",
                    models.CharField(
                        blank=True,
                        help_text="Prices of usage are in this unit, for example “credit”, instead of the currency.",
                        max_length=40,
                    ),
                ),
                (
                    "custom_unit_value",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="What one custom unit costs in the currency: 0.01.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "tax_category",
                    models.CharField(
                        choices=[
                            ("standard", "Standard"),
                            ("reduced", "Reduced"),
                            ("digital", "Digital services"),
                            ("services", "Professional services"),
                            ("exempt", "Not taxable"),
                        ],
                        default="standard",
                        help_text="What its prices are for, as tax law sees it. A rate may have another.",
                        max_length=16,
                    ),
                ),
                (
                    "dispute_days",
                    models.PositiveSmallIntegerField(
                        default=30,
                        help_text="So many days after the invoice its customer may dispute outcomes in the portal. 0: not offered.",
                        validators=[django.core.validators.MaxValueValidator(3650)],
                    ),
                ),
                (
                    "dispute_reason_required",
                    models.BooleanField(
                        default=True,
                        help_text="Ask the customer to write why.",
                        verbose_name="a dispute needs a reason",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("draft", "Draft"), ("active", "Active"), ("deprecated", "Deprecated")],
                        default="draft",
                        editable=False,
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("activated_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "ordering": ["name", "-version"],
                "permissions": [("activate_plan", "Can activate plan")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("code", ""), _negated=True), name="plan_code_not_empty"
                    ),
                    models.UniqueConstraint(fields=("code", "version"), name="plan_one_row_per_version"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "draft")),
                        fields=("code",),
                        name="plan_one_draft_per_code",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "active")),
                        fields=("code",),
                        name="plan_one_active_per_code",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["draft", "active", "deprecated"])),
                        name="plan_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("billing_period__in", ["daily", "weekly", "monthly", "quarterly", "yearly"])
                        ),
                        name="plan_period_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="plan_currency_iso"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("usage_period", ""),
                            models.Q(("billing_period", "weekly"), ("usage_period__in", ("daily",))),
                            models.Q(("billing_period", "monthly"), ("usage_period__in", ("daily",))),
                            models.Q(
                                ("billing_period", "quarterly"), ("usage_period__in", ("daily", "monthly"))
                            ),
                            models.Q(
                                ("billing_period", "yearly"),
                                ("usage_period__in", ("daily", "monthly", "quarterly")),
                            ),
                            _connector="OR",
                        ),
                        name="plan_usage_period_within_period",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("minimum_amount", None),
                                ("minimum_amount__range", (0, Decimal("1000000000000000"))),
                                _connector="OR",
                            ),
                            models.Q(
                                ("included_spend", None),
                                ("included_spend__range", (0, Decimal("1000000000000000"))),
                                _connector="OR",
                            ),
                            models.Q(
                                ("service_fee_percent", None),
                                ("service_fee_percent__range", (0, 100)),
                                _connector="OR",
                            ),
                        ),
                        name="plan_terms_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("custom_unit", ""), ("custom_unit_value", None)),
                            models.Q(
                                models.Q(("custom_unit", ""), _negated=True),
                                ("custom_unit_value__gt", 0),
                                ("custom_unit_value__lt", Decimal("1000000000000000")),
                            ),
                            _connector="OR",
                        ),
                        name="plan_custom_unit_with_value",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanExample",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveIntegerField(default=0)),
                ("name", models.CharField(max_length=200)),
                (
                    "usage",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Quantities by meter: [{meter, quantity, dimensions}].",
                    ),
                ),
                ("seats", models.PositiveIntegerField(default=1)),
                (
                    "expected_amount",
                    metering.models.fields.QuantityField(
                        decimal_places=18,
                        help_text="The invoice of one whole period with this usage, without one-time fees.",
                        max_digits=38,
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="examples",
                        to="billing.plan",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "id"],
            },
        ),
        migrations.CreateModel(
            name="Rate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.PositiveIntegerField(default=0)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("usage", "Usage-based rate"),
                            ("subscription", "Subscription rate"),
                            ("one_time", "One-time fee"),
                        ],
                        default="usage",
                        max_length=16,
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        blank=True,
                        help_text="Printed on the invoice line. The meter's label when left empty.",
                        max_length=200,
                    ),
                ),
                ("terms", models.JSONField()),
                (
                    "tax_category",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("standard", "Standard"),
                            ("reduced", "Reduced"),
                            ("digital", "Digital services"),
                            ("services", "Professional services"),
                            ("exempt", "Not taxable"),
                        ],
                        help_text="The plan's when left empty.",
                        max_length=16,
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rates",
                        to="metering.meter",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rates", to="billing.plan"
                    ),
                ),
            ],
            options={
                "ordering": ["position", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["usage", "subscription", "one_time"])),
                        name="rate_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "usage"), ("meter__isnull", False)),
                            models.Q(models.Q(("kind", "usage"), _negated=True), ("meter__isnull", True)),
                            _connector="OR",
                        ),
                        name="rate_meter_exactly_on_usage",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReconciliationRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("start", models.DateTimeField()),
                ("end", models.DateTimeField()),
                ("ran_at", models.DateTimeField()),
                (
                    "difference",
                    models.BigIntegerField(help_text="Events not accounted for exactly once. 0 is right."),
                ),
                ("clean_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "reconciliation",
                "ordering": ["-start"],
                "constraints": [
                    models.UniqueConstraint(fields=("start", "end"), name="reconciliationrun_once_per_time")
                ],
            },
        ),
        migrations.CreateModel(
            name="RecurringGrant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="Shown to the customer and on invoices.", max_length=200),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("prepaid", "Prepaid"),
                            ("promotional", "Promotional"),
                            ("carried_over", "Carried over from an invoice"),
                            ("moved", "Moved from a credit balance"),
                        ],
                        default="promotional",
                        max_length=16,
                    ),
                ),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                ("currency", models.CharField(max_length=3)),
                ("priority", models.PositiveSmallIntegerField(default=50)),
                (
                    "interval",
                    models.CharField(
                        choices=[
                            ("month", "Every month"),
                            ("quarter", "Every three months"),
                            ("year", "Every year"),
                        ],
                        max_length=8,
                        verbose_name="how often",
                    ),
                ),
                (
                    "start_on",
                    models.DateField(help_text="The first day of the first period.", verbose_name="from"),
                ),
                (
                    "end_on",
                    models.DateField(
                        blank=True,
                        help_text="No period begins on this day or later.",
                        null=True,
                        verbose_name="until before",
                    ),
                ),
                ("zone", models.CharField(max_length=64, verbose_name="time zone")),
                (
                    "expires",
                    models.BooleanField(
                        default=True, help_text="What is left expires at the end of its period."
                    ),
                ),
                (
                    "rollover_limit",
                    billing.models.invoices.AmountField(
                        blank=True,
                        decimal_places=4,
                        help_text="So much of what is left can still be used in the period after.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                ("next_on", models.DateField(editable=False)),
                ("next_at", models.DateTimeField(editable=False)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(blank=True, max_length=200)),
                ("stopped_at", models.DateTimeField(blank=True, null=True)),
                ("stopped_by", models.CharField(blank=True, max_length=200)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="recurring_grants",
                        to="customers.customer",
                    ),
                ),
            ],
            options={
                "ordering": ["start_on", "id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("stopped_at", None)),
                        fields=["next_at"],
                        name="recurringgrant_due",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["prepaid", "promotional"])),
                        name="recurringgrant_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval__in", ["month", "quarter", "year"])),
                        name="recurringgrant_interval_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="recurringgrant_amount_above_zero"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("rollover_limit", None),
                            models.Q(("expires", True), ("rollover_limit__gt", 0)),
                            _connector="OR",
                        ),
                        name="recurringgrant_rolls_over_at_expiry",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("end_on", None), ("end_on__gt", models.F("start_on")), _connector="OR"
                        ),
                        name="recurringgrant_ends_after_start",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Reservation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=255)),
                ("quantity", metering.models.fields.QuantityField(decimal_places=18, max_digits=38)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("held", "Held"),
                            ("settled", "Settled: its usage was sent"),
                            ("released", "Released: nothing was used"),
                        ],
                        default="held",
                        max_length=8,
                    ),
                ),
                ("made_at", models.DateTimeField()),
                (
                    "expires_at",
                    models.DateTimeField(
                        help_text="From when on it is no longer counted. Null: from the end of its billing period.",
                        null=True,
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="customers.customer"
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "held")),
                        fields=["customer", "meter", "made_at"],
                        name="reservation_held",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_at", None), ("expires_at__gt", models.F("made_at")), _connector="OR"
                        ),
                        name="reservation_expires_later",
                    ),
                    models.UniqueConstraint(fields=("customer", "meter", "key"), name="reservation_key_once"),
                    models.CheckConstraint(
                        condition=models.Q(("quantity__gt", 0)), name="reservation_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["held", "settled", "released"])),
                        name="reservation_state_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Seller",
            fields=[
                (
                    "singleton",
                    models.BooleanField(default=True, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("address", models.TextField(blank=True, max_length=1000)),
                (
                    "email",
                    models.EmailField(
                        blank=True,
                        help_text="Where customers may ask, and where answers to mails go.",
                        max_length=254,
                        verbose_name="e-mail",
                    ),
                ),
                ("tax_id", models.CharField(blank=True, max_length=64, verbose_name="tax ID")),
                (
                    "payment",
                    models.TextField(
                        blank=True,
                        help_text="Bank, account, IBAN. Printed on invoices with something due, and shown in the portal.",
                        max_length=1000,
                        verbose_name="how to pay",
                    ),
                ),
                (
                    "terms",
                    models.TextField(
                        blank=True, help_text="Printed at the foot of invoices.", max_length=2000
                    ),
                ),
                (
                    "logo",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.logo",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "seller",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("singleton", True)), name="seller_one_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "start_on",
                    models.DateField(
                        help_text="The first day that is billed, in the customer's time zone.",
                        verbose_name="starts on",
                    ),
                ),
                (
                    "end_on",
                    models.DateField(
                        blank=True,
                        help_text="The first day that is no longer billed. Leave empty while the plan goes on.",
                        null=True,
                        verbose_name="ends before",
                    ),
                ),
                (
                    "anchor",
                    models.CharField(
                        choices=[
                            ("calendar", "Calendar: on the first of the month, quarter or year"),
                            ("anniversary", "Anniversary: on the day the subscription began"),
                        ],
                        default="calendar",
                        max_length=16,
                        verbose_name="billing periods",
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        editable=False,
                        help_text="The customer's, remembered for all periods.",
                        max_length=64,
                        verbose_name="time zone",
                    ),
                ),
                (
                    "anchored_on",
                    models.DateField(
                        editable=False,
                        help_text="The day anniversary periods are counted from, when it is not the first day.",
                        null=True,
                    ),
                ),
                (
                    "quantity",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="How many seats: rates per seat charge each of them.",
                        verbose_name="seats",
                    ),
                ),
                (
                    "trial_end_on",
                    models.DateField(
                        blank=True,
                        help_text="The first day after the trial: fixed fees begin on it.",
                        null=True,
                        verbose_name="trial ends before",
                    ),
                ),
                (
                    "trial_usage_free",
                    models.BooleanField(
                        default=False,
                        help_text="Otherwise usage is charged from the first day on.",
                        verbose_name="usage is free during the trial",
                    ),
                ),
                (
                    "overrides",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        editable=False,
                        help_text="Terms that replace the plan's, by the id of the rate.",
                    ),
                ),
                (
                    "revision",
                    models.PositiveIntegerField(
                        default=0,
                        editable=False,
                        help_text="Counts what was agreed since, so that a close sees a change.",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscriptions",
                        to="customers.customer",
                    ),
                ),
                (
                    "moved_from",
                    models.OneToOneField(
                        editable=False,
                        help_text="The subscription this one continues, on another plan or after a break.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="moved_to",
                        to="billing.subscription",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscriptions",
                        to="billing.plan",
                    ),
                ),
            ],
            options={
                "ordering": ["-start_on", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("end_on", None), ("end_on__gte", models.F("start_on")), _connector="OR"
                        ),
                        name="subscription_ends_after_start",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("anchor__in", ["calendar", "anniversary"])),
                        name="subscription_anchor_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("trial_end_on", None), ("trial_usage_free", False)),
                            ("trial_end_on__gt", models.F("start_on")),
                            _connector="OR",
                        ),
                        name="subscription_trial_after_start",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("periodic", "Periodic"),
                            ("adjustment", "Adjustment"),
                            ("one_off", "One-off"),
                            ("at_start", "At the start"),
                            ("consolidated", "Consolidated"),
                        ],
                        default="periodic",
                        max_length=16,
                    ),
                ),
                (
                    "part_n",
                    models.PositiveIntegerField(blank=True, help_text="Its place on it, from 1.", null=True),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("issued", "Issued"),
                            ("paid", "Paid"),
                            ("void", "Void"),
                            ("written_off", "Written off"),
                            ("part", "On a consolidated invoice"),
                        ],
                        default="draft",
                        max_length=16,
                    ),
                ),
                ("sequence", models.BigIntegerField(null=True)),
                ("number", models.CharField(max_length=64, null=True)),
                ("period_start", models.DateField(help_text="First local day of the period.")),
                ("period_end", models.DateField(help_text="First local day after the period.")),
                ("zone", models.CharField(max_length=64, verbose_name="time zone")),
                ("starts_at", models.DateTimeField(help_text="The first instant of the period.")),
                ("ends_at", models.DateTimeField(help_text="The first instant after the period.")),
                ("currency", models.CharField(max_length=3)),
                (
                    "subtotal",
                    billing.models.invoices.AmountField(
                        decimal_places=4, help_text="The sum of the lines.", max_digits=24
                    ),
                ),
                (
                    "discount",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        help_text="What coupons take off the lines.",
                        max_digits=24,
                    ),
                ),
                (
                    "tax",
                    billing.models.invoices.AmountField(
                        decimal_places=4, help_text="Added on top of the lines.", max_digits=24
                    ),
                ),
                (
                    "tax_included",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        help_text="Contained in the lines where prices include tax.",
                        max_digits=24,
                    ),
                ),
                ("total", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                (
                    "taxes",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Tax by rate, as printed: base, percent, amount, sentence.",
                    ),
                ),
                (
                    "credits_applied",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        help_text="Paid from credits when it was issued. Below 0: a total below 0 that became a credit.",
                        max_digits=24,
                    ),
                ),
                (
                    "amount_paid",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                (
                    "amount_credited",
                    billing.models.invoices.AmountField(
                        decimal_places=4, default=0, help_text="Taken off by credit notes.", max_digits=24
                    ),
                ),
                (
                    "amount_written_off",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                ("issuer", models.JSONField(help_text="Who bills, as printed: frozen when drawn up.")),
                ("recipient", models.JSONField(help_text="Who is billed, as printed: frozen when drawn up.")),
                ("plan_name", models.CharField(max_length=200)),
                ("plan_code", models.CharField(max_length=200)),
                ("plan_version", models.PositiveIntegerField()),
                (
                    "plan_terms",
                    models.JSONField(
                        help_text="The terms of the plan as a whole and what they looked at, so that late usage applies them again.",
                        null=True,
                    ),
                ),
                (
                    "watermark",
                    models.BigIntegerField(help_text="Events of batches up to this position were measured."),
                ),
                ("drawn_up_at", models.DateTimeField(help_text="When its figures were computed.")),
                ("issue_after", models.DateTimeField(help_text="End of the grace days.")),
                ("issued_at", models.DateTimeField(blank=True, null=True)),
                ("due_on", models.DateField(blank=True, null=True)),
                (
                    "key",
                    models.CharField(
                        blank=True,
                        help_text="The caller's own name for a one-off invoice: made once.",
                        max_length=200,
                        null=True,
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="customers.customer",
                    ),
                ),
                (
                    "part_of",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The consolidated invoice that this is printed on and paid with.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="billing.invoice",
                    ),
                ),
                (
                    "series",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.invoiceseries",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        help_text="None on a one-off invoice, which belongs to no plan, and on a consolidated one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoices",
                        to="billing.subscription",
                    ),
                ),
            ],
            options={
                "ordering": ["-period_start", "-sequence", "-id"],
                "permissions": [
                    ("close_month", "Can close a month"),
                    ("issue_invoice", "Can issue drafts and one-off invoices"),
                    ("settle_invoice", "Can record payments and refunds"),
                    ("correct_invoice", "Can write credit notes, void and write off invoices"),
                ],
                "indexes": [
                    models.Index(fields=["status", "period_start"], name="invoice_by_status"),
                    models.Index(fields=["customer", "-period_start"], name="invoice_by_customer"),
                    models.Index(fields=["ends_at"], name="invoice_by_end"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "void"), _negated=True),
                        fields=("subscription", "period_start", "kind"),
                        name="invoice_one_live_per_period",
                    ),
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        condition=models.Q(
                            ("kind", "periodic"), models.Q(("status__in", ["draft", "void"]), _negated=True)
                        ),
                        expressions=[
                            (
                                models.Func(
                                    models.F("subscription_id"),
                                    models.F("subscription_id"),
                                    models.Value("[]"),
                                    function="int8range",
                                ),
                                "&&",
                            ),
                            (
                                models.Func(
                                    models.F("period_start"), models.F("period_end"), function="daterange"
                                ),
                                "&&",
                            ),
                        ],
                        name="invoice_periods_never_overlap",
                    ),
                    models.UniqueConstraint(fields=("series", "sequence"), name="invoice_sequence_once"),
                    models.UniqueConstraint(fields=("number",), name="invoice_number_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("key__isnull", False)), fields=("key",), name="invoice_key_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["draft", "issued", "paid", "void", "written_off", "part"])
                        ),
                        name="invoice_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("issued_at", None),
                                ("number", None),
                                ("sequence", None),
                                ("series", None),
                                ("status", "draft"),
                            ),
                            models.Q(
                                models.Q(("status", "draft"), _negated=True),
                                ("issued_at__isnull", False),
                                ("number__isnull", False),
                                models.Q(
                                    models.Q(
                                        ("part_of", None), ("sequence__gte", 1), ("series__isnull", False)
                                    ),
                                    models.Q(
                                        ("part_of__isnull", False), ("sequence", None), ("series", None)
                                    ),
                                    _connector="OR",
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="invoice_numbered_when_issued",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("period_end__gt", models.F("period_start"))),
                        name="invoice_period_not_empty",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("subtotal"), "-", models.F("discount")
                                    ),
                                    "+",
                                    models.F("tax"),
                                ),
                            )
                        ),
                        name="invoice_total_is_sum_of_parts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_credited__gte", 0),
                            ("amount_written_off__gte", 0),
                            ("discount__gte", 0),
                            models.Q(
                                ("credits_applied", 0),
                                models.Q(
                                    ("credits_applied__gt", 0), ("credits_applied__lte", models.F("total"))
                                ),
                                models.Q(("credits_applied", models.F("total")), ("credits_applied__lt", 0)),
                                _connector="OR",
                            ),
                        ),
                        name="invoice_reductions_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind__in", ["one_off", "consolidated"]), ("subscription", None)),
                            models.Q(
                                models.Q(("kind__in", ["one_off", "consolidated"]), _negated=True),
                                ("subscription__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="invoice_subscription_unless_one_off",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("amount_credited", 0),
                                ("amount_paid", 0),
                                ("status__in", ["draft", "void"]),
                                ("amount_written_off", 0),
                            ),
                            models.Q(
                                ("status", "issued"),
                                (
                                    "total__gt",
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                models.F("credits_applied"), "+", models.F("amount_paid")
                                            ),
                                            "+",
                                            models.F("amount_credited"),
                                        ),
                                        "+",
                                        models.F("amount_written_off"),
                                    ),
                                ),
                                ("amount_written_off", 0),
                            ),
                            models.Q(
                                ("status", "paid"),
                                (
                                    "total__lte",
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                models.F("credits_applied"), "+", models.F("amount_paid")
                                            ),
                                            "+",
                                            models.F("amount_credited"),
                                        ),
                                        "+",
                                        models.F("amount_written_off"),
                                    ),
                                ),
                                ("amount_written_off", 0),
                            ),
                            models.Q(
                                ("amount_written_off__gt", 0),
                                ("status", "written_off"),
                                (
                                    "total",
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                models.F("credits_applied"), "+", models.F("amount_paid")
                                            ),
                                            "+",
                                            models.F("amount_credited"),
                                        ),
                                        "+",
                                        models.F("amount_written_off"),
                                    ),
                                ),
                            ),
                            models.Q(
                                ("amount_credited", 0),
                                ("amount_paid", 0),
                                ("amount_written_off", 0),
                                ("status", "part"),
                            ),
                            _connector="OR",
                        ),
                        name="invoice_status_fits_balance",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("part_n", None),
                                ("part_of", None),
                                models.Q(("status", "part"), _negated=True),
                            ),
                            models.Q(
                                ("credits_applied", 0),
                                ("part_n__gte", 1),
                                ("part_of__isnull", False),
                                ("status__in", ["draft", "part", "void"]),
                                ("subscription__isnull", False),
                                ("tax", 0),
                                ("tax_included", 0),
                            ),
                            _connector="OR",
                        ),
                        name="invoice_part_is_paid_elsewhere",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("part_of__isnull", False)),
                        fields=("part_of", "part_n"),
                        name="invoice_part_placed_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_credited", 0),
                            ("amount_credited__lte", models.F("total")),
                            _connector="OR",
                        ),
                        name="invoice_credited_up_to_total",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sequence", models.BigIntegerField()),
                ("number", models.CharField(max_length=64, unique=True)),
                ("issued_at", models.DateTimeField()),
                ("zone", models.CharField(max_length=64, verbose_name="time zone")),
                ("currency", models.CharField(max_length=3)),
                (
                    "subtotal",
                    billing.models.invoices.AmountField(
                        decimal_places=4, help_text="The sum of the lines.", max_digits=24
                    ),
                ),
                ("discount", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                ("tax", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                (
                    "tax_included",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                ("total", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                (
                    "taxes",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Tax by rate, as on the invoice: what is taken back.",
                    ),
                ),
                ("issuer", models.JSONField()),
                ("recipient", models.JSONField()),
                ("reason", models.CharField(max_length=400)),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's own name for it: issued once.",
                        max_length=200,
                        null=True,
                        unique=True,
                    ),
                ),
                ("recorded_by", models.CharField(max_length=200)),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_notes",
                        to="billing.invoice",
                    ),
                ),
                (
                    "series",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.invoiceseries",
                    ),
                ),
            ],
            options={
                "ordering": ["-issued_at", "-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("series", "sequence"), name="creditnote_sequence_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("subtotal"), "-", models.F("discount")
                                    ),
                                    "+",
                                    models.F("tax"),
                                ),
                            ),
                            ("total__gt", 0),
                        ),
                        name="creditnote_total_is_sum_of_parts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="creditnote_has_reason"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("invoice", "Invoice"),
                            ("credit_note", "Credit note"),
                            ("reminder", "Reminder"),
                        ],
                        max_length=16,
                    ),
                ),
                ("to", models.EmailField(max_length=254)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Waiting"),
                            ("sending", "Being sent"),
                            ("unsure", "Perhaps sent"),
                            ("sent", "Sent"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_try_at", models.DateTimeField()),
                ("error", models.CharField(blank=True, max_length=400)),
                (
                    "requested_by",
                    models.CharField(
                        blank=True, help_text="Empty: by itself, when it was issued.", max_length=200
                    ),
                ),
                ("requested_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "credit_note",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="billing.creditnote",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="billing.invoice",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ["-requested_at", "-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "queued")),
                        fields=["next_try_at"],
                        name="delivery_waiting",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("credit_note__isnull", False), ("kind", "credit_note")),
                            models.Q(models.Q(("kind", "credit_note"), _negated=True), ("credit_note", None)),
                            _connector="OR",
                        ),
                        name="delivery_names_its_document",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("requested_by", "")),
                        fields=("invoice", "kind", "credit_note"),
                        name="delivery_once_by_itself",
                        nulls_distinct=False,
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="InvoiceChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("approved", "Approved and issued"),
                            ("write_off", "Written off"),
                            ("reinstate", "Write-off taken back"),
                            ("void", "Voided"),
                        ],
                        max_length=16,
                    ),
                ),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                ("reason", models.CharField(blank=True, max_length=400)),
                ("recorded_by", models.CharField(max_length=200)),
                ("recorded_at", models.DateTimeField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="changes",
                        to="billing.invoice",
                    ),
                ),
            ],
            options={
                "ordering": ["recorded_at", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amount", 0), ("kind__in", ["approved", "void"])),
                            models.Q(("amount__gt", 0), ("kind", "write_off")),
                            models.Q(("amount__lt", 0), ("kind", "reinstate")),
                            _connector="OR",
                        ),
                        name="invoicechange_amount_fits_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind", "approved"), models.Q(("reason", ""), _negated=True), _connector="OR"
                        ),
                        name="invoicechange_has_reason",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="InvoiceDiscount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("n", models.PositiveSmallIntegerField()),
                ("use_n", models.PositiveIntegerField()),
                ("name", models.CharField(max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[("percent", "Percentage"), ("fixed", "Fixed amount")], max_length=16
                    ),
                ),
                ("value", metering.models.fields.QuantityField(decimal_places=18, max_digits=38)),
                (
                    "amount",
                    billing.models.invoices.AmountField(
                        decimal_places=4, help_text="What it took off, above 0.", max_digits=24
                    ),
                ),
                (
                    "customer_coupon",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="uses",
                        to="billing.customercoupon",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="discounts",
                        to="billing.invoice",
                    ),
                ),
            ],
            options={
                "ordering": ["n"],
                "constraints": [
                    models.UniqueConstraint(fields=("invoice", "n"), name="invoicediscount_numbered_once"),
                    models.UniqueConstraint(
                        fields=("customer_coupon", "use_n"), name="invoicediscount_used_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="invoicediscount_takes_off"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="InvoiceLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("n", models.PositiveIntegerField(verbose_name="line")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("usage", "Usage"),
                            ("subscription", "Subscription"),
                            ("one_time", "One-time"),
                            ("included_spend", "Included spend"),
                            ("minimum", "Plan minimum"),
                            ("service_fee", "Service fee"),
                            ("adjustment", "Adjustment"),
                            ("item", "Item"),
                        ],
                        max_length=16,
                    ),
                ),
                ("description", models.CharField(max_length=400)),
                (
                    "meter_definition",
                    models.JSONField(help_text="The meter as it was when measured.", null=True),
                ),
                ("unit", models.CharField(blank=True, max_length=40)),
                ("quantity", metering.models.fields.QuantityField(decimal_places=18, max_digits=38)),
                (
                    "unit_amount",
                    metering.models.fields.QuantityField(decimal_places=18, max_digits=38, null=True),
                ),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                (
                    "discount",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        help_text="Its share of what coupons took off the invoice.",
                        max_digits=24,
                    ),
                ),
                (
                    "tax_category",
                    models.CharField(
                        choices=[
                            ("standard", "Standard"),
                            ("reduced", "Reduced"),
                            ("digital", "Digital services"),
                            ("services", "Professional services"),
                            ("exempt", "Not taxable"),
                        ],
                        default="standard",
                        max_length=16,
                    ),
                ),
                (
                    "taxed_by",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(),
                        blank=True,
                        default=list,
                        help_text="The numbers of the invoice's taxes that its amount less discount is part of.",
                        size=None,
                    ),
                ),
                ("terms", models.JSONField(help_text="The rate as it was when rated.")),
                ("working", models.JSONField()),
                ("period_start", models.DateField()),
                ("period_end", models.DateField()),
                (
                    "adjustment_n",
                    models.PositiveIntegerField(help_text="Counts the adjustments of one line.", null=True),
                ),
                (
                    "adjusts_plan",
                    models.BooleanField(
                        default=False,
                        help_text="Of an adjustment: what the minimum, included spend and service fee come to otherwise.",
                    ),
                ),
                (
                    "fee_start",
                    models.DateField(help_text="Of a fee in advance: the first day it is for.", null=True),
                ),
                (
                    "fee_n",
                    models.PositiveIntegerField(
                        help_text="Counts the lines of one fee and period.", null=True
                    ),
                ),
                (
                    "adjusts",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="adjustments",
                        to="billing.invoiceline",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lines",
                        to="billing.invoice",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "rate",
                    models.ForeignKey(
                        help_text="None for what the plan as a whole charges or includes.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.rate",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Of a fee in advance: whose it is; a plan that follows settles the one before.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.subscription",
                    ),
                ),
            ],
            options={
                "ordering": ["n"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("adjusts__isnull", False)),
                        fields=("adjusts", "adjustment_n"),
                        name="invoiceline_adjusted_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("subscription__isnull", False)),
                        fields=("subscription", "rate", "fee_start", "fee_n"),
                        name="invoiceline_fee_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("fee_n", None), ("fee_start", None)),
                            models.Q(
                                ("fee_n__isnull", False),
                                ("fee_start__isnull", False),
                                ("kind", "subscription"),
                                ("subscription__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="invoiceline_fee_names_subscription",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("adjustment_n__isnull", False),
                                ("adjusts__isnull", False),
                                ("kind", "adjustment"),
                            ),
                            models.Q(
                                models.Q(("kind", "adjustment"), _negated=True),
                                ("adjustment_n", None),
                                ("adjusts", None),
                            ),
                            _connector="OR",
                        ),
                        name="invoiceline_adjustment_names_line",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("adjusts_plan", False), ("kind", "adjustment"), _connector="OR"),
                        name="invoiceline_adjusts_plan_by_adjustment",
                    ),
                    models.UniqueConstraint(fields=("invoice", "n"), name="invoiceline_numbered_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("discount", 0),
                            models.Q(("discount__gt", 0), ("discount__lte", models.F("amount"))),
                            _connector="OR",
                        ),
                        name="invoiceline_discount_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                [
                                    "usage",
                                    "subscription",
                                    "one_time",
                                    "included_spend",
                                    "minimum",
                                    "service_fee",
                                    "adjustment",
                                    "item",
                                ],
                            )
                        ),
                        name="invoiceline_kind_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Dispute",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("decided", "Decided"), ("withdrawn", "Withdrawn")],
                        default="open",
                        max_length=9,
                    ),
                ),
                ("reason", models.TextField(blank=True, max_length=1000)),
                ("opened_at", models.DateTimeField()),
                ("opened_by", models.CharField(max_length=300)),
                (
                    "at_stake",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        help_text="What accepting all of it came to, before tax, when it was opened or reopened. Negative: less owed.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "asked_for",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="customers.customer",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="billing.invoice",
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="billing.invoiceline",
                    ),
                ),
            ],
            options={
                "ordering": ["-opened_at", "-id"],
                "permissions": [("decide_dispute", "Can decide disputes")],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "open")), fields=["opened_at"], name="dispute_waiting"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["open", "decided", "withdrawn"])),
                        name="dispute_state_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DisputeStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("opened", "Disputed"),
                            ("decided", "Decided"),
                            ("reopened", "Reopened"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        max_length=9,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("by", models.CharField(max_length=300)),
                ("text", models.TextField(blank=True, max_length=1000)),
                ("accepted", models.PositiveIntegerField(default=0)),
                ("declined", models.PositiveIntegerField(default=0)),
                (
                    "remedy",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("credit_note", "Credit note now"),
                            ("adjustment", "Adjustment on the next invoice"),
                        ],
                        max_length=12,
                    ),
                ),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24, null=True)),
                (
                    "credit_note",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="dispute_step",
                        to="billing.creditnote",
                    ),
                ),
                (
                    "dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="steps",
                        to="billing.dispute",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["opened", "decided", "reopened", "withdrawn"])),
                        name="disputestep_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amount__isnull", False), ("kind", "decided")),
                            models.Q(
                                models.Q(("kind", "decided"), _negated=True),
                                ("amount", None),
                                ("credit_note", None),
                                ("remedy", ""),
                            ),
                            _connector="OR",
                        ),
                        name="disputestep_only_decisions_pay",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("credit_note", None),
                            models.Q(("accepted__gt", 0), ("remedy", "credit_note")),
                            _connector="OR",
                        ),
                        name="disputestep_credits_accepted",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DisputedOutcome",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("event_id", models.UUIDField()),
                ("key", models.TextField()),
                ("subject", models.TextField(null=True)),
                ("occurred_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("accepted", "Accepted"),
                            ("declined", "Declined"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="open",
                        max_length=9,
                    ),
                ),
                (
                    "dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="outcomes",
                        to="billing.dispute",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="outcomes",
                        to="billing.disputestep",
                    ),
                ),
            ],
            options={
                "ordering": ["occurred_at", "event_id"],
                "constraints": [
                    models.UniqueConstraint(fields=("event_id",), name="disputedoutcome_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_by", None), ("state", "open")),
                            models.Q(
                                ("decided_by__isnull", False),
                                ("state__in", ["accepted", "declined", "withdrawn"]),
                            ),
                            _connector="OR",
                        ),
                        name="disputedoutcome_decided_by_step",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CreditNoteLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("n", models.PositiveIntegerField(verbose_name="line")),
                ("description", models.CharField(max_length=400)),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                ("discount", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                ("tax", billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24)),
                (
                    "tax_included",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                (
                    "taxes",
                    models.JSONField(
                        blank=True, default=dict, help_text="Tax by the number of the invoice's tax, as text."
                    ),
                ),
                (
                    "credit_note",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="billing.creditnote",
                    ),
                ),
                (
                    "invoice_line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credits",
                        to="billing.invoiceline",
                    ),
                ),
            ],
            options={
                "ordering": ["n"],
                "constraints": [
                    models.UniqueConstraint(fields=("credit_note", "n"), name="creditnoteline_numbered_once"),
                    models.UniqueConstraint(
                        fields=("credit_note", "invoice_line"), name="creditnoteline_line_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ChangedLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.BigIntegerField()),
                ("found_at", models.DateTimeField()),
                ("effect_position", models.BigIntegerField(null=True)),
                (
                    "effect_quantity",
                    metering.models.fields.QuantityField(decimal_places=18, max_digits=38, null=True),
                ),
                (
                    "effect_amount",
                    billing.models.invoices.AmountField(decimal_places=4, max_digits=24, null=True),
                ),
                (
                    "bill_up_to",
                    models.BigIntegerField(
                        help_text="Somebody decided to bill what changed up to this position.", null=True
                    ),
                ),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "line",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="change",
                        to="billing.invoiceline",
                    ),
                ),
            ],
            options={
                "verbose_name": "late usage",
                "verbose_name_plural": "late usage",
                "permissions": [
                    ("bill_late_usage", "Can decide to bill late usage"),
                    ("waive_late_usage", "Can waive late usage"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AdjustmentWaiver",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("adjustment_n", models.PositiveIntegerField()),
                (
                    "position",
                    models.BigIntegerField(help_text="Events of batches up to this position were looked at."),
                ),
                ("quantity", metering.models.fields.QuantityField(decimal_places=18, max_digits=38)),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                (
                    "adjusts_plan",
                    models.BooleanField(
                        default=False,
                        help_text="It is of the minimum, included spend and service fee of the line's invoice.",
                    ),
                ),
                ("reason", models.CharField(max_length=400)),
                (
                    "waived_through",
                    models.CharField(
                        blank=True,
                        help_text="What decided it over HTTP: the name of an API key.",
                        max_length=200,
                    ),
                ),
                ("waived_at", models.DateTimeField()),
                (
                    "waived_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "credit_note",
                    models.ForeignKey(
                        help_text="What paid the difference back; none where it was waived.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="late_usage",
                        to="billing.creditnote",
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="waivers",
                        to="billing.invoiceline",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="adjustmentwaiver_has_reason"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("waived_by__isnull", False),
                            ("credit_note__isnull", False),
                            models.Q(("waived_through", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="adjustmentwaiver_by_somebody",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AdjustmentNumber",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("n", models.PositiveIntegerField()),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.invoiceline",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("line", "n"), name="adjustment_settled_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="LineSettlement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.BigIntegerField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="settlements",
                        to="billing.invoice",
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="settlements",
                        to="billing.invoiceline",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("line", "invoice"), name="linesettlement_once_per_invoice"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("payment", "Payment"),
                            ("refund", "Refund"),
                            ("reversal", "Reversal"),
                            ("moved", "Moved to credits"),
                        ],
                        default="payment",
                        max_length=16,
                    ),
                ),
                (
                    "amount",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        help_text="Above zero what came in; below zero what went back or was taken back.",
                        max_digits=24,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("received_on", models.DateField(help_text="The day of the money, as the bank says.")),
                (
                    "method",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("bank_transfer", "Bank transfer"),
                            ("card", "Card"),
                            ("direct_debit", "Direct debit"),
                            ("cheque", "Cheque"),
                            ("cash", "Cash"),
                            ("other", "Other"),
                        ],
                        help_text="Empty where no money moved.",
                        max_length=16,
                    ),
                ),
                ("reference", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=400)),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's own name for it: recorded once.",
                        max_length=200,
                        null=True,
                        unique=True,
                    ),
                ),
                ("recorded_by", models.CharField(max_length=200)),
                ("recorded_at", models.DateTimeField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payments",
                        to="billing.invoice",
                    ),
                ),
                (
                    "reverses",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversal",
                        to="billing.payment",
                    ),
                ),
            ],
            options={
                "ordering": ["-recorded_at", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amount__gt", 0), ("kind", "payment"), ("reverses", None)),
                            models.Q(
                                ("amount__lt", 0), ("kind__in", ["refund", "moved"]), ("reverses", None)
                            ),
                            models.Q(
                                ("kind", "reversal"),
                                ("reverses__isnull", False),
                                models.Q(("reason", ""), _negated=True),
                                models.Q(("amount", 0), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="payment_sign_fits_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "method__in",
                                ["bank_transfer", "card", "direct_debit", "cheque", "cash", "other"],
                            ),
                            models.Q(("kind__in", ["moved", "reversal"]), ("method", "")),
                            _connector="OR",
                        ),
                        name="payment_method_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CreditGrant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("prepaid", "Prepaid"),
                            ("promotional", "Promotional"),
                            ("carried_over", "Carried over from an invoice"),
                            ("moved", "Moved from a credit balance"),
                        ],
                        default="promotional",
                        max_length=16,
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="Shown to the customer and on invoices.", max_length=200),
                ),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                (
                    "balance",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        editable=False,
                        help_text="The sum of its entries in the ledger.",
                        max_digits=24,
                    ),
                ),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        default=50,
                        help_text="Low numbers are used first; then what expires soonest; then the oldest.",
                    ),
                ),
                ("effective_at", models.DateTimeField(help_text="From when it can be used.")),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="Empty: it does not expire.", null=True),
                ),
                (
                    "rollover_limit",
                    billing.models.invoices.AmountField(
                        blank=True,
                        decimal_places=4,
                        help_text="So much of what is left goes on into a new grant when it expires.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "rollover_days",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How long the new grant lasts. Empty: it does not expire.",
                        null=True,
                    ),
                ),
                (
                    "rollover_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="Until when the new grant lasts, where that is a moment.",
                        null=True,
                    ),
                ),
                (
                    "recurring_on",
                    models.DateField(
                        editable=False, help_text="The first day of the period that it is for.", null=True
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        blank=True,
                        help_text="For example the payment by which it was bought.",
                        max_length=200,
                    ),
                ),
                ("granted_at", models.DateTimeField()),
                ("granted_by", models.CharField(blank=True, max_length=200)),
                ("voided_at", models.DateTimeField(blank=True, null=True)),
                ("voided_by", models.CharField(blank=True, max_length=200)),
                ("void_reason", models.CharField(blank=True, max_length=400)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_grants",
                        to="customers.customer",
                    ),
                ),
                (
                    "rolled_from",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rolled_to",
                        to="billing.creditgrant",
                    ),
                ),
                (
                    "source_invoice",
                    models.OneToOneField(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="carried_over",
                        to="billing.invoice",
                    ),
                ),
                (
                    "source_payment",
                    models.OneToOneField(
                        editable=False,
                        help_text="The entry that took it off the invoice.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="moved_to",
                        to="billing.payment",
                    ),
                ),
                (
                    "recurring",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grants",
                        to="billing.recurringgrant",
                    ),
                ),
            ],
            options={
                "ordering": ["-granted_at", "-id"],
                "permissions": [("void_creditgrant", "Can void credit grant")],
                "indexes": [
                    models.Index(
                        condition=models.Q(("balance__gt", 0)),
                        fields=["customer", "currency"],
                        name="creditgrant_with_balance",
                    ),
                    models.Index(
                        condition=models.Q(("balance__gt", 0)),
                        fields=["expires_at"],
                        name="creditgrant_expiring",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["prepaid", "promotional", "carried_over", "moved"])),
                        name="creditgrant_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="creditgrant_currency_iso"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="creditgrant_amount_above_zero"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("balance__gte", 0), ("balance__lte", models.F("amount"))),
                        name="creditgrant_balance_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_at", None),
                            ("expires_at__gt", models.F("effective_at")),
                            _connector="OR",
                        ),
                        name="creditgrant_expires_after_start",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("rollover_days", None), ("rollover_limit", None)),
                            models.Q(
                                ("expires_at__isnull", False),
                                ("rollover_limit__gt", 0),
                                models.Q(("rollover_days", None), ("rollover_days__gte", 1), _connector="OR"),
                            ),
                            _connector="OR",
                        ),
                        name="creditgrant_rolls_over_at_expiry",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("void_reason", ""), ("voided_at", None)),
                            models.Q(
                                ("balance", 0),
                                ("voided_at__isnull", False),
                                models.Q(("void_reason", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="creditgrant_void_is_empty",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "carried_over"), ("source_invoice__isnull", False)),
                            models.Q(
                                models.Q(("kind", "carried_over"), _negated=True), ("source_invoice", None)
                            ),
                            _connector="OR",
                        ),
                        name="creditgrant_carried_over_names_invoice",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "moved"), ("source_payment__isnull", False)),
                            models.Q(models.Q(("kind", "moved"), _negated=True), ("source_payment", None)),
                            _connector="OR",
                        ),
                        name="creditgrant_moved_names_payment",
                    ),
                    models.UniqueConstraint(
                        fields=("recurring", "recurring_on"), name="creditgrant_once_per_period"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("recurring", None), ("recurring_on", None)),
                            models.Q(("recurring__isnull", False), ("recurring_on__isnull", False)),
                            _connector="OR",
                        ),
                        name="creditgrant_recurring_names_period",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("rollover_until", None),
                            models.Q(
                                ("rollover_days", None),
                                ("rollover_limit__isnull", False),
                                ("rollover_until__gt", models.F("expires_at")),
                            ),
                            _connector="OR",
                        ),
                        name="creditgrant_rolls_over_until",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CreditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("granted", "Granted"),
                            ("applied", "Applied to an invoice"),
                            ("returned", "Returned from a void invoice"),
                            ("expired", "Expired"),
                            ("rolled_over", "Rolled over into a new grant"),
                            ("voided", "Voided"),
                        ],
                        max_length=16,
                    ),
                ),
                ("amount", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                ("at", models.DateTimeField()),
                ("reason", models.CharField(blank=True, max_length=400)),
                ("by", models.CharField(blank=True, max_length=200)),
                (
                    "grant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="billing.creditgrant",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_entries",
                        to="billing.invoice",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "credit entries",
                "ordering": ["-at", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amount__gt", 0), ("kind__in", ["granted", "returned"])),
                            models.Q(
                                ("amount__lt", 0),
                                ("kind__in", ["applied", "expired", "rolled_over", "voided"]),
                            ),
                            _connector="OR",
                        ),
                        name="creditentry_signed_by_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("invoice", None), ("kind__in", ["applied", "returned"]), _negated=True
                        ),
                        name="creditentry_names_invoice",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "granted")),
                        fields=("grant",),
                        name="creditentry_granted_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind__in", ["applied", "returned"])),
                        fields=("grant", "invoice", "kind"),
                        name="creditentry_once_per_invoice",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PortalTotal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("period_start", models.DateField()),
                ("total", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                ("currency", models.CharField(max_length=3)),
                ("final", models.BooleanField()),
                ("shown_at", models.DateTimeField()),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="billing.subscription",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("subscription", "period_start"), name="portaltotal_once_per_period"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MeterCoverage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("during", django.contrib.postgres.fields.ranges.DateRangeField()),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="customers.customer"
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="coverages",
                        to="billing.subscription",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("subscription", "meter"), name="metercoverage_one_per_meter"
                    ),
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        expressions=[
                            (
                                models.Func(
                                    models.F("customer_id"),
                                    models.F("customer_id"),
                                    models.Value("[]"),
                                    function="int8range",
                                ),
                                "&&",
                            ),
                            (
                                models.Func(
                                    models.F("meter_id"),
                                    models.F("meter_id"),
                                    models.Value("[]"),
                                    function="int8range",
                                ),
                                "&&",
                            ),
                            ("during", "&&"),
                        ],
                        name="metercoverage_never_twice",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoricalSubscription",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "start_on",
                    models.DateField(
                        help_text="The first day that is billed, in the customer's time zone.",
                        verbose_name="starts on",
                    ),
                ),
                (
                    "end_on",
                    models.DateField(
                        blank=True,
                        help_text="The first day that is no longer billed. Leave empty while the plan goes on.",
                        null=True,
                        verbose_name="ends before",
                    ),
                ),
                (
                    "anchor",
                    models.CharField(
                        choices=[
                            ("calendar", "Calendar: on the first of the month, quarter or year"),
                            ("anniversary", "Anniversary: on the day the subscription began"),
                        ],
                        default="calendar",
                        max_length=16,
                        verbose_name="billing periods",
                    ),
                ),
                (
                    "timezone",
                    models.CharField(
                        editable=False,
                        help_text="The customer's, remembered for all periods.",
                        max_length=64,
                        verbose_name="time zone",
                    ),
                ),
                (
                    "anchored_on",
                    models.DateField(
                        editable=False,
                        help_text="The day anniversary periods are counted from, when it is not the first day.",
                        null=True,
                    ),
                ),
                (
                    "quantity",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="How many seats: rates per seat charge each of them.",
                        verbose_name="seats",
                    ),
                ),
                (
                    "trial_end_on",
                    models.DateField(
                        blank=True,
                        help_text="The first day after the trial: fixed fees begin on it.",
                        null=True,
                        verbose_name="trial ends before",
                    ),
                ),
                (
                    "trial_usage_free",
                    models.BooleanField(
                        default=False,
                        help_text="Otherwise usage is charged from the first day on.",
                        verbose_name="usage is free during the trial",
                    ),
                ),
                (
                    "overrides",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        editable=False,
                        help_text="Terms that replace the plan's, by the id of the rate.",
                    ),
                ),
                (
                    "revision",
                    models.PositiveIntegerField(
                        default=0,
                        editable=False,
                        help_text="Counts what was agreed since, so that a close sees a change.",
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
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
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
                    "plan",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.plan",
                    ),
                ),
                (
                    "moved_from",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        editable=False,
                        help_text="The subscription this one continues, on another plan or after a break.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.subscription",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical subscription",
                "verbose_name_plural": "historical subscriptions",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalInvoice",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("periodic", "Periodic"),
                            ("adjustment", "Adjustment"),
                            ("one_off", "One-off"),
                            ("at_start", "At the start"),
                            ("consolidated", "Consolidated"),
                        ],
                        default="periodic",
                        max_length=16,
                    ),
                ),
                (
                    "part_n",
                    models.PositiveIntegerField(blank=True, help_text="Its place on it, from 1.", null=True),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("issued", "Issued"),
                            ("paid", "Paid"),
                            ("void", "Void"),
                            ("written_off", "Written off"),
                            ("part", "On a consolidated invoice"),
                        ],
                        default="draft",
                        max_length=16,
                    ),
                ),
                ("sequence", models.BigIntegerField(null=True)),
                ("number", models.CharField(max_length=64, null=True)),
                ("period_start", models.DateField(help_text="First local day of the period.")),
                ("period_end", models.DateField(help_text="First local day after the period.")),
                ("zone", models.CharField(max_length=64, verbose_name="time zone")),
                ("starts_at", models.DateTimeField(help_text="The first instant of the period.")),
                ("ends_at", models.DateTimeField(help_text="The first instant after the period.")),
                ("currency", models.CharField(max_length=3)),
                (
                    "subtotal",
                    billing.models.invoices.AmountField(
                        decimal_places=4, help_text="The sum of the lines.", max_digits=24
                    ),
                ),
                (
                    "discount",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        help_text="What coupons take off the lines.",
                        max_digits=24,
                    ),
                ),
                (
                    "tax",
                    billing.models.invoices.AmountField(
                        decimal_places=4, help_text="Added on top of the lines.", max_digits=24
                    ),
                ),
                (
                    "tax_included",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        help_text="Contained in the lines where prices include tax.",
                        max_digits=24,
                    ),
                ),
                ("total", billing.models.invoices.AmountField(decimal_places=4, max_digits=24)),
                (
                    "credits_applied",
                    billing.models.invoices.AmountField(
                        decimal_places=4,
                        default=0,
                        help_text="Paid from credits when it was issued. Below 0: a total below 0 that became a credit.",
                        max_digits=24,
                    ),
                ),
                (
                    "amount_paid",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                (
                    "amount_credited",
                    billing.models.invoices.AmountField(
                        decimal_places=4, default=0, help_text="Taken off by credit notes.", max_digits=24
                    ),
                ),
                (
                    "amount_written_off",
                    billing.models.invoices.AmountField(decimal_places=4, default=0, max_digits=24),
                ),
                ("plan_name", models.CharField(max_length=200)),
                ("plan_code", models.CharField(max_length=200)),
                ("plan_version", models.PositiveIntegerField()),
                (
                    "watermark",
                    models.BigIntegerField(help_text="Events of batches up to this position were measured."),
                ),
                ("drawn_up_at", models.DateTimeField(help_text="When its figures were computed.")),
                ("issue_after", models.DateTimeField(help_text="End of the grace days.")),
                ("issued_at", models.DateTimeField(blank=True, null=True)),
                ("due_on", models.DateField(blank=True, null=True)),
                (
                    "key",
                    models.CharField(
                        blank=True,
                        help_text="The caller's own name for a one-off invoice: made once.",
                        max_length=200,
                        null=True,
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
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
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
                    "part_of",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The consolidated invoice that this is printed on and paid with.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.invoice",
                    ),
                ),
                (
                    "series",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.invoiceseries",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="None on a one-off invoice, which belongs to no plan, and on a consolidated one.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.subscription",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical invoice",
                "verbose_name_plural": "historical invoices",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="SubscriptionChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("plan", "Plan changed"),
                            ("quantity", "Seats changed"),
                            ("pause", "Paused"),
                            ("resume", "Resumed"),
                            ("cancel", "Cancelled"),
                            ("reactivate", "Reactivated"),
                            ("undo", "Taken back"),
                        ],
                        max_length=16,
                    ),
                ),
                ("effective_on", models.DateField(help_text="The first local day on which it holds.")),
                (
                    "until_on",
                    models.DateField(help_text="Of a pause: the first day that is billed again.", null=True),
                ),
                ("quantity", models.PositiveIntegerField(null=True, verbose_name="seats")),
                (
                    "previous_end_on",
                    models.DateField(help_text="The end that held before, to go back to.", null=True),
                ),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(blank=True, help_text="The person or API key.", max_length=200)),
                ("reason", models.CharField(blank=True, max_length=400)),
                (
                    "following",
                    models.ForeignKey(
                        help_text="The subscription that goes on from that day.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.subscription",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="changes",
                        to="billing.subscription",
                    ),
                ),
                (
                    "undoes",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="undone_by",
                        to="billing.subscriptionchange",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                ["plan", "quantity", "pause", "resume", "cancel", "reactivate", "undo"],
                            )
                        ),
                        name="subscriptionchange_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "quantity"), ("quantity__isnull", False)),
                            models.Q(models.Q(("kind", "quantity"), _negated=True), ("quantity", None)),
                            _connector="OR",
                        ),
                        name="subscriptionchange_names_seats",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "undo"), ("undoes__isnull", False)),
                            models.Q(models.Q(("kind", "undo"), _negated=True), ("undoes", None)),
                            _connector="OR",
                        ),
                        name="subscriptionchange_undo_names_change",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("until_on", None),
                            models.Q(("kind", "pause"), ("until_on__gt", models.F("effective_on"))),
                            _connector="OR",
                        ),
                        name="subscriptionchange_pause_not_empty",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TaxRate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "country",
                    models.CharField(max_length=2, validators=[customers.countries.validate_country]),
                ),
                (
                    "region",
                    models.CharField(
                        blank=True,
                        help_text="A state or province, as customers have it. Empty: the whole country.",
                        max_length=10,
                    ),
                ),
                (
                    "category",
                    models.CharField(
                        choices=[
                            ("standard", "Standard"),
                            ("reduced", "Reduced"),
                            ("digital", "Digital services"),
                            ("services", "Professional services"),
                            ("exempt", "Not taxable"),
                        ],
                        default="standard",
                        max_length=16,
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="Printed on invoices: VAT, GST, sales tax.", max_length=60),
                ),
                ("percent", metering.models.fields.QuantityField(decimal_places=6, max_digits=9)),
                (
                    "inclusive",
                    models.BooleanField(
                        default=False,
                        help_text="The tax is inside the prices, not added to them.",
                        verbose_name="prices include it",
                    ),
                ),
                (
                    "on_top",
                    models.BooleanField(
                        default=False,
                        help_text="A region's tax that is charged in addition to its country's, as in Quebec.",
                        verbose_name="beside the country's",
                    ),
                ),
                (
                    "valid_from",
                    models.DateField(default=datetime.date(2000, 1, 1), help_text="The first day it holds."),
                ),
                (
                    "valid_until",
                    models.DateField(
                        blank=True,
                        help_text="The first day it no longer holds.",
                        null=True,
                        verbose_name="valid before",
                    ),
                ),
                (
                    "source",
                    models.CharField(blank=True, help_text="Where the rate was looked up.", max_length=200),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["country", "region", "category", "-valid_from"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("country__regex", "^[A-Z]{2}$")), name="taxrate_country_iso"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("category__in", ["standard", "reduced", "digital", "services"])),
                        name="taxrate_category_taxable",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("percent__range", (0, 100))), name="taxrate_percent_in_range"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_until", None),
                            ("valid_until__gt", models.F("valid_from")),
                            _connector="OR",
                        ),
                        name="taxrate_valid_for_a_day",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("on_top", False),
                            models.Q(models.Q(("region", ""), _negated=True), ("inclusive", False)),
                            _connector="OR",
                        ),
                        name="taxrate_on_top_of_a_country",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TaxSetup",
            fields=[
                (
                    "singleton",
                    models.BooleanField(default=True, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "seller_country",
                    models.CharField(
                        blank=True,
                        help_text="Businesses in other EU countries are invoiced with reverse charge when yours is in the EU.",
                        max_length=2,
                        validators=[customers.countries.validate_country],
                        verbose_name="your country",
                    ),
                ),
                (
                    "reverse_charge_sentence",
                    models.CharField(
                        default="Reverse charge: the customer is liable for the tax.",
                        help_text="Printed on invoices where the customer owes the tax.",
                        max_length=200,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "tax setup",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("singleton", True)), name="taxsetup_one_row"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("seller_country", ""), ("seller_country__regex", "^[A-Z]{2}$"), _connector="OR"
                        ),
                        name="taxsetup_country_iso",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageLimit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "quantity",
                    metering.models.fields.QuantityField(
                        blank=True,
                        decimal_places=18,
                        help_text="Units of the meter in one billing period.",
                        max_digits=38,
                        null=True,
                        verbose_name="in units",
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        help_text="Or what they may cost in one billing period, in the customer's currency, before coupons and tax.",
                        max_digits=20,
                        null=True,
                        verbose_name="in money",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("hard", "Hard: no more is allowed"),
                            ("soft", "Soft: still allowed, but shown"),
                        ],
                        default="hard",
                        max_length=8,
                        verbose_name="at the limit",
                    ),
                ),
                (
                    "set_by",
                    models.CharField(
                        choices=[("staff", "Us"), ("customer", "The customer")],
                        default="staff",
                        editable=False,
                        max_length=8,
                    ),
                ),
                (
                    "remind_at",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(
                            validators=[
                                django.core.validators.MinValueValidator(1),
                                django.core.validators.MaxValueValidator(1000),
                            ]
                        ),
                        blank=True,
                        default=billing.models.limits.usual_reminders,
                        help_text="Mail, webhook and a note in the portal, each once per billing period: 50, 80, 100. Empty: never.",
                        size=None,
                        verbose_name="remind at percent",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage_limits",
                        to="customers.customer",
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.meter"
                    ),
                ),
            ],
            options={
                "ordering": ["customer", "meter", "-set_by"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer", "meter", "set_by"),
                        name="usagelimit_one_per_meter",
                        violation_error_message="There is a limit for this customer and meter already. Change that one.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amount__isnull", True), ("quantity__isnull", False)),
                            models.Q(("amount__isnull", False), ("quantity__isnull", True)),
                            _connector="OR",
                        ),
                        name="usagelimit_units_or_money",
                        violation_error_message="Give the limit in units or in money, one of the two.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("quantity", None), ("quantity__gte", 0), _connector="OR"),
                            models.Q(("amount", None), ("amount__gte", 0), _connector="OR"),
                        ),
                        name="usagelimit_not_negative",
                        violation_error_message="A limit is 0 or more.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["hard", "soft"])), name="usagelimit_kind_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("set_by__in", ["staff", "customer"])),
                        name="usagelimit_setter_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LimitReminder",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("period_start", models.DateTimeField()),
                ("percent", models.PositiveSmallIntegerField()),
                ("used", models.DecimalField(decimal_places=18, max_digits=38)),
                ("reached_at", models.DateTimeField()),
                (
                    "limit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reminders",
                        to="billing.usagelimit",
                    ),
                ),
            ],
            options={
                "ordering": ["-reached_at", "-percent"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("limit", "period_start", "percent"), name="limitreminder_once_per_period"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("url", models.URLField(max_length=1000, verbose_name="URL")),
                (
                    "description",
                    models.CharField(blank=True, help_text="Which system listens there.", max_length=200),
                ),
                (
                    "event_types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("invoice.issued", "An invoice was issued"),
                                ("invoice.paid", "Nothing is due on an invoice any more"),
                                ("invoice.overdue", "An invoice is past its due day"),
                                ("invoice.voided", "An invoice was voided"),
                                ("credit_note.issued", "A credit note was issued"),
                                ("subscription.changed", "A plan was assigned, changed or ended"),
                                ("alert.fired", "A budget or a credit balance reached its threshold"),
                                ("usage_limit.reached", "A customer reached a part of a usage limit"),
                                ("outcome.disputed", "A customer disputed an outcome"),
                                ("dispute.decided", "A dispute was decided"),
                                ("dispute.reopened", "What was declined is looked at again"),
                                ("dispute.withdrawn", "A customer withdrew a dispute"),
                                ("close.finished", "A close of a month ended"),
                            ],
                            max_length=64,
                        ),
                        blank=True,
                        default=list,
                        help_text="None chosen: all of them, those of later versions too.",
                        size=None,
                        verbose_name="events",
                    ),
                ),
                (
                    "contact",
                    models.EmailField(
                        blank=True,
                        help_text="Who gets a mail when it is switched off because it fails.",
                        max_length=254,
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                ("secret_salt", models.CharField(editable=False, max_length=64)),
                (
                    "secret_print",
                    models.CharField(
                        editable=False, help_text="The beginning of the secret's fingerprint.", max_length=16
                    ),
                ),
                ("old_secret_salt", models.CharField(blank=True, editable=False, max_length=64)),
                ("old_secret_print", models.CharField(blank=True, editable=False, max_length=16)),
                ("old_secret_until", models.DateTimeField(editable=False, null=True)),
                ("made_at", models.DateTimeField(editable=False)),
                ("made_by", models.CharField(editable=False, max_length=200)),
                ("last_success_at", models.DateTimeField(editable=False, null=True)),
                ("failing_since", models.DateTimeField(editable=False, null=True)),
                (
                    "switched_off_at",
                    models.DateTimeField(
                        editable=False, help_text="When it was switched off because it failed.", null=True
                    ),
                ),
                ("switched_off_reason", models.CharField(blank=True, editable=False, max_length=400)),
                ("removed_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "ordering": ["id"],
                "permissions": [("send_webhook", "Can send webhooks again and send tests")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("removed_at", None), ("active", False), _connector="OR"),
                        name="webhookendpoint_removed_is_off",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("switched_off_at", None), ("switched_off_reason", "")),
                            models.Q(
                                ("active", False),
                                ("switched_off_at__isnull", False),
                                models.Q(("switched_off_reason", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="webhookendpoint_off_says_why",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("old_secret_print", ""), ("old_secret_salt", ""), ("old_secret_until", None)
                            ),
                            models.Q(
                                ("old_secret_until__isnull", False),
                                models.Q(("old_secret_salt", ""), _negated=True),
                                models.Q(("old_secret_print", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="webhookendpoint_old_secret_whole",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookMessage",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("invoice.issued", "An invoice was issued"),
                            ("invoice.paid", "Nothing is due on an invoice any more"),
                            ("invoice.overdue", "An invoice is past its due day"),
                            ("invoice.voided", "An invoice was voided"),
                            ("credit_note.issued", "A credit note was issued"),
                            ("subscription.changed", "A plan was assigned, changed or ended"),
                            ("alert.fired", "A budget or a credit balance reached its threshold"),
                            ("usage_limit.reached", "A customer reached a part of a usage limit"),
                            ("outcome.disputed", "A customer disputed an outcome"),
                            ("dispute.decided", "A dispute was decided"),
                            ("dispute.reopened", "What was declined is looked at again"),
                            ("dispute.withdrawn", "A customer withdrew a dispute"),
                            ("close.finished", "A close of a month ended"),
                            ("webhook.test", "A test that somebody asked for"),
                        ],
                        max_length=64,
                    ),
                ),
                (
                    "subject",
                    models.CharField(help_text="What it is about: the number of an invoice.", max_length=200),
                ),
                ("body", models.TextField()),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-made_at"],
                "indexes": [models.Index(fields=["made_at"], name="webhookmessage_made")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "type__in",
                                [
                                    "invoice.issued",
                                    "invoice.paid",
                                    "invoice.overdue",
                                    "invoice.voided",
                                    "credit_note.issued",
                                    "subscription.changed",
                                    "alert.fired",
                                    "usage_limit.reached",
                                    "outcome.disputed",
                                    "dispute.decided",
                                    "dispute.reopened",
                                    "dispute.withdrawn",
                                    "close.finished",
                                    "webhook.test",
                                ],
                            )
                        ),
                        name="webhookmessage_type_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("delivered", "Delivered"), ("failed", "Given up")],
                        default="waiting",
                        max_length=16,
                    ),
                ),
                (
                    "attempts",
                    models.PositiveSmallIntegerField(default=0, help_text="Since it was last asked for."),
                ),
                (
                    "next_try_at",
                    models.DateTimeField(help_text="While one is under way: when it counts as lost."),
                ),
                ("delivered_at", models.DateTimeField(blank=True, null=True)),
                (
                    "requested_by",
                    models.CharField(
                        blank=True,
                        help_text="Who asked for it; empty: it was sent by itself.",
                        max_length=200,
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="billing.webhookendpoint",
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="billing.webhookmessage",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "webhook deliveries",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "waiting")),
                        fields=["endpoint", "next_try_at"],
                        name="webhookdelivery_waiting",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("message", "endpoint"), name="webhookdelivery_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("delivered_at__isnull", False), ("state", "delivered")),
                            models.Q(("delivered_at", None), ("state__in", ["waiting", "failed"])),
                            _connector="OR",
                        ),
                        name="webhookdelivery_state_fits",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("milliseconds", models.PositiveIntegerField()),
                (
                    "status",
                    models.PositiveSmallIntegerField(
                        help_text="The HTTP status; none: no answer.", null=True
                    ),
                ),
                ("answer", models.TextField(blank=True, help_text="The beginning of what was answered.")),
                ("error", models.CharField(blank=True, max_length=400)),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tries",
                        to="billing.webhookdelivery",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-id"],
            },
        ),
    ]
