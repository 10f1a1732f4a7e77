"""What rates and invoices look like, for the OpenAPI description; a test holds real answers against it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from billing.api.invoice_bodies import PREVIEW
from billing.lifecycle import Action, State
from billing.models import CouponType, InvoiceKind, InvoiceStatus, LineKind, TaxCategory
from billing.taxing import Treatment

INVOICE_STATUSES = [*InvoiceStatus.choices, (PREVIEW, "Preview")]
RATE = {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "2.00"}
STEP = {
    "label": "Each unit",
    "kind": "units",
    "quantity": "120",
    "unit_amount": "2.00",
    "per": None,
    "percent": None,
    "amount": "240.00",
    "from": None,
    "up_to": None,
    "group": None,
}
INVOICE = {
    "id": 1,
    "number": "INV-2026-000001",
    "kind": "periodic",
    "status": "issued",
    "state": "open",
    "actions": ["pay", "credit", "reverse", "write_off", "void"],
    "customer": "acme",
    "subscription": 1,
    "plan": "support",
    "plan_version": 1,
    "currency": "USD",
    "period_start": "2026-10-01",
    "period_end": "2026-11-01",
    "timezone": "America/New_York",
    "subtotal": "240.00",
    "discount": "0.00",
    "tax": "0.00",
    "tax_included": "0.00",
    "total": "240.00",
    "credits_applied": "0.00",
    "amount_paid": "0.00",
    "amount_credited": "0.00",
    "amount_written_off": "0.00",
    "amount_due": "240.00",
    "discounts": [],
    "taxes": [],
    "credits": [],
    "issued_at": "2026-11-03T05:00:00Z",
    "due_on": "2026-11-17",
    "parts": [],
    "lines": [
        {
            "n": 1,
            "kind": "usage",
            "customer": "acme",
            "description": "Tickets Resolved",
            "meter": "tickets_resolved",
            "unit": "ticket",
            "quantity": "120",
            "unit_amount": "2.00",
            "amount": "240.00",
            "discount": "0.00",
            "tax_category": "standard",
            "taxed_by": [],
            "period_start": "2026-10-01",
            "period_end": "2026-11-01",
            "working": [STEP],
        }
    ],
}
INVOICE_EXAMPLE = OpenApiExample("120 tickets at $2.00", value=INVOICE, response_only=True)
PREVIEW_EXAMPLES = [
    OpenApiExample("October", value={"customer": "acme", "period": "2026-10"}, request_only=True),
    OpenApiExample(
        "Not issued",
        value=INVOICE | {"id": None, "number": None, "status": PREVIEW, "issued_at": None, "due_on": None},
        response_only=True,
    ),
]
PLAN_EXAMPLE = OpenApiExample(
    "$2.00 per resolved ticket",
    value={
        "code": "support",
        "name": "Support Outcome Plan",
        "currency": "USD",
        "billing_period": "monthly",
        "rates": [RATE],
    },
    request_only=True,
)
ACTIVATE_EXAMPLE = OpenApiExample(
    "With a total that falls across a tier on purpose", value={"accept": ["price_drop"]}, request_only=True
)
SUBSCRIPTION_EXAMPLE = OpenApiExample(
    "From October", value={"customer": "acme", "plan": "support", "start_on": "2026-10-01"}, request_only=True
)
RATE_PREVIEW_EXAMPLES = [
    OpenApiExample("A quantity", value={"rate": RATE, "quantity": "120"}, request_only=True),
    OpenApiExample(
        "Quantities by dimensions",
        value={
            "rate": {
                "kind": "usage",
                "meter": "llm_tokens",
                "model": "per_unit",
                "dimensions": ["model", "type"],
                "rows": [
                    {"match": {"model": "a", "type": "input"}, "unit_amount": "0.00001"},
                    {"match": {}, "unit_amount": "0.00002"},
                ],
            },
            "quantities": [{"dimensions": {"model": "a", "type": "input"}, "quantity": "1000000"}],
        },
        request_only=True,
    ),
    OpenApiExample(
        "$240.00",
        value={"currency": "USD", "amount": "240.00", "rounded": "240.00", "working": [STEP]},
        response_only=True,
    ),
]


class StepShape(serializers.Serializer[Any]):
    """One part of an amount. The amounts of all steps add up to the amount before rounding."""

    label = serializers.CharField()  # type: ignore[assignment]  # the contract's name
    kind = serializers.CharField()
    quantity = serializers.CharField(allow_null=True)
    unit_amount = serializers.CharField(allow_null=True)
    per = serializers.CharField(allow_null=True)
    percent = serializers.CharField(allow_null=True)
    amount = serializers.CharField()
    up_to = serializers.CharField(allow_null=True)
    group = serializers.DictField(child=serializers.CharField(allow_blank=True), allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        """Add `from`, which Python does not take as a name."""
        return {**super().get_fields(), "from": serializers.CharField(allow_null=True)}


class LineShape(serializers.Serializer[Any]):
    n = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=LineKind.choices)
    customer = serializers.CharField(
        help_text="Whose usage or plan it is: on a consolidated invoice a child or the parent."
    )
    description = serializers.CharField()
    meter = serializers.CharField(allow_null=True)
    unit = serializers.CharField(allow_blank=True)
    quantity = serializers.CharField()
    unit_amount = serializers.CharField(
        allow_null=True, help_text="Null where no single price explains the line; see working."
    )
    amount = serializers.CharField()
    discount = serializers.CharField(help_text="Its share of what coupons take off.")
    tax_category = serializers.ChoiceField(choices=TaxCategory.choices)
    taxed_by = serializers.ListField(
        child=serializers.IntegerField(), help_text="The `n` of the taxes it is part of."
    )
    period_start = serializers.DateField()
    period_end = serializers.DateField(help_text="The day after the last.")
    working = StepShape(many=True)


class DiscountShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    customer_coupon = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=CouponType.choices)
    value = serializers.CharField(help_text="A percentage or an amount, by `kind`.")
    amount = serializers.CharField(help_text="What it takes off.")


class TaxShape(serializers.Serializer[Any]):
    n = serializers.IntegerField()
    name = serializers.CharField()
    country = serializers.CharField(allow_blank=True)
    region = serializers.CharField(allow_blank=True)
    category = serializers.CharField(allow_blank=True)
    percent = serializers.CharField()
    inclusive = serializers.BooleanField(help_text="Inside the prices, not added to them.")
    base = serializers.CharField(help_text="Without the tax.")
    amount = serializers.CharField()
    treatment = serializers.ChoiceField(choices=[each.value for each in Treatment])
    sentence = serializers.CharField(allow_blank=True, help_text="What the invoice must say.")


class CreditShape(serializers.Serializer[Any]):
    grant = serializers.IntegerField(
        allow_null=True, help_text="Null in a preview: granted when its period begins."
    )
    name = serializers.CharField()
    amount = serializers.CharField()


class PartShape(serializers.Serializer[Any]):
    customer = serializers.CharField()
    name = serializers.CharField()
    subscription = serializers.IntegerField()
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    subtotal = serializers.CharField(help_text="The sum of its lines, before coupons and tax.")
    discount = serializers.CharField(help_text="Taken off its lines by coupons of its customer.")


class InvoiceShape(serializers.Serializer[Any]):
    id = serializers.IntegerField(allow_null=True)
    number = serializers.CharField(allow_null=True, help_text="Null until it is issued.")
    kind = serializers.ChoiceField(choices=InvoiceKind.choices)
    status = serializers.ChoiceField(choices=INVOICE_STATUSES)
    state = serializers.ChoiceField(
        choices=State.choices,
        help_text="As people say it: overdue and others follow from figures and calendar.",
    )
    actions = serializers.ListField(
        child=serializers.ChoiceField(choices=Action.choices), help_text="What can be done with it now."
    )
    customer = serializers.CharField()
    subscription = serializers.IntegerField(
        allow_null=True, help_text="Null on a one-off or consolidated invoice."
    )
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    currency = serializers.CharField()
    period_start = serializers.DateField()
    period_end = serializers.DateField(help_text="The day after the last.")
    timezone = serializers.CharField()
    subtotal = serializers.CharField()
    discount = serializers.CharField(help_text="Taken off by coupons.")
    tax = serializers.CharField(help_text="Added on top.")
    tax_included = serializers.CharField(help_text="Contained in prices that include tax.")
    total = serializers.CharField(help_text="subtotal - discount + tax")
    credits_applied = serializers.CharField(help_text="Paid from credits when it was issued.")
    amount_paid = serializers.CharField()
    amount_credited = serializers.CharField(help_text="Taken off by credit notes.")
    amount_written_off = serializers.CharField()
    amount_due = serializers.CharField()
    discounts = DiscountShape(many=True)
    taxes = TaxShape(many=True, help_text="By rate, or the reason why there is none.")
    credits = CreditShape(many=True, help_text="What paid it; in a preview, what would.")
    issued_at = serializers.DateTimeField(allow_null=True)
    due_on = serializers.DateField(allow_null=True)
    parts = PartShape(
        many=True, help_text="What is billed together on a consolidated invoice; empty elsewhere."
    )
    lines = LineShape(many=True)


class RatePreviewShape(serializers.Serializer[Any]):
    currency = serializers.CharField()
    amount = serializers.CharField(help_text="Exact, not rounded.")
    rounded = serializers.CharField(help_text="As an invoice line would show it.")
    working = StepShape(many=True)
