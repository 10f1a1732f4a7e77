"""What the groups may do with recurring grants."""

from __future__ import annotations

import importlib

from django.db import migrations

grant_again = importlib.import_module("config.migrations.0002_staff_closes").grant_again


class Migration(migrations.Migration):
    dependencies = [("config", "0011_staff_budgets"), ("billing", "0031_recurring_grants")]
    operations = [migrations.RunPython(grant_again, migrations.RunPython.noop)]
