"""The groups of staff, with what each may do."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

from config.roles import APPS, grant


def make_groups(apps: Any, schema_editor: Any) -> None:
    # Django makes permissions after all migrations; the groups need them now.
    for label in APPS:
        app = apps.get_app_config(label)
        app.models_module = True
        create_permissions(app, apps=apps, verbosity=0)
        app.models_module = None
    grant(apps.get_model("auth", "Group").objects, apps.get_model("auth", "Permission").objects)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("customers", "0002_customers_stay"),
        ("metering", "0002_facts_stay"),
        ("billing", "0007_texts_of_mails"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
