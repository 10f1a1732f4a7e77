"""What staff write about a plan as a whole."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectWidget

from billing.admin.choices import currency_choices
from billing.models import Plan
from customers.code_forms import CodeForm

TERMS = (
    "usage_period", "minimum_amount", "included_spend", "service_fee_percent", "custom_unit", "custom_unit_value",
    "tax_category", "dispute_days", "dispute_reason_required",
)  # fmt: skip


class PlanForm(CodeForm):
    class Meta:
        model = Plan
        fields = ("name", "code", "billing_period", "currency", "description", *TERMS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "dispute_days" in self.fields:
            self.fields["dispute_days"].help_text = (
                "So many days after the invoice its customer may dispute outcomes in the portal. 0: not offered. "
                "Meters that count no outcomes have nothing to dispute."
            )
        if "currency" in self.fields:
            self.fields["currency"] = forms.ChoiceField(
                choices=currency_choices(), widget=UnfoldAdminSelectWidget, initial="USD",
                help_text="Customers billed in this currency can have the plan.",
            )  # fmt: skip

    def clean_code(self) -> str:
        code = super().clean_code()
        if Plan.objects.filter(code=code).exclude(pk=self.instance.pk).exists():
            raise ValidationError(
                f"There is a plan “{code}” already. Make a new version of it, or write another code."
            )
        return code
