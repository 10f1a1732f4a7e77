from django.apps import AppConfig


class BillingConfig(AppConfig):
    """What it costs: plans, rates, subscriptions, invoices. No raw event is read here."""

    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Billing"
