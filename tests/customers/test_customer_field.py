"""Staff name a customer as they know it, by name or code; what is not clear is asked back."""

from __future__ import annotations

import pytest
from django import forms
from django.urls import reverse

from customers.customer_field import CustomerField
from tests.factories import event, make_customer, make_meter, send
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("acme", "acme"),
        (" ACME ", "acme"),
        ("acme outdoor gear", "acme-2"),
        ("Outdoor", "acme-2"),
        ("glob", "globex"),
        ("acme-2", "acme-2"),
        ("100%", "percent"),
        ("", None),
    ],
)
def test_a_customer_is_found_by_code_then_by_name_then_by_a_part_of_either(
    said: str, code: str | None
) -> None:
    make_customer("acme", name="Acme Robotics")
    make_customer("acme-2", name="Acme Outdoor Gear")
    make_customer("globex", name="Globex Travel")
    make_customer("percent", name="100% Cotton")
    found = CustomerField().clean(said)
    assert (found.code if found else None) == code


def test_several_are_named_and_none_is_said() -> None:
    for n in range(5):
        make_customer(f"shop-{n}", name=f"Shop {n}")
    with pytest.raises(
        forms.ValidationError,
        match=r"Several customers match “Shop”: Shop 0 \(shop-0\), Shop 1 \(shop-1\), Shop 2 \(shop-2\) and others",
    ):
        CustomerField().clean("Shop")
    with pytest.raises(forms.ValidationError, match="no customer with the name or code “nobody”"):
        CustomerField().clean("nobody")


def test_outcomes_and_quality_are_asked_for_by_the_name_of_a_customer() -> None:
    make_meter(verification_hours=24)
    for code, name in (("acme", "Acme Robotics"), ("globex", "Globex Travel")):
        make_customer(code, name=name)
        send(event(f"{code}-1", customer=code, subject=f"ticket-of-{code}"))
    staff = sign_in("Read only")
    listed = text_of(staff.get(reverse("admin:billing_outcome_changelist"), {"customer": "globex travel"}))
    assert "ticket-of-globex" in listed
    assert "ticket-of-acme" not in listed
    assert staff.get(reverse("admin:billing_outcome_quality"), {"customer": "Robotics"}).status_code == 200
