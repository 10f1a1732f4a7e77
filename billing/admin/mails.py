"""The texts of mails with documents. Names such as $number are filled in; a name that means nothing is refused."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.mailing import NAMES, unknown_names
from billing.models import MailText
from customers.staff_pages import StaffAdmin

KNOWN = ", ".join(f"${name}" for name in NAMES)


class MailTextForm(forms.ModelForm):
    class Meta:
        model = MailText
        fields = ("subject", "body")
        widgets = {"subject": UnfoldAdminTextInputWidget, "body": UnfoldAdminTextareaWidget({"rows": 14})}
        help_texts = {"body": f"These are filled in: {KNOWN}. The PDF file is attached."}

    def clean_subject(self) -> str:
        return _checked(self.cleaned_data["subject"])

    def clean_body(self) -> str:
        return _checked(self.cleaned_data["body"])


@admin.register(MailText)
class MailTextAdmin(StaffAdmin):
    form = MailTextForm
    shows_log = True
    purpose = "What customers read in mails with invoices, credit notes and reminders."
    list_display = ("kind", "subject")
    ordering = ("kind",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ()


def _checked(text: str) -> str:
    try:
        unknown = unknown_names(text)
    except ValueError as refused:
        raise ValidationError(str(refused)) from refused
    if unknown:
        raise ValidationError(f"${unknown[0]} means nothing here. Known names: {KNOWN}.")
    return text
