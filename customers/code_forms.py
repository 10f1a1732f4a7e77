"""Forms that make the code of something from its name where it is left empty."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from customers.codes import code_from_label


class CodeForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A form with a `code` that may be left empty: it is made from the field `code_from`, which stands before it."""

    code_from = "name"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "code" in self.fields:
            self.fields["code"].required = False
            self.fields["code"].widget.attrs["data-code-from"] = f"id_{self.code_from}"

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"] or code_from_label(self.cleaned_data.get(self.code_from, ""))
        if not code and self.code_from in self.cleaned_data:  # else the name itself is refused
            raise ValidationError(f"The {self.code_from} has no letters to make a code of. Write a code.")
        return code
