"""What the groups may do with costs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

from config.roles import APPS, grant


def grant_again(apps: Any, schema_editor: Any) -> None:
    # Django makes permissions after all migrations; the groups need them now.
    for label in APPS:
        app = apps.get_app_config(label)
        app.models_module = True
        create_permissions(app, apps=apps, verbosity=0)
        app.models_module = None
    grant(apps.get_model("auth", "Group").objects, apps.get_model("auth", "Permission").objects)


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0004_staff_checks"),
        ("billing", "0007_cost_rates"),
        ("metering", "0007_workload_rules"),
    ]
    operations = [migrations.RunPython(grant_again, migrations.RunPython.noop)]
