"""What each issued invoice settled of earlier lines, and up to where waivers looked; known settlements written down."""

import django.db.models.deletion
from django.db import migrations, models

KNOWN = """
INSERT INTO billing_linesettlement (line_id, invoice_id, position)
SELECT DISTINCT line.adjusts_id, invoice.id, invoice.watermark
FROM billing_invoiceline line JOIN billing_invoice invoice ON invoice.id = line.invoice_id
WHERE line.kind = 'adjustment' AND invoice.status <> 'draft'
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_close_of_some")]

    operations = [
        migrations.AddField(
            model_name="adjustmentwaiver",
            name="position",
            field=models.BigIntegerField(
                default=0, help_text="Events of batches up to this position were looked at."
            ),
            preserve_default=False,
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
        ),
        migrations.AddConstraint(
            model_name="linesettlement",
            constraint=models.UniqueConstraint(
                fields=("line", "invoice"), name="linesettlement_once_per_invoice"
            ),
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
    ]
