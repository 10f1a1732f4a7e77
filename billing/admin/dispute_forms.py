"""What staff write about a dispute: what they accept and answer, or why they look again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget

from billing.dispute_rules import MAX_TEXT
from billing.models import DisputedOutcome, DisputeRemedy


class DecideForm(forms.Form):
    """What to accept and what to say. `expected` is the effect that was shown."""

    accepted = forms.TypedMultipleChoiceField(coerce=int, required=False)
    remedy = forms.ChoiceField(
        label="Give it back by",
        choices=DisputeRemedy.choices,
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
        initial=DisputeRemedy.CREDIT_NOTE,
    )
    answer = forms.CharField(
        max_length=MAX_TEXT,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="The customer reads it in the portal and by mail.",
    )
    expected = forms.DecimalField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, outcomes: Sequence[DisputedOutcome], *args: Any, may_credit: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["accepted"]
        choice.choices = [(each.pk, str(each)) for each in outcomes]
        if not may_credit:
            remedy: Any = self.fields["remedy"]
            remedy.choices = [each for each in DisputeRemedy.choices if each[0] == DisputeRemedy.ADJUSTMENT]
            remedy.initial = DisputeRemedy.ADJUSTMENT
            remedy.help_text = "Only a Billing admin writes credit notes."


class ReopenForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_TEXT,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="Why you look again. The customer reads it.",
    )
