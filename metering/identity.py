"""Identifiers we make ourselves."""

from __future__ import annotations

import os
import time
import uuid


def new_uuid7() -> uuid.UUID:
    """Make a time-ordered UUID (version 7, RFC 9562): new rows land at the end of their index."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    return uuid.UUID(int=number & ~(0xF << 76 | 0x3 << 62) | (0x7 << 76 | 0x2 << 62))
