from __future__ import annotations

from django.conf import settings
from django.contrib.staticfiles.management.commands import runserver


class Command(runserver.Command):
    """Django's, on the port that PORT names."""

    default_port = str(settings.PORT)
