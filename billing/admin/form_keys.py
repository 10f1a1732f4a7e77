"""Forms that carry a key made with their page, so that one sent twice is done once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from django import forms
from django.http import HttpRequest, QueryDict

from customers.repeating import Answer, Write, answer_once

# What names the forms of the admin among the stored answers: no API key can have an empty source.
STAFF = ""


class KeyedForm(forms.Form):
    """Carries a key made with the page, so that a form sent twice is recorded once."""

    key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)

    def __init__(self, data: Any = None, *, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial={"key": str(uuid.uuid4()), **(initial or {})})

    def clean(self) -> dict[str, Any]:
        if "key" in self.errors:  # which no page shows: only who wrote the request by hand sees this
            self.add_error(None, "The hidden key of this form was changed. Open the page again.")
        return self.cleaned_data

    def ask_again(self, done: str) -> None:
        """Say what this form did when it said something else, under a new key: sending it again is meant then."""
        sent = cast("QueryDict", self.data).copy()
        sent["key"] = str(uuid.uuid4())
        self.data = sent
        self.add_error(
            None,
            f"{done} Nothing was done now. If you want this as well, look at it once more and send it again.",
        )


def do_once(request: HttpRequest, form: KeyedForm, do: Callable[[], object], *, now: datetime) -> None:
    """Do what a valid form says, unless it was sent before: then nothing is done. Committed on return.

    For what has no column for a key of its own. Raises KeyTaken of the customers app when the form said something else
    before, and whatever `do` refuses; then its key can be used again.
    """
    key = form.cleaned_data["key"]
    said = {name: value for name, value in form.cleaned_data.items() if name != "key"}

    def answer() -> Answer:
        do()
        return Answer(200, "")

    if key:
        answer_once(Write(STAFF, key, f"POST {request.path}", said), answer, now=now)
    else:
        do()
