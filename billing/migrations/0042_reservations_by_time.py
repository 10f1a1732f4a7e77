"""What is reserved is counted by when it was made: the period it was made in follows from that."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0041_issued_once"),
        ("customers", "0008_stored_answers"),
        ("metering", "0010_settled_outcomes"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="reservation",
            name="reservation_held",
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("state", "held")),
                fields=["customer", "meter", "made_at"],
                name="reservation_held",
            ),
        ),
        migrations.RemoveField(model_name="reservation", name="period_start"),
    ]
