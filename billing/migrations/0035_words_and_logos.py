"""Words and logos of documents: named by their content, and never changed."""

import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

STAY = """
CREATE FUNCTION billing_paper_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Documents were written with this; it stays as it is.' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER words_stay BEFORE UPDATE OR DELETE ON billing_documentwords
    FOR EACH ROW EXECUTE FUNCTION billing_paper_stays();
CREATE TRIGGER logo_stays BEFORE UPDATE OR DELETE ON billing_logo
    FOR EACH ROW EXECUTE FUNCTION billing_paper_stays();
"""
MAY_GO = """
DROP TRIGGER words_stay ON billing_documentwords;
DROP TRIGGER logo_stays ON billing_logo;
DROP FUNCTION billing_paper_stays;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0034_mails_in_doubt"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
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
            name="Seller",
            fields=[
                (
                    "singleton",
                    models.BooleanField(default=True, editable=False, primary_key=True, serialize=False),
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
        migrations.RunSQL(STAY, MAY_GO),
    ]
