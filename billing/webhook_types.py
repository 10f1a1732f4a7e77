"""What webhooks tell of: each type with the sentence that staff and integrators read."""

from __future__ import annotations

from django.db import models


class WebhookType(models.TextChoices):
    """The name in the field `type` of a body, and when it is sent."""

    INVOICE_ISSUED = "invoice.issued", "An invoice was issued"
    INVOICE_PAID = "invoice.paid", "Nothing is due on an invoice any more"
    INVOICE_OVERDUE = "invoice.overdue", "An invoice is past its due day"
    INVOICE_VOIDED = "invoice.voided", "An invoice was voided"
    CREDIT_NOTE_ISSUED = "credit_note.issued", "A credit note was issued"
    SUBSCRIPTION_CHANGED = "subscription.changed", "A plan was assigned, changed or ended"
    ALERT_FIRED = "alert.fired", "A budget or a credit balance reached its threshold"
    USAGE_LIMIT_REACHED = "usage_limit.reached", "A customer reached a part of a usage limit"
    OUTCOME_DISPUTED = "outcome.disputed", "A customer disputed an outcome"
    DISPUTE_DECIDED = "dispute.decided", "A dispute was decided"
    DISPUTE_REOPENED = "dispute.reopened", "What was declined is looked at again"
    DISPUTE_WITHDRAWN = "dispute.withdrawn", "A customer withdrew a dispute"
    CLOSE_FINISHED = "close.finished", "A close of a month ended"
    TEST = "webhook.test", "A test that somebody asked for"


# An endpoint chooses among these; a test goes to the endpoint it is asked for.
CHOOSABLE = [kind for kind in WebhookType if kind != WebhookType.TEST]
