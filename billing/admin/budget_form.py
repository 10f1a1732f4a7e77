"""The form of a budget, checked by the service before anything is written."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.choices import currency_choices
from billing.budget_terms import USUAL_THRESHOLDS, BudgetTerms, check_terms
from billing.errors import InvalidBudget
from billing.formatting import amount_text
from billing.models import Budget, BudgetMeasure, Plan
from customers.staff_pages import put_errors


class BudgetForm(forms.ModelForm):
    thresholds = forms.CharField(
        label="Alarms at", required=False, initial=", ".join(map(str, USUAL_THRESHOLDS)),
        widget=UnfoldAdminTextInputWidget, help_text="Percentages of the amount, with commas. A margin has none.",
    )  # fmt: skip
    emails = forms.CharField(
        label="Mail to", required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Addresses, one on a line. Webhooks are told in any case (alert.fired).",
    )  # fmt: skip
    plan_code = forms.ChoiceField(label="Plan", required=False, widget=UnfoldAdminSelectWidget)
    currency = forms.ChoiceField(choices=currency_choices, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Budget
        fields = tuple(BudgetTerms.__dataclass_fields__)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "plan_code" in self.fields:
            plans = Plan.objects.order_by("name", "code").values_list("code", "name").distinct()
            self.fields["plan_code"].choices = [("", "None"), *plans]  # type: ignore[attr-defined]
        if self.instance.pk:
            if self.instance.amount is not None:
                self.initial["amount"] = amount_text(self.instance.amount, self.instance.currency)
            self.initial["thresholds"] = ", ".join(map(str, self.instance.thresholds))
            self.initial["emails"] = "\n".join(self.instance.emails)

    def clean_thresholds(self) -> list[int]:
        text = self.cleaned_data["thresholds"].replace("%", " ").replace(",", " ")
        if self.data.get("measure") == BudgetMeasure.MARGIN:
            return []  # the field is filled in before one has chosen a margin
        words = text.split()
        if not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
            raise forms.ValidationError("Write whole percentages with commas, such as 50, 80, 100.")
        return [int(word) for word in words]

    def clean_emails(self) -> list[str]:
        return str(self.cleaned_data["emails"]).replace(",", " ").replace(";", " ").split()

    def clean(self) -> dict[str, Any]:
        """Refuse by field what the service would refuse, before anything is written."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        self.terms = BudgetTerms(**cleaned)
        try:
            check_terms(self.terms)
        except InvalidBudget as refused:
            put_errors(self, refused.fields, message=refused.message)
        return cleaned

    def _post_clean(self) -> None:
        """Leave the instance alone: `save_budget` writes it, and `check_terms` has said what is wrong."""
