"""Mails with documents, and the texts that staff edit."""

import django.db.models.deletion
from django.db import migrations, models


def write_texts(apps, schema_editor):
    from billing.mailing import TEXTS

    texts = apps.get_model("billing", "MailText")
    for kind, (subject, body) in TEXTS.items():
        texts.objects.get_or_create(kind=str(kind), defaults={"subject": subject, "body": body})


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0019_invoice_permissions"),
    ]

    operations = [
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
                        choices=[("queued", "Waiting"), ("sent", "Sent"), ("failed", "Failed")],
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
        migrations.RunPython(write_texts, migrations.RunPython.noop),
    ]
