"""What the groups may do with the seller's logo."""

from __future__ import annotations

import importlib

from django.db import migrations

grant_again = importlib.import_module("config.migrations.0002_staff_closes").grant_again


class Migration(migrations.Migration):
    dependencies = [("config", "0012_staff_recurring"), ("billing", "0035_words_and_logos")]
    operations = [migrations.RunPython(grant_again, migrations.RunPython.noop)]
