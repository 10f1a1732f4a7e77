"""What the groups may do with coupons, credits and tax."""

from __future__ import annotations

import importlib

from django.db import migrations

grant_again = importlib.import_module("config.migrations.0002_staff_closes").grant_again


class Migration(migrations.Migration):
    dependencies = [("config", "0007_staff_settlements"), ("billing", "0013_ledger_stays")]
    operations = [migrations.RunPython(grant_again, migrations.RunPython.noop)]
