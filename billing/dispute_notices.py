"""Who is told of a dispute: the staff who may decide it, the customer, who pays for it, and webhook endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.models import User

from billing.formatting import amount_text
from billing.models import Dispute, DisputedOutcome, DisputedState, DisputeStep
from billing.notifying import announce, queue_mails
from billing.webhook_types import WebhookType


def tell_opened(dispute: Dispute, rows: Sequence[DisputedOutcome], *, now: datetime) -> None:
    """Announce a dispute, and mail it to the staff who may decide it."""
    announce(WebhookType.OUTCOME_DISPUTED, dispute.number, _data(dispute, rows), now=now)
    count = _count(len(rows))
    body = (
        f"{dispute.customer} disputes {count} of invoice {dispute.invoice.number}.\n\n{dispute.reason}\n\n"
        f"Decide it here: {settings.PUBLIC_URL}/admin/billing/dispute/{dispute.pk}/change/\n"
    )
    subject = f"{dispute.number}: {dispute.customer} disputes {count}"
    queue_mails(_deciders(), subject=subject, body=body, now=now)


def tell_decided(dispute: Dispute, step: DisputeStep, *, now: datetime) -> None:
    """Announce a decision, and mail it to whose outcomes they are and to who pays for them."""
    rows = list(step.outcomes.all())
    decision = {
        "accepted": step.accepted,
        "declined": step.declined,
        "answer": step.text,
        "remedy": step.remedy or None,
        "amount": amount_text(step.amount or Decimal(0), dispute.invoice.currency),
        "credit_note": step.credit_note.number if step.credit_note else None,
    }
    announce(WebhookType.DISPUTE_DECIDED, dispute.number, _data(dispute, rows) | decision, now=now)
    _mail_customers(
        dispute,
        f"Your dispute {dispute.number} was decided",
        f"Of the outcomes you disputed{{whose}} on invoice {{number}}, {_decided(step)}.",
        step.text,
        now=now,
    )


def tell_reopened(dispute: Dispute, step: DisputeStep, *, now: datetime) -> None:
    """Announce that staff look again, and mail it to the customers."""
    rows = list(dispute.outcomes.filter(state=DisputedState.OPEN))
    announce(
        WebhookType.DISPUTE_REOPENED, dispute.number, _data(dispute, rows) | {"text": step.text}, now=now
    )
    _mail_customers(
        dispute,
        f"Your dispute {dispute.number} is looked at again",
        "We look again at what was declined of the outcomes you disputed{whose} on invoice {number}.",
        step.text,
        now=now,
    )


def tell_withdrawn(dispute: Dispute, step: DisputeStep, *, now: datetime) -> None:
    """Announce that a customer took a dispute back, and mail it to the staff who were asked."""
    rows = list(step.outcomes.all())
    announce(
        WebhookType.DISPUTE_WITHDRAWN, dispute.number, _data(dispute, rows) | {"text": step.text}, now=now
    )
    subject = f"{dispute.number}: {dispute.customer} withdrew it"
    body = f"{step.by} withdrew {dispute.number}. Nothing is left to decide.\n\n{step.text}\n"
    queue_mails(_deciders(), subject=subject, body=body, now=now)


def _decided(step: DisputeStep) -> str:
    if not step.declined:
        return "one was accepted" if step.accepted == 1 else f"all {step.accepted} were accepted"
    if not step.accepted:
        return "none was accepted"
    return f"{step.accepted} {'was' if step.accepted == 1 else 'were'} accepted and {step.declined} declined"


def _mail_customers(dispute: Dispute, subject: str, sentence: str, said: str, *, now: datetime) -> None:
    """Write to whose outcomes they are and to who pays for them. `sentence` has places for whose they are and where."""
    readers = {dispute.customer.email: dispute.customer}
    if dispute.payer is not None:
        readers.setdefault(dispute.payer.email, dispute.payer)
    for email, reader in readers.items():
        if not email:
            continue
        own = reader == dispute.customer
        told = sentence.format(
            whose="" if own else f" for {dispute.customer}",
            number=dispute.invoice.number if own else dispute.printed_on.number,
        )
        body = (
            f"Dear {reader},\n\n{told}\n\n{said}\n\n"
            f"All of it is in your portal: {settings.PUBLIC_URL}/portal/disputes/{dispute.pk}/\n\n"
            f"{dispute.invoice.issuer.get('name', '')}\n"
        )
        queue_mails([email], subject=subject, body=body, now=now)


def _data(dispute: Dispute, rows: Sequence[DisputedOutcome]) -> dict[str, object]:
    return {
        "dispute": dispute.number,
        "customer": dispute.customer.code,
        "invoice": dispute.invoice.number,
        "line": dispute.line.n,
        "currency": dispute.invoice.currency,
        "reason": dispute.reason,
        "outcomes": [{"key": each.key, "subject": each.subject, "state": each.state} for each in rows],
    }


def _deciders() -> list[str]:
    """Give the addresses of the staff who may decide disputes."""
    users = User.objects.with_perm(
        "billing.decide_dispute", backend="django.contrib.auth.backends.ModelBackend"
    )
    return [user.email for user in users.filter(is_staff=True).exclude(email="")]


def _count(outcomes: int) -> str:
    return "1 outcome" if outcomes == 1 else f"{outcomes:,} outcomes"
