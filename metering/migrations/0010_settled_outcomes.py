"""Settle outcomes ahead: a note of what became of each, which large counts read in place of the events."""

import django.db.models.deletion
from django.db import migrations, models

import metering.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0002_customers_stay"),
        ("metering", "0009_attempts_of_outcomes"),
    ]

    operations = [
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
        migrations.AddField(
            model_name="rollup",
            name="settled_position",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.RemoveIndex(model_name="event", name="event_signals"),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("signal__isnull", False)),
                fields=["customer", "meter", "subject", "occurred_at"],
                name="event_signals",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("target_id__isnull", False)), fields=["target_id"], name="event_targets"
            ),
        ),
        # The index alone answers only for pages that a vacuum has seen since they were written.
        migrations.RunSQL(
            "ALTER TABLE metering_settledoutcome SET (autovacuum_vacuum_insert_scale_factor = 0.01,"
            " autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02)",
            "ALTER TABLE metering_settledoutcome RESET (autovacuum_vacuum_insert_scale_factor,"
            " autovacuum_vacuum_insert_threshold, autovacuum_vacuum_scale_factor)",
        ),
    ]
