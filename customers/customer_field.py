"""A field of a filter in which staff name a customer as they know it: by name or by code."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q
from unfold.widgets import UnfoldAdminTextInputWidget

from customers.models import Customer

NAMED = 3  # customers that the refusal names when several match


class CustomerField(forms.CharField):
    """Gives the customer with this code, else with this name, else the only one whose name or code has this in it.

    None when it is left empty. Upper and lower case are the same, except that an exact code comes first.
    """

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget({"placeholder": "any: name or code"})
        super().__init__(**({"label": "Customer", "required": False, "widget": widget} | kwargs))

    def clean(self, value: Any) -> Customer | None:
        said = super().clean(value).strip()
        if not said:
            return None
        for match in (
            Q(code=said),
            Q(code__iexact=said) | Q(name__iexact=said),
            Q(code__icontains=said) | Q(name__icontains=said),
        ):
            found = list(Customer.objects.filter(match).order_by("name", "code")[: NAMED + 1])
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(f"{each.name} ({each.code})" for each in found[:NAMED])
                more = " and others" if len(found) > NAMED else ""
                raise forms.ValidationError(
                    f"Several customers match “{said}”: {names}{more}. Write the code of one."
                )
        raise forms.ValidationError(f"There is no customer with the name or code “{said}”.")
