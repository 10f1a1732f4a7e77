"""What the groups may do with payments, credit notes and drafts."""

from __future__ import annotations

import importlib

from django.db import migrations

grant_again = importlib.import_module("config.migrations.0002_staff_closes").grant_again


class Migration(migrations.Migration):
    dependencies = [("config", "0006_staff_late_usage"), ("billing", "0020_deliveries")]
    operations = [migrations.RunPython(grant_again, migrations.RunPython.noop)]
