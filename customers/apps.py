from django.apps import AppConfig


class CustomersConfig(AppConfig):
    """Who: customers, their API keys and their access to the portal."""

    name = "customers"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Customers"

    def ready(self) -> None:
        from customers.api import schema  # noqa: F401  registers how a key is sent
