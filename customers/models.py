"""WHO is billed: customers, the keys of their integrations, and the people who may open the portal."""

from __future__ import annotations

import zoneinfo
from typing import ClassVar

from babel import Locale, UnknownLocaleError
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from rest_framework_api_key.models import AbstractAPIKey

from customers.codes import validate_code
from customers.countries import validate_country
from customers.history import HistoricalRecords


def validate_timezone(name: str) -> None:
    """Refuse a name the time zone database does not know."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(
            "“%(name)s” is not a time zone. Use a name such as Europe/Berlin or America/New_York.",
            code="unknown_timezone",
            params={"name": name},
        )


def validate_locale(name: str) -> None:
    """Refuse a locale whose formats are not known."""
    try:
        Locale.parse(name)
    except (ValueError, TypeError, UnknownLocaleError):
        raise ValidationError(
            "“%(name)s” is not a known format. Use a name such as en_US, en_GB, de_DE or ja_JP.",
            code="unknown_locale",
            params={"name": name},
        ) from None


def validate_currency(code: str) -> None:
    """Refuse a currency that cannot be billed; which can is decided in billing."""
    if code not in settings.BILLABLE_CURRENCIES:
        raise ValidationError(
            "“%(code)s” is not a currency that can be billed. "
            "Use an ISO 4217 code in capitals, such as USD or EUR.",
            code="unknown_currency",
            params={"code": code},
        )


class TaxTreatment(models.TextChoices):
    """How a customer's invoices are taxed."""

    STANDARD = "standard", "By country and tax ID"
    EXEMPT = "exempt", "Exempt"
    REVERSE_CHARGE = "reverse_charge", "Reverse charge"


class BillTo(models.TextChoices):
    """Who gets the invoices of a customer."""

    ITSELF = "itself", "Itself"
    PARENT = "parent", "Its parent"


class Customer(models.Model):
    """Somebody who uses the service and receives invoices."""

    code = models.CharField(
        max_length=200,
        unique=True,
        validators=[validate_code],
        help_text="How your systems name this customer in events. It cannot be changed later.",
    )
    name = models.CharField(max_length=200, help_text="The name printed on invoices.")
    email = models.EmailField(blank=True, help_text="Where invoices and portal sign-in links are sent.")
    timezone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        validators=[validate_timezone],
        help_text="Billing periods begin at midnight here.",
    )
    currency = models.CharField(
        max_length=3,
        default="USD",
        validators=[validate_currency],
        help_text="Invoices are in this currency.",
    )
    address = models.TextField(blank=True, help_text="Printed on invoices, line by line.")
    country = models.CharField(
        max_length=2,
        blank=True,
        validators=[validate_country],
        help_text="Two letters. It decides which tax is charged.",
    )
    region = models.CharField(
        max_length=10,
        blank=True,
        help_text="State or province where its tax differs, as a short code: CA, QC.",
    )
    payment_days = models.PositiveSmallIntegerField(
        "days to pay",
        null=True,
        blank=True,
        validators=[MaxValueValidator(365)],
        help_text="From the day an invoice is issued until it is due. Leave empty for the usual number.",
    )
    locale = models.CharField(
        "language and formats",
        max_length=16,
        default="en_US",
        validators=[validate_locale],
        help_text="Of invoices and mails: en_US $1,234.50, en_GB, de_DE German and 1.234,50 $, fr_FR, ja_JP, ar_SA.",
    )
    tax_id = models.CharField("tax ID", max_length=64, blank=True, help_text="For example a VAT number.")
    tax_treatment = models.CharField(
        "tax",
        max_length=16,
        choices=TaxTreatment.choices,
        default=TaxTreatment.STANDARD,
        help_text="By country and tax ID: the rate of the country; reverse charge for a business in another EU "
        "country with a valid VAT number.",
    )
    tax_exempt_reason = models.CharField(
        max_length=200, blank=True, help_text="Printed on invoices of an exempt customer."
    )
    parent = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        help_text="The customer this one belongs to, such as the head office. A parent has no parent itself.",
    )
    bill_to = models.CharField(
        max_length=16,
        choices=BillTo.choices,
        default=BillTo.ITSELF,
        help_text="Its parent: what its plans cost goes on one consolidated invoice of the parent, with the parent's "
        "address, tax and credits. It counts for every invoice that is not issued yet.",
    )
    traits = models.JSONField(
        default=dict,
        blank=True,
        help_text="Anything you want to remember about this customer, by name.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["name", "code"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(code=""), name="customer_code_not_empty"),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[A-Z]{3}$"),
                name="customer_currency_iso",
            ),
            models.CheckConstraint(
                condition=models.Q(country="") | models.Q(country__regex=r"^[A-Z]{2}$"),
                name="customer_country_iso",
            ),
            models.CheckConstraint(
                condition=models.Q(tax_treatment__in=TaxTreatment.values),
                name="customer_tax_treatment_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(tax_treatment="exempt", tax_exempt_reason=""),
                name="customer_exempt_with_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(parent=None) | ~models.Q(parent=models.F("id")),
                name="customer_not_its_own_parent",
            ),
            models.CheckConstraint(
                condition=models.Q(bill_to="itself") | models.Q(bill_to="parent", parent__isnull=False),
                name="customer_billed_to_a_parent",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def payer_id(self) -> int:
        """Who pays its invoices: its parent where it is billed to it."""
        return self.parent_id if self.bill_to == BillTo.PARENT and self.parent_id else self.pk


class Scope(models.TextChoices):
    """What a key may do."""

    INGEST = "ingest", "Ingest: send events"
    READ = "read", "Read: usage and invoices"
    MANAGE = "manage", "Manage: set up meters, plans, customers"


class ApiKey(AbstractAPIKey):
    """A key of an integration. Only its hash is stored; the key itself is shown once, when it is made."""

    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices))
    source = models.CharField(
        max_length=100,
        default="api",
        help_text="Idempotency keys are unique within a source. Keys that replace each other share it.",
    )

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=[scope.value for scope in Scope])
                & models.Q(scopes__len__gte=1),
                name="apikey_scopes_known",
            )
        ]


class StoredAnswer(models.Model):
    """What was answered to a write that has a name (an Idempotency-Key, a form of staff), so that it is done once."""

    source = models.CharField(max_length=100, help_text="Of the API key that sent it.")
    key = models.CharField(max_length=200)
    request = models.TextField(help_text="Method and address.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what was sent.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty only until its transaction ends.")
    body = models.TextField()
    made_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "key"], name="storedanswer_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.request} under {self.key}"


class PortalAccess(models.Model):
    """A person who may open one customer's portal, through a link and without a password."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="portal_accesses")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="portal_access",
        editable=False,
    )
    email = models.EmailField()
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    link_sent_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "portal accesses"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["customer", "email"],
                condition=models.Q(revoked_at=None),
                name="portalaccess_one_live_per_email",
            )
        ]

    def __str__(self) -> str:
        return f"{self.email} for {self.customer}"
