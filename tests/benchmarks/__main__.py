"""`python -m tests.benchmarks`: make the months of events beforehand, in DATA_DIR."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.benchmarks import databases  # noqa: E402
from tests.benchmarks.dataset import DATASETS  # noqa: E402

for each in DATASETS:
    with databases.dataset(each):
        print(f"“{each.name}” is there.", flush=True)
