"""Server settings of the embedded PostgreSQL, for a small machine that client, application and server share.

Durability is the product, so fsync, synchronous_commit and full_page_writes are never touched. What is set
follows the machine's memory; docs/configuration.md says why.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  where Linux keeps it
MIB = 1024 * 1024
SMALL_SHARED_MEMORY_BYTES = 512 * MIB


def server_options() -> dict[str, str]:
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    processors = os.cpu_count() or 1
    options = {
        "shared_buffers": f"{_between(128, memory_mib // 8, 1024)}MB",
        "effective_cache_size": f"{_between(256, memory_mib // 2, 65536)}MB",
        "maintenance_work_mem": f"{_between(64, memory_mib // 32, 512)}MB",
        "work_mem": f"{_between(4, memory_mib // 512, 32)}MB",
        "wal_buffers": "16MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "jit": "off",
        "max_connections": "100",
        "max_parallel_workers": str(processors),
        "max_parallel_workers_per_gather": str(_between(1, processors // 2, 4)),
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
    }
    if not _has_roomy_shared_memory():
        options["dynamic_shared_memory_type"] = "sysv"
    return options


def _has_roomy_shared_memory() -> bool:
    """Containers usually get 64 MiB of /dev/shm, which one parallel query can fill."""
    return SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).total >= SMALL_SHARED_MEMORY_BYTES


def _between(least: int, wanted: int, most: int) -> int:
    return max(least, min(wanted, most))
