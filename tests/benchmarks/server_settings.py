"""The settings of a normal installation, on a database of the benchmarks."""

import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["BENCH_DATABASE"]
