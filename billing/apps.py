from django.apps import AppConfig


class BillingConfig(AppConfig):
    """What it costs: plans, rates, subscriptions, invoices. No raw event is read here."""

    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Billing"

    def ready(self) -> None:
        from billing.pricing import why_priced_meter_stays
        from metering.defining import also_frozen_by

        also_frozen_by.append(why_priced_meter_stays)
