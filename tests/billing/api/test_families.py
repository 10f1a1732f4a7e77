"""Families over HTTP: parent and bill_to of customers, consolidated invoices with the customer of each line."""

from __future__ import annotations

import pytest

from customers.models import BillTo, Customer
from tests.factories import make_customer
from tests.integrator import Integrator
from tests.stories.test_families import close, family  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Integrator:
    return Integrator("manage")


def test_a_child_is_made_changed_and_listed(api: Integrator) -> None:
    make_customer("globex")
    body = {"code": "berlin", "name": "Berlin", "parent": "globex", "bill_to": "parent"}
    status, made = api.post("customers/", body)
    assert (status, made["parent"], made["bill_to"]) == (201, "globex", "parent")
    assert [each["code"] for each in api.get("customers/", parent="globex")[1]["results"]] == ["berlin"]
    status, changed = api.patch("customers/berlin/", {"bill_to": "itself", "parent": None})
    assert (status, changed["parent"], changed["bill_to"]) == (200, None, "itself")


@pytest.mark.parametrize(
    ("sent", "field", "said"),
    [
        ({"bill_to": "parent"}, "parent", "Choose the parent that pays"),
        ({"parent": "nobody"}, "parent", "There is no customer"),
        ({"parent": "berlin"}, "parent", "Berlin has a parent itself"),
        ({"parent": "globex", "bill_to": "parent", "currency": "EUR"}, "bill_to", "Globex is billed in USD"),
        ({"bill_to": "nobody"}, "bill_to", "Choose one of: itself, parent."),
    ],
)
def test_what_makes_no_family_is_refused_by_field(
    api: Integrator, sent: dict[str, str], field: str, said: str
) -> None:
    globex = make_customer("globex")
    make_customer("berlin", parent=globex)
    status, answer = api.post("customers/", {"code": "tokyo", "name": "Tokyo"} | sent)
    assert status == 400
    assert said in str(answer["error"]["fields"][field])
    assert not Customer.objects.filter(code="tokyo").exists()


def test_a_parent_cannot_become_a_child_or_change_the_currency_of_what_it_pays(api: Integrator) -> None:
    globex = make_customer("globex")
    make_customer("berlin", parent=globex, bill_to=BillTo.PARENT)
    make_customer("other")
    for sent, field in (({"parent": "other"}, "parent"), ({"currency": "EUR"}, "currency")):
        status, answer = api.patch("customers/globex/", sent)
        assert status == 400
        assert list(answer["error"]["fields"]) == [field]


def test_a_consolidated_invoice_names_the_customer_of_each_line(
    api: Integrator,
    family: tuple[Customer, ...],  # noqa: F811
) -> None:
    close()
    status, listed = api.get("invoices/")
    assert (status, [each["number"] for each in listed["results"]]) == (200, ["INV-2026-000001"])
    invoice = api.get("invoices/INV-2026-000001/")[1]
    assert (invoice["kind"], invoice["customer"], invoice["total"]) == ("consolidated", "globex", "116.62")
    assert [(line["n"], line["customer"], line["amount"]) for line in invoice["lines"]] == [
        (1, "globex", "50.00"),
        (2, "berlin", "20.00"),
        (3, "tokyo", "8.00"),
        (4, "tokyo", "22.00"),
    ]
    assert [(part["customer"], part["subtotal"], part["discount"]) for part in invoice["parts"]] == [
        ("globex", "50.00", "0.00"),
        ("berlin", "20.00", "2.00"),
        ("tokyo", "30.00", "0.00"),
    ]
    assert api.get("invoices/INV-2026-000001/lines/3/events/")[1]["results"][0]["key"].startswith("tokyo-")
    assert api.get("invoices/INV-2026-000001-2/")[0] == 404
    assert api.get("invoices/", customer="berlin")[1]["results"] == []
