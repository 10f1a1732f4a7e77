"""The texts of mails as staff find them before they edit them."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def write_texts(apps: Any, schema_editor: Any) -> None:
    from billing.mailing import TEXTS

    apps.get_model("billing", "MailText").objects.bulk_create(
        apps.get_model("billing", "MailText")(kind=str(kind), subject=subject, body=body)
        for kind, (subject, body) in TEXTS.items()
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_corrections_stay")]
    operations = [migrations.RunPython(write_texts, migrations.RunPython.noop)]
