"""Disputes as they are opened, decided and shown."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from billing.dispute_rules import MAX_TEXT, MOST_OUTCOMES
from billing.formatting import amount_text
from billing.models import (
    Dispute,
    DisputedState,
    DisputeRemedy,
    DisputeState,
    DisputeStep,
    DisputeStepKind,
)
from customers.api.strictness import StrictSerializer
from metering.api.texts import instant_text


class DisputedShape(serializers.Serializer[Any]):
    key = serializers.CharField()
    subject = serializers.CharField(allow_null=True)
    occurred_at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=DisputedState.choices)


class DisputeStepShape(serializers.Serializer[Any]):
    """`amount` is the effect of a decision before tax, negative when less is owed; null of other steps."""

    kind = serializers.ChoiceField(choices=DisputeStepKind.choices)
    at = serializers.DateTimeField()
    by = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    accepted = serializers.IntegerField()
    declined = serializers.IntegerField()
    remedy = serializers.ChoiceField(choices=DisputeRemedy.choices, allow_null=True)
    amount = serializers.CharField(allow_null=True)
    credit_note = serializers.CharField(allow_null=True)


class DisputeShape(serializers.Serializer[Any]):
    """`customer` is whose outcomes they are, `invoice` has the line. `printed_on` was sent, to `billed_to`, who pays:
    the consolidated invoice of a parent; else the same invoice and customer.
    """

    id = serializers.IntegerField()
    number = serializers.CharField()
    customer = serializers.CharField()
    invoice = serializers.CharField()
    printed_on = serializers.CharField()
    billed_to = serializers.CharField()
    line = serializers.IntegerField()
    currency = serializers.CharField()
    state = serializers.ChoiceField(choices=DisputeState.choices)
    reason = serializers.CharField(allow_blank=True)
    opened_at = serializers.DateTimeField()
    opened_by = serializers.CharField()
    at_stake = serializers.CharField(
        allow_null=True,
        help_text="What accepting all of it came to, before tax, when it was opened or reopened.",
    )
    outcomes = DisputedShape(many=True)
    history = DisputeStepShape(many=True)


class OpenSerializer(StrictSerializer):
    invoice = serializers.CharField(max_length=64, help_text="Its number, or that of the consolidated one.")
    line = serializers.IntegerField(min_value=1, max_value=1_000_000, help_text="The number of the line.")
    outcomes = serializers.ListField(
        child=serializers.CharField(max_length=1_000),
        min_length=1,
        max_length=MOST_OUTCOMES,
        help_text="The keys of outcomes that the line billed or, of an adjustment, added.",
    )
    reason = serializers.CharField(max_length=MAX_TEXT, required=False, allow_blank=True, default="")
    on_behalf_of = serializers.CharField(
        max_length=200, required=False, help_text="Who asked, as both sides read it."
    )


class DecideSerializer(StrictSerializer):
    accepted = serializers.ListField(
        child=serializers.CharField(max_length=1_000),
        max_length=MOST_OUTCOMES,
        help_text="The keys of the outcomes to accept; the other open ones are declined.",
    )
    answer = serializers.CharField(max_length=MAX_TEXT, help_text="The customer reads it.")
    remedy = serializers.ChoiceField(
        choices=DisputeRemedy.choices, required=False, help_text="Needed when anything is accepted."
    )


OPEN_EXAMPLE = OpenApiExample(
    "It came back",
    value={
        "invoice": "INV-2026-000001",
        "line": 1,
        "outcomes": ["evt-1"],
        "reason": "The ticket was opened again.",
        "on_behalf_of": "anna@acme.example",
    },
    request_only=True,
)


DECIDE_EXAMPLE = OpenApiExample(
    "Accepted, credited",
    value={"accepted": ["evt-1"], "answer": "You are right.", "remedy": "credit_note"},
    request_only=True,
)


def dispute_body(dispute: Dispute) -> dict[str, Any]:
    """Give a dispute as the API shows it, with its outcomes and all that was said."""
    return {
        "id": dispute.pk,
        "number": dispute.number,
        "customer": dispute.customer.code,
        "invoice": dispute.invoice.number,
        "printed_on": dispute.printed_on.number,
        "billed_to": dispute.printed_on.customer.code,
        "line": dispute.line.n,
        "currency": dispute.invoice.currency,
        "state": dispute.state,
        "reason": dispute.reason,
        "opened_at": instant_text(dispute.opened_at),
        "opened_by": dispute.opened_by,
        "at_stake": None
        if dispute.at_stake is None
        else amount_text(dispute.at_stake, dispute.invoice.currency),
        "outcomes": [
            {
                "key": each.key,
                "subject": each.subject,
                "occurred_at": instant_text(each.occurred_at),
                "state": each.state,
            }
            for each in dispute.outcomes.all()
        ],
        "history": [_step_body(each, dispute.invoice.currency) for each in dispute.steps.all()],
    }


def _step_body(step: DisputeStep, currency: str) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "at": instant_text(step.at),
        "by": step.by,
        "text": step.text,
        "accepted": step.accepted,
        "declined": step.declined,
        "remedy": step.remedy or None,
        "amount": None if step.amount is None else amount_text(step.amount, currency),
        "credit_note": step.credit_note.number if step.credit_note else None,
    }
