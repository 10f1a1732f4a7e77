"""Log lines without what would let a reader in: a sign-in link is as good as a password until it is used."""

from __future__ import annotations

import logging
import re

LINK = re.compile(r"(/portal/link/)[^/\s\"']+")


def without_links(text: str) -> str:
    """Put dots for the secret part of every sign-in link in a text."""
    return LINK.sub(r"\1…", text)


class WithoutLinks(logging.Filter):
    """Takes the secret part of sign-in links out of each line: Django logs the address of a form it refuses."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "/portal/link/" in message:
            record.msg, record.args = without_links(message), ()
        return True
