from django.apps import AppConfig


class MeteringConfig(AppConfig):
    """How much: meters, events and workloads. No currency appears here."""

    name = "metering"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Meters"
