"""What webhooks send, for the OpenAPI description: `x-webhooks`, as OpenAPI 3.0 has no place of its own for it."""

from __future__ import annotations

from typing import Any

from billing.webhook_types import WebhookType

INVOICE = {
    "number": "INV-2026-000001",
    "kind": "periodic",
    "status": "issued",
    "customer": "acme",
    "plan": "support",
    "currency": "USD",
    "total": "240.00",
    "amount_due": "240.00",
    "period_start": "2026-10-01",
    "period_end": "2026-11-01",
    "issued_at": "2026-11-20T12:00:00Z",
    "due_on": "2026-12-04",
}
PAID = INVOICE | {"status": "paid", "amount_due": "0.00"}
DISPUTE = {
    "dispute": "D-12",
    "customer": "acme",
    "invoice": "INV-2026-000001",
    "line": 1,
    "currency": "USD",
    "reason": "The ticket was not resolved.",
    "outcomes": [{"key": "evt-1", "subject": "ticket-4711", "state": "open"}],
}
# An example of `data` for each type.
EXAMPLES: dict[WebhookType, dict[str, Any]] = {
    WebhookType.INVOICE_ISSUED: INVOICE,
    WebhookType.INVOICE_PAID: PAID,
    WebhookType.INVOICE_OVERDUE: INVOICE,
    WebhookType.INVOICE_VOIDED: INVOICE | {"status": "void", "reason": "Wrong customer"},
    WebhookType.CREDIT_NOTE_ISSUED: {
        "number": "CN-2026-000001",
        "invoice": "INV-2026-000001",
        "customer": "acme",
        "currency": "USD",
        "total": "40.00",
        "tax": "0.00",
        "reason": "Goodwill",
        "issued_at": "2026-11-20T12:00:00Z",
    },
    WebhookType.SUBSCRIPTION_CHANGED: {
        "subscription": 1,
        "customer": "acme",
        "plan": "support",
        "plan_version": 1,
        "change": "cancel",
        "effective_on": "2027-02-01",
        "start_on": "2026-10-01",
        "end_on": "2027-02-01",
        "following": None,
        "following_plan": None,
    },
    WebhookType.ALERT_FIRED: {
        "kind": "budget",
        "budget": 1,
        "name": "Support bot",
        "measure": "cost",
        "workload": "support_bot",
        "customer": None,
        "plan": None,
        "month": "2026-11",
        "alarm": "threshold",
        "threshold": 80,
        "currency": "USD",
        "amount": "50.00",
        "spent": "47.40",
        "forecast": "71.10",
        "percent": "94.80",
        "least_percent": None,
        "unknown": [],
        "sentence": "Support bot: 80 % of $50.00 reached in November 2026. It stands at $47.40 (94.8 %).",
    },
    WebhookType.USAGE_LIMIT_REACHED: {
        "customer": "acme",
        "meter": "tickets_resolved",
        "percent": 80,
        "in": "units",
        "currency": None,
        "limit": "500",
        "used": "400",
        "kind": "hard",
        "set_by": "staff",
        "period_start": "2026-11-01",
        "resets_at": "2026-12-01T00:00:00Z",
    },
    WebhookType.OUTCOME_DISPUTED: DISPUTE,
    WebhookType.DISPUTE_DECIDED: DISPUTE
    | {
        "accepted": 1,
        "declined": 0,
        "answer": "You are right.",
        "remedy": "credit_note",
        "amount": "-2.00",
        "credit_note": "CN-2026-000001",
    },
    WebhookType.DISPUTE_REOPENED: DISPUTE | {"text": "We looked at the wrong ticket."},
    WebhookType.DISPUTE_WITHDRAWN: DISPUTE | {"text": "It was resolved after all."},
    WebhookType.CLOSE_FINISHED: {
        "month": "2026-10",
        "state": "done",
        "issued": 1,
        "drafted": 0,
        "held": 0,
        "failed": 0,
        "unchanged": 0,
        "amounts": {"USD": "240.00"},
        "refusal": "",
    },
    WebhookType.TEST: {"endpoint": 1, "sentence": "This is a test. It stands for nothing that happened."},
}
HEADERS = {
    "webhook-id": "The same at every try: remember it, and take each id once.",
    "webhook-timestamp": "Seconds since 1970. Refuse what is more than five minutes away.",
    "webhook-signature": "One or several, with spaces between: `v1,` and HMAC-SHA256 of ID.TIMESTAMP.BODY in Base64.",
}


def add_webhooks(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add what each type of webhook sends to the description: a hook of drf-spectacular."""
    return result | {"x-webhooks": {kind.value: {"post": _operation(kind)} for kind in WebhookType}}


def _operation(kind: WebhookType) -> dict[str, Any]:
    body = {"type": kind.value, "timestamp": "2026-11-20T12:00:00Z", "data": EXAMPLES[kind]}
    return {
        "summary": kind.label,
        "tags": ["Webhooks"],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": told,
                "schema": {"type": "string"},
            }
            for name, told in HEADERS.items()
        ],
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": list(body),
                        "properties": {
                            "type": {"type": "string", "enum": [kind.value]},
                            "timestamp": {"type": "string", "format": "date-time"},
                            "data": {"type": "object", "additionalProperties": True},
                        },
                    },
                    "example": body,
                }
            }
        },
        "responses": {"2XX": {"description": "Taken. Everything else is tried again."}},
    }
