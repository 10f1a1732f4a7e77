from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The composition root: it registers the deployment checks and the commands that belong to no app."""

    name = "config"

    def ready(self) -> None:
        from config import checks  # noqa: F401  registers them
