"""What tax is charged where: rates by country, region and category, and where the seller is."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from customers.countries import validate_country
from customers.history import HistoricalRecords
from metering.models import QuantityField


class TaxCategory(models.TextChoices):
    """What a price is for, as tax law sees it. A category without a rate of its own is taxed as standard."""

    STANDARD = "standard", "Standard"
    REDUCED = "reduced", "Reduced"
    DIGITAL = "digital", "Digital services"
    SERVICES = "services", "Professional services"
    EXEMPT = "exempt", "Not taxable"


class TaxRate(models.Model):
    """A percentage for a country or region and a category, on the days `[valid_from, valid_until)`.

    A region's rate takes the place of its country's, or with `on_top` is charged beside it. Invoices keep a copy, so
    that a change here never reaches what is issued. The database refuses two for one day (taxrate_one_at_a_time).
    """

    country = models.CharField(max_length=2, validators=[validate_country])
    region = models.CharField(
        max_length=10,
        blank=True,
        help_text="A state or province, as customers have it. Empty: the whole country.",
    )
    category = models.CharField(max_length=16, choices=TaxCategory.choices, default=TaxCategory.STANDARD)
    name = models.CharField(max_length=60, help_text="Printed on invoices: VAT, GST, sales tax.")
    percent = QuantityField(max_digits=9, decimal_places=6)
    inclusive = models.BooleanField(
        "prices include it", default=False, help_text="The tax is inside the prices, not added to them."
    )
    on_top = models.BooleanField(
        "beside the country's",
        default=False,
        help_text="A region's tax that is charged in addition to its country's, as in Quebec.",
    )
    valid_from = models.DateField(default=date(2000, 1, 1), help_text="The first day it holds.")
    valid_until = models.DateField(
        "valid before", null=True, blank=True, help_text="The first day it no longer holds."
    )
    source = models.CharField(max_length=200, blank=True, help_text="Where the rate was looked up.")
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering: ClassVar = ["country", "region", "category", "-valid_from"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(country__regex=r"^[A-Z]{2}$"), name="taxrate_country_iso"),
            models.CheckConstraint(
                condition=Q(category__in=[each for each in TaxCategory.values if each != TaxCategory.EXEMPT]),
                name="taxrate_category_taxable",
            ),
            models.CheckConstraint(condition=Q(percent__range=(0, 100)), name="taxrate_percent_in_range"),
            models.CheckConstraint(
                condition=Q(valid_until=None) | Q(valid_until__gt=F("valid_from")),
                name="taxrate_valid_for_a_day",
            ),
            models.CheckConstraint(
                condition=Q(on_top=False) | (~Q(region="") & Q(inclusive=False)),
                name="taxrate_on_top_of_a_country",
            ),
        ]

    def __str__(self) -> str:
        where = f"{self.country}-{self.region}" if self.region else self.country
        return f"{self.name} {self.percent.normalize():f} % ({where})"


class TaxSetup(models.Model):
    """Where the seller is, and what invoices say where the customer owes the tax. One row."""

    REVERSE_CHARGE_SENTENCE = "Reverse charge: the customer is liable for the tax."

    singleton = models.BooleanField(primary_key=True, default=True, editable=False)
    seller_country = models.CharField(
        "your country",
        max_length=2,
        blank=True,
        validators=[validate_country],
        help_text="Businesses in other EU countries are invoiced with reverse charge when yours is in the EU.",
    )
    reverse_charge_sentence = models.CharField(
        max_length=200,
        default=REVERSE_CHARGE_SENTENCE,
        help_text="Printed on invoices where the customer owes the tax.",
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = "tax setup"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(singleton=True), name="taxsetup_one_row"),
            models.CheckConstraint(
                condition=Q(seller_country="") | Q(seller_country__regex=r"^[A-Z]{2}$"),
                name="taxsetup_country_iso",
            ),
        ]

    def __str__(self) -> str:
        return "Tax set-up"
