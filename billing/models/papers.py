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
    """What staff say about the company that bills. One row; names and addresses come from the environment."""

    singleton = models.BooleanField(primary_key=True, default=True, editable=False)
    logo = models.ForeignKey(Logo, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = "seller"
        constraints: ClassVar = [models.CheckConstraint(condition=Q(singleton=True), name="seller_one_row")]

    def __str__(self) -> str:
        return "Seller"
