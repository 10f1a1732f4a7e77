"""Credits granted anew in every period; that a period has its credit once is held here."""

import django.db.models.deletion
from django.db import migrations, models

import billing.models.invoices

FORWARD = """
CREATE FUNCTION billing_recurring_grant_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable CONSTANT text[] := '{next_on,next_at,stopped_at,stopped_by}';
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Recurring grant % cannot be deleted, only stopped.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - changeable IS DISTINCT FROM to_jsonb(OLD) - changeable
       OR NEW.next_on < OLD.next_on
       OR (OLD.stopped_at IS NOT NULL AND NEW IS DISTINCT FROM OLD)
    THEN
        RAISE EXCEPTION 'Recurring grant % cannot be changed, only stopped.', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER recurring_grant_stays BEFORE UPDATE OR DELETE ON billing_recurringgrant
    FOR EACH ROW EXECUTE FUNCTION billing_recurring_grant_stays();

CREATE FUNCTION billing_credit_is_as_agreed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_recurringgrant agreed WHERE agreed.id = NEW.recurring_id
        AND (agreed.customer_id, agreed.currency, agreed.amount) = (NEW.customer_id, NEW.currency, NEW.amount)
    ) THEN
        RAISE EXCEPTION 'A credit is not what its recurring grant % says.', NEW.recurring_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credit_is_as_agreed BEFORE INSERT ON billing_creditgrant
    FOR EACH ROW WHEN (NEW.recurring_id IS NOT NULL) EXECUTE FUNCTION billing_credit_is_as_agreed();
"""
BACKWARD = """
DROP TRIGGER credit_is_as_agreed ON billing_creditgrant;
DROP FUNCTION billing_credit_is_as_agreed;
DROP TRIGGER recurring_grant_stays ON billing_recurringgrant;
DROP FUNCTION billing_recurring_grant_stays;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0030_late_usage_credited"),
        ("customers", "0004_payment_terms"),
    ]

    operations = [
        migrations.AddField(
            model_name="creditgrant",
            name="recurring_on",
            field=models.DateField(
                editable=False, help_text="The first day of the period that it is for.", null=True
            ),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="rollover_until",
            field=models.DateTimeField(
                blank=True, help_text="Until when the new grant lasts, where that is a moment.", null=True
            ),
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
            },
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="recurring",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="grants",
                to="billing.recurringgrant",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.UniqueConstraint(
                fields=("recurring", "recurring_on"), name="creditgrant_once_per_period"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("recurring", None), ("recurring_on", None)),
                    models.Q(("recurring__isnull", False), ("recurring_on__isnull", False)),
                    _connector="OR",
                ),
                name="creditgrant_recurring_names_period",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
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
        ),
        migrations.AddIndex(
            model_name="recurringgrant",
            index=models.Index(
                condition=models.Q(("stopped_at", None)), fields=["next_at"], name="recurringgrant_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="recurringgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["prepaid", "promotional"])), name="recurringgrant_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="recurringgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("interval__in", ["month", "quarter", "year"])),
                name="recurringgrant_interval_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="recurringgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="recurringgrant_amount_above_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="recurringgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("rollover_limit", None),
                    models.Q(("expires", True), ("rollover_limit__gt", 0)),
                    _connector="OR",
                ),
                name="recurringgrant_rolls_over_at_expiry",
            ),
        ),
        migrations.AddConstraint(
            model_name="recurringgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("end_on", None), ("end_on__gt", models.F("start_on")), _connector="OR"),
                name="recurringgrant_ends_after_start",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
