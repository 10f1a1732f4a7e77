from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning


@register(Tags.security, deploy=True)
def check_installation_is_local(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.LOCAL:
        return []
    return [
        CheckWarning(
            "These are local settings: plain http, reachable from this machine only.",
            hint="Set ALLOWED_HOSTS to the public name and SECRET_KEY to a random value (see docs).",
            id="reckoner.W001",
        )
    ]
