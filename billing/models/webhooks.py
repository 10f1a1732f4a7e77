"""Webhooks and notices that wait to be sent: rows written in the transaction of what they tell of."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from billing.models.deliveries import MailState
from billing.webhook_types import CHOOSABLE, WebhookType


class WebhookEndpoint(models.Model):
    """An address that is told what happens. Its secret is derived when it signs and stored nowhere."""

    url = models.URLField("URL", max_length=1000)
    description = models.CharField(max_length=200, blank=True, help_text="Which system listens there.")
    event_types = ArrayField(
        models.CharField(max_length=64, choices=[(each.value, each.label) for each in CHOOSABLE]),
        verbose_name="events",
        default=list,
        blank=True,
        help_text="None chosen: all of them, those of later versions too.",
    )
    contact = models.EmailField(
        blank=True, help_text="Who gets a mail when it is switched off because it fails."
    )
    active = models.BooleanField(default=True)
    secret_salt = models.CharField(max_length=64, editable=False)
    secret_print = models.CharField(
        max_length=16, editable=False, help_text="The beginning of the secret's fingerprint."
    )
    old_secret_salt = models.CharField(max_length=64, blank=True, editable=False)
    old_secret_print = models.CharField(max_length=16, blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)
    made_at = models.DateTimeField(editable=False)
    made_by = models.CharField(max_length=200, editable=False)
    last_success_at = models.DateTimeField(null=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    switched_off_at = models.DateTimeField(
        null=True, editable=False, help_text="When it was switched off because it failed."
    )
    switched_off_reason = models.CharField(max_length=400, blank=True, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["id"]
        permissions: ClassVar = [("send_webhook", "Can send webhooks again and send tests")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(removed_at=None) | Q(active=False), name="webhookendpoint_removed_is_off"
            ),
            models.CheckConstraint(
                condition=Q(switched_off_at=None, switched_off_reason="")
                | (Q(switched_off_at__isnull=False, active=False) & ~Q(switched_off_reason="")),
                name="webhookendpoint_off_says_why",
            ),
            models.CheckConstraint(
                condition=Q(old_secret_until=None, old_secret_salt="", old_secret_print="")
                | (Q(old_secret_until__isnull=False) & ~Q(old_secret_salt="") & ~Q(old_secret_print="")),
                name="webhookendpoint_old_secret_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.description or self.url

    @property
    def state(self) -> tuple[str, str]:
        """Give a word and a sentence for how it is doing."""
        if self.removed_at is not None:
            return "removed", "Removed"
        if self.switched_off_at is not None:
            return "broken", "Switched off: it failed"
        if not self.active:
            return "off", "Switched off"
        return ("failing", "Failing") if self.failing_since is not None else ("on", "On")


class WebhookMessage(models.Model):
    """What happened, as it is sent: the same id and the same bytes at every try and to every endpoint."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    type = models.CharField(max_length=64, choices=WebhookType.choices)
    subject = models.CharField(max_length=200, help_text="What it is about: the number of an invoice.")
    body = models.TextField()
    made_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-made_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(type__in=WebhookType.values), name="webhookmessage_type_known")
        ]
        indexes: ClassVar = [models.Index(fields=["made_at"], name="webhookmessage_made")]

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"

    @property
    def sent_id(self) -> str:
        """Give the id as receivers see it."""
        return f"msg_{self.pk.hex}"


class WebhookState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Given up"


class WebhookDelivery(models.Model):
    """One message for one endpoint, until it was taken or given up."""

    message = models.ForeignKey(WebhookMessage, on_delete=models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    state = models.CharField(max_length=16, choices=WebhookState.choices, default=WebhookState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Since it was last asked for.")
    next_try_at = models.DateTimeField(help_text="While one is under way: when it counts as lost.")
    delivered_at = models.DateTimeField(null=True, blank=True)
    requested_by = models.CharField(
        max_length=200, blank=True, help_text="Who asked for it; empty: it was sent by itself."
    )

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "webhook deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["message", "endpoint"], name="webhookdelivery_once"),
            models.CheckConstraint(
                condition=Q(state="delivered", delivered_at__isnull=False)
                | Q(state__in=["waiting", "failed"], delivered_at=None),
                name="webhookdelivery_state_fits",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["endpoint", "next_try_at"],
                condition=Q(state="waiting"),
                name="webhookdelivery_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"{self.message} to {self.endpoint}"


class WebhookAttempt(models.Model):
    """One try of a delivery: what was answered, or why nothing was."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True, help_text="The HTTP status; none: no answer.")
    answer = models.TextField(blank=True, help_text="The beginning of what was answered.")
    error = models.CharField(max_length=400, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.status or self.error}"

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class NoticeMail(models.Model):
    """A mail without a document, to staff or a customer. The worker sends it, and tries again for a day."""

    to = models.EmailField()
    subject = models.CharField(max_length=200)
    body = models.TextField()
    state = models.CharField(max_length=8, choices=MailState.choices, default=MailState.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    error = models.CharField(max_length=400, blank=True)
    written_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-written_at", "-id"]
        verbose_name = "notice"
        indexes: ClassVar = [
            models.Index(fields=["next_try_at"], condition=Q(state="queued"), name="noticemail_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.subject} to {self.to}"
