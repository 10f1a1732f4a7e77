"""What settling an invoice takes and answers: payments, refunds, credit notes, one-off invoices."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from billing.api.fields import ExactDecimalField
from billing.api.shapes import TaxShape
from billing.models import PaymentKind, PaymentMethod, TaxCategory
from billing.rating import currency_digits
from billing.rating.errors import UnknownCurrency
from customers.api.strictness import StrictSerializer
from customers.models import Customer

KEY_HELP = "Your own name for it, also as the header Idempotency-Key: sent again, it is recorded once."


class KeyField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {"required": False, "max_length": 200, "help_text": KEY_HELP}
        super().__init__(**defaults | options)


class ReasonSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=400, help_text="Kept for good, with the name of the key.")


class IssueSerializer(StrictSerializer):
    expected_total = ExactDecimalField(
        required=False, help_text="The total you have seen: 409 when the invoice comes to another by now."
    )


class PaymentSerializer(StrictSerializer):
    amount = ExactDecimalField(help_text="In whole minor units of the invoice's currency.")
    received_on = serializers.DateField(help_text="The day of the money, as the bank says.")
    method = serializers.ChoiceField(choices=PaymentMethod.choices, default=PaymentMethod.BANK_TRANSFER)
    reference = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    overpaid = serializers.BooleanField(
        default=False, help_text="Accept more than is due; it leaves a credit balance."
    )
    key = KeyField()


class RefundSerializer(StrictSerializer):
    amount = ExactDecimalField(help_text="Above zero, the credit balance at most.")
    paid_on = serializers.DateField()
    method = serializers.ChoiceField(choices=PaymentMethod.choices, default=PaymentMethod.BANK_TRANSFER)
    reference = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    key = KeyField()


class BalanceMoveSerializer(StrictSerializer):
    amount = ExactDecimalField(required=False, help_text="The whole credit balance when left out.")
    key = KeyField()


class CreditedLineSerializer(StrictSerializer):
    n = serializers.IntegerField(min_value=1, max_value=1_000_000, help_text="The number of the line.")
    amount = ExactDecimalField(help_text="Before tax, with the sign of the line; its tax follows.")


class CreditSerializer(StrictSerializer):
    """What to credit: some `lines`, an `amount` with tax, or neither for all that is left."""

    lines = CreditedLineSerializer(many=True, required=False, allow_empty=False)
    amount = ExactDecimalField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "lines" in attrs and "amount" in attrs:
            raise serializers.ValidationError({"amount": ["Send lines or an amount, not both."]})
        numbers = [line["n"] for line in attrs.get("lines", ())]
        if len(set(numbers)) < len(numbers):
            raise serializers.ValidationError({"lines": ["Name each line once."]})
        return attrs


class CreditNoteSerializer(CreditSerializer):
    reason = serializers.CharField(max_length=400, help_text="Printed on the credit note.")
    expected_total = ExactDecimalField(
        required=False, help_text="The total of a preview: 409 when it changed."
    )
    key = KeyField()


class ItemSerializer(StrictSerializer):
    description = serializers.CharField(max_length=400)
    quantity = ExactDecimalField(required=False, help_text="1 when left out.")
    unit_amount = ExactDecimalField(
        help_text="The price of one, before tax; below zero gives something back."
    )
    unit = serializers.CharField(required=False, default="", allow_blank=True, max_length=40)
    tax_category = serializers.ChoiceField(choices=TaxCategory.choices, default=TaxCategory.STANDARD)


class OneOffSerializer(StrictSerializer):
    customer = serializers.SlugRelatedField[Customer](slug_field="code", queryset=Customer.objects.all())
    currency = serializers.CharField(required=False, help_text="The customer's when left out.")
    lines = ItemSerializer(many=True, allow_empty=False)
    use_coupons = serializers.BooleanField(
        default=False, help_text="Take off what the customer's coupons do that are for no plan or rate."
    )
    draft = serializers.BooleanField(default=False, help_text="Leave it a draft, to be issued later.")
    key = KeyField()

    def validate_currency(self, code: str) -> str:
        try:
            currency_digits(code)
        except UnknownCurrency as refused:
            raise serializers.ValidationError(str(refused)) from refused
        return code


class PaymentShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    invoice = serializers.CharField()
    customer = serializers.CharField()
    kind = serializers.ChoiceField(choices=PaymentKind.choices)
    amount = serializers.CharField(help_text="Below zero for refunds, and for payments taken back.")
    currency = serializers.CharField()
    received_on = serializers.DateField()
    method = serializers.ChoiceField(
        choices=PaymentMethod.choices, allow_blank=True, help_text="Empty where no money moved."
    )
    reference = serializers.CharField()
    reverses = serializers.IntegerField(allow_null=True, help_text="The payment that this row takes back.")
    reason = serializers.CharField()
    key = serializers.CharField(allow_null=True)
    recorded_by = serializers.CharField()
    recorded_at = serializers.DateTimeField()


class CreditNoteLineShape(serializers.Serializer[Any]):
    n = serializers.IntegerField()
    invoice_line = serializers.IntegerField(help_text="The number of the line on the invoice.")
    description = serializers.CharField()
    amount = serializers.CharField()
    discount = serializers.CharField()
    tax = serializers.CharField()
    tax_included = serializers.CharField()


class CreditNoteShape(serializers.Serializer[Any]):
    number = serializers.CharField(allow_null=True, help_text="Null in a preview.")
    invoice = serializers.CharField()
    customer = serializers.CharField()
    currency = serializers.CharField()
    reason = serializers.CharField()
    subtotal = serializers.CharField()
    discount = serializers.CharField()
    tax = serializers.CharField()
    tax_included = serializers.CharField()
    taxes = TaxShape(many=True, help_text="By rate, as on the invoice: what is taken back.")
    total = serializers.CharField(help_text="subtotal - discount + tax")
    amount_due = serializers.CharField(help_text="On the invoice after it; below zero is a credit balance.")
    issued_at = serializers.DateTimeField(allow_null=True)
    lines = CreditNoteLineShape(many=True)


def _request(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


REASON_EXAMPLE = _request("With a reason", {"reason": "Sent to the wrong customer"})
ISSUE_EXAMPLE = _request("As it was seen", {"expected_total": "240.00"})
PAYMENT_EXAMPLE = _request(
    "A bank transfer",
    {"amount": "2.00", "received_on": "2026-11-20", "reference": "B 4711", "key": "bank-4711"},
)
REFUND_EXAMPLE = _request("Paid back", {"amount": "2.00", "paid_on": "2026-11-20"})
MOVE_EXAMPLE = _request("All of it", {"key": "move-4711"})
CREDIT_EXAMPLE = _request("An amount with tax", {"amount": "1.00"})
CREDIT_NOTE_EXAMPLES = [
    _request("An amount with tax", {"reason": "Goodwill", "amount": "1.00"}),
    _request("A line", {"reason": "Counted twice", "lines": [{"n": 1, "amount": "1.00"}]}),
    _request("All that is left", {"reason": "Wrong customer"}),
]
ONE_OFF_EXAMPLE = _request(
    "Two days of consulting",
    {
        "customer": "acme",
        "lines": [{"description": "Consulting", "quantity": "2", "unit_amount": "950.00", "unit": "day"}],
        "key": "order-4711",
    },
)
