"""What the groups may do with late usage."""

from __future__ import annotations

import importlib

from django.db import migrations

grant_again = importlib.import_module("config.migrations.0002_staff_closes").grant_again


class Migration(migrations.Migration):
    dependencies = [("config", "0005_staff_costs"), ("billing", "0017_late_usage")]
    operations = [migrations.RunPython(grant_again, migrations.RunPython.noop)]
