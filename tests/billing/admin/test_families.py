"""Staff say who belongs to whom and who pays, and read a consolidated invoice by customer."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Invoice
from customers.models import BillTo, Customer
from tests.billing.admin.test_customers import details
from tests.factories import make_customer
from tests.staff import sign_in, text_of
from tests.stories.test_families import close, consolidated, family  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return sign_in()


def page(staff: Client, name: str, *arguments: object) -> str:
    answer = staff.get(reverse(f"admin:{name}", args=arguments))
    assert answer.status_code == 200
    return text_of(answer)


def test_a_child_is_given_a_parent_that_pays_and_both_pages_say_so(staff: Client) -> None:
    globex = make_customer("globex", name="Globex")
    sent = details(name="Berlin", parent=str(globex.pk), bill_to="parent")
    staff.post(reverse("admin:customers_customer_add"), sent)
    berlin = Customer.objects.get(code="berlin")
    assert (berlin.parent, berlin.bill_to) == (globex, "parent")
    assert "Globex, on one invoice" in page(staff, "customers_customer_change", globex.pk)
    assert "consolidated invoice of Globex" in page(staff, "customers_customer_change", berlin.pk)


@pytest.mark.parametrize(
    ("sent", "field", "said"),
    [
        ({"bill_to": "parent"}, "parent", "Choose the parent that pays"),
        ({"parent": "berlin"}, "parent", "Berlin has a parent itself"),
        ({"parent": "globex", "bill_to": "parent", "currency": "EUR"}, "bill_to", "one currency"),
    ],
)
def test_what_makes_no_family_is_refused_at_the_field(
    staff: Client, sent: dict[str, str], field: str, said: str
) -> None:
    globex = make_customer("globex", name="Globex")
    made = {"globex": globex, "berlin": make_customer("berlin", name="Berlin", parent=globex)}
    if "parent" in sent:
        sent = sent | {"parent": str(made[sent["parent"]].pk)}
    answer = staff.post(reverse("admin:customers_customer_add"), details(name="Tokyo", **sent))
    assert said in str(answer.context["adminform"].form.errors[field])
    assert not Customer.objects.filter(name="Tokyo").exists()


def test_the_invoice_is_read_by_customer_and_leads_to_its_parts(
    staff: Client,
    family: tuple[Customer, ...],  # noqa: F811
) -> None:
    close()
    whole = consolidated()
    shown = page(staff, "billing_invoice_change", whole.pk)
    for said in (
        "Billed together",
        "Berlin: $20.00",
        "Tokyo: $30.00",
        "Consolidated: plans of 3 customers",
        "$116.62",
    ):
        assert said in shown
    part = Invoice.objects.get(number="INV-2026-000001-2")
    shown = page(staff, "billing_invoice_change", part.pk)
    assert "Part of invoice" in shown
    assert "Record a payment" not in shown
    listed = page(staff, "billing_invoice_changelist")
    assert "INV-2026-000001" in listed
    assert "INV-2026-000001-2" not in listed
    assert "berlin-t-0" in page(staff, "billing_invoice_events", whole.pk, 2)
    refused = staff.get(reverse("admin:billing_invoice_do", args=[part.pk, "pay"]))
    assert refused.status_code == 409


def test_a_draft_is_issued_with_all_of_its_parts_from_its_page(
    staff: Client,
    family: tuple[Customer, ...],  # noqa: F811
) -> None:
    close(grace_days=5)
    whole = consolidated()
    url = reverse("admin:billing_invoice_do", args=[whole.pk, "issue"])
    shown: Any = staff.get(url)
    assert "$116.62" in text_of(shown)
    staff.post(url, {"expected": "116.62", "key": ""})
    assert consolidated().number == "INV-2026-000001"
    assert not Invoice.objects.filter(status="draft").exists()


def test_customers_are_filtered_by_family(staff: Client) -> None:
    globex = make_customer("globex", name="Globex")
    make_customer("berlin", name="Berlin", parent=globex, bill_to=BillTo.PARENT)
    for chosen, shown, hidden in (("parents", "globex", "berlin"), ("paid_for", "berlin", "globex")):
        answer = staff.get(reverse("admin:customers_customer_changelist"), {"family": chosen})
        codes = [row.code for row in answer.context["cl"].result_list]
        assert codes == [shown]
        assert hidden not in codes
