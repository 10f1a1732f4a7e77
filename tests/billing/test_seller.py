"""Who bills: what staff write goes before the environment, and documents keep what they were written with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client
from django.urls import reverse

from billing.documents import invoice_html
from billing.logos import put_logo
from billing.models import Invoice, Seller
from billing.one_off import Item, create_one_off
from billing.parties import issuer_now
from customers import portal_access
from customers.portal_access import create_portal_access, portal_link
from tests.at_once import Running, wait_until_it_waits
from tests.billing.test_logos import picture
from tests.factories import NOW, make_customer
from tests.staff import sign_in

pytestmark = pytest.mark.django_db
SHOW, CHANGE = "admin:billing_seller_changelist", "admin:billing_seller_details"
SAID: dict[str, str] = {
    "name": "Example & Sons Ltd",
    "address": "1 Main Street\nSpringfield",
    "email": "billing@example.com",
    "tax_id": "GB123456789",
    "payment": "IBAN GB00 1234\nBIC TESTGB",
    "terms": "Net of bank charges.",
}


def one_off(code: str = "acme") -> Invoice:
    return create_one_off(make_customer(code), [Item("Set-up", Decimal(1), Decimal(10))], now=NOW)


def test_a_billing_admin_writes_who_bills_and_documents_that_exist_keep_theirs() -> None:
    before = one_off("before")
    anna = sign_in("Billing admin")
    assert "Nobody has said yet who bills" in anna.get(reverse(SHOW)).content.decode()
    sent = SAID | {"address": "1 Main Street\r\nSpringfield\r\n"}  # as browsers send lines
    shown = anna.post(reverse(CHANGE), sent, follow=True).content.decode()
    assert "1 Main Street<br>Springfield" in shown
    assert "Nobody has said yet" not in shown
    assert "Changed name, address, e-mail, tax id, how to pay and terms." in shown
    assert issuer_now() == SAID
    after = one_off("after")
    assert after.issuer == SAID
    page = invoice_html(after)
    for text in (
        "Example &amp; Sons Ltd",
        "Springfield",
        "GB123456789",
        "IBAN GB00 1234",
        "Net of bank charges.",
    ):
        assert text in page
    assert Invoice.objects.get(pk=before.pk).issuer["name"] == "Your company"
    anna.post(reverse(CHANGE), SAID | {"name": "Example Group Ltd"})
    assert invoice_html(Invoice.objects.get(pk=after.pk)) == page
    assert [row.name for row in Seller.history.order_by("history_id")][-2:] == [  # type: ignore[attr-defined]
        "Example & Sons Ltd",
        "Example Group Ltd",
    ]


def test_what_staff_leave_empty_the_environment_says(settings: Any) -> None:
    settings.ISSUER = dict.fromkeys(SAID, "") | {"name": "Environment Ltd", "terms": "Net 30."}
    anna = sign_in("Billing admin")
    assert "from ISSUER_TERMS of the server" in anna.get(reverse(SHOW)).content.decode()
    assert 'placeholder="Net 30."' not in anna.get(reverse(SHOW)).content.decode()
    assert 'placeholder="Environment Ltd"' in anna.get(reverse(CHANGE)).content.decode()
    anna.post(reverse(CHANGE), {"payment": "IBAN GB00 1234"})
    assert issuer_now() == settings.ISSUER | {"payment": "IBAN GB00 1234"}
    anna.post(reverse(CHANGE), {"name": "Example Ltd"})
    assert issuer_now() == settings.ISSUER | {"name": "Example Ltd"}


def test_a_name_may_have_what_its_language_joins_letters_with() -> None:
    sign_in("Billing admin").post(reverse(CHANGE), SAID | {"name": "Caf\u00e9 A\u200cB"})
    assert issuer_now()["name"] == "Caf\u00e9 A\u200cB"


REFUSED = {
    "name on two lines": ({"name": "Example\nBcc: all@example.com"}, "Write this on one line."),
    "name with a line separator": ({"name": "Example\u2028Ltd"}, "Write this on one line."),
    "no name at all": ({"name": ""}, "Write the name that invoices come from."),
    "name too long": ({"name": "x" * 201}, "at most 200 characters"),
    "address too long": ({"address": "x" * 1001}, "at most 1000 characters"),
    "no e-mail address": ({"email": "billing"}, "Enter a valid email address."),
    "a NUL": ({"terms": "a\0b"}, "Null characters are not allowed."),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_stand_on_a_document_is_refused_at_its_field(name: str) -> None:
    change, sentence = REFUSED[name]
    answer = sign_in("Billing admin").post(reverse(CHANGE), SAID | change)
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert issuer_now()["name"] == "Your company"


@pytest.mark.parametrize("group", ["Billing clerk", "Read only"])
def test_others_see_who_bills_and_change_nothing(group: str) -> None:
    client = sign_in(group)
    assert "Change what documents say" not in client.get(reverse(SHOW)).content.decode()
    assert client.get(reverse(CHANGE)).status_code == 403
    assert client.post(reverse(CHANGE), SAID).status_code == 403
    assert not Seller.objects.exists()


def test_portal_and_mails_come_from_who_bills() -> None:
    Seller.objects.create(**SAID)
    access = create_portal_access(make_customer(), "anna@acme.example")
    client = Client()
    assert "Example &amp; Sons Ltd" in client.get("/portal/sign-in/").content.decode()
    client.post(portal_link(access, ""))
    assert "Example &amp; Sons Ltd" in client.get("/portal/").content.decode()
    Client().post("/portal/sign-in/", {"email": "anna@acme.example"})
    portal_access._post.submit(lambda: None).result()  # one thread: what was sent before is sent
    assert [message.subject for message in mail.outbox] == ["Your sign-in link for Example & Sons Ltd"]


@pytest.mark.django_db(transaction=True)
def test_who_writes_the_seller_first_waits_for_another_who_does_so_just_now() -> None:
    anna, cookies = Client(), sign_in("Billing admin").cookies
    anna.cookies = cookies
    with transaction.atomic():
        put_logo(picture(), by="dora", now=NOW)
        writing = Running(anna.post, reverse(CHANGE), SAID)
        wait_until_it_waits(writing)
    assert writing.result().status_code == 302
    seller = Seller.objects.get()
    assert (seller.name, seller.logo is not None) == (SAID["name"], True)
