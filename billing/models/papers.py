"""What documents are made of beside figures: words by language, the seller's logo. Both are frozen with documents.

Words and logos are named by their content and never change (triggers in a migration): documents keep the name.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from customers.history import HistoricalRecords


class DocumentWords(models.Model):
    """The fixed words of one language as some documents were written with. `labels` are the English of some of them."""

    digest = models.CharField(max_length=32, primary_key=True)
    language = models.CharField(max_length=8)
    texts = models.JSONField()
    labels = models.JSONField()

    class Meta:
        verbose_name_plural = "document words"

    def __str__(self) -> str:
        return f"{self.language} {self.digest}"


class Logo(models.Model):
    """A picture for the head of documents: a PNG file that this application wrote itself."""

    MOST_BYTES = 1024 * 1024

    digest = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    uploaded_by = models.CharField(max_length=200)
    uploaded_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(digest__regex="^[0-9a-f]{64}$"), name="logo_named_by_content"),
            models.CheckConstraint(condition=Q(width__gt=0, height__gt=0), name="logo_has_a_size"),
        ]

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


class Seller(models.Model):
    """What staff say about the company that bills. One row; what is empty the environment says, as ISSUER_NAME."""

    SAID: ClassVar = ("name", "address", "email", "tax_id", "payment", "terms")

    singleton = models.BooleanField(primary_key=True, default=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    address = models.TextField(max_length=1000, blank=True)
    email = models.EmailField(
        "e-mail", blank=True, help_text="Where customers may ask, and where answers to mails go."
    )
    tax_id = models.CharField("tax ID", max_length=64, blank=True)
    payment = models.TextField(
        "how to pay",
        max_length=1000,
        blank=True,
        help_text="Bank, account, IBAN. Printed on invoices with something due, and shown in the portal.",
    )
    terms = models.TextField(max_length=2000, blank=True, help_text="Printed at the foot of invoices.")
    logo = models.ForeignKey(Logo, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = "seller"
        constraints: ClassVar = [models.CheckConstraint(condition=Q(singleton=True), name="seller_one_row")]

    def __str__(self) -> str:
        return "Seller"
