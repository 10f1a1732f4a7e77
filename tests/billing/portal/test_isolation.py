"""A customer can reach nothing of another: every address, every way in."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.closing import close_period
from billing.correcting import issue_credit_note
from billing.models import CreditNote, Dispute, Invoice
from billing.months import Month
from billing.one_off import Item, create_one_off
from billing.portal.urls import urlpatterns
from customers.models import Customer
from metering.models import Event, Meter
from tests.billing.money import credit, give
from tests.factories import NOW, event, send, send_tickets

OPEN_TO_ALL = {"sign_in", "link", "logo", "sign_out"}
# Take forms only; tests/billing/portal/test_disputes.py tries them as somebody else.
TAKES_FORMS = {"dispute_line", "withdraw_dispute"}
NAMES = sorted(pattern.name for pattern in urlpatterns)
BEHIND_THE_DOOR = [name for name in NAMES if name not in OPEN_TO_ALL | TAKES_FORMS]
OF_A_CREDIT_NOTE = ["credit_note", "credit_note_file"]
OF_AN_EVENT = ["event"]
OF_AN_INVOICE = ["events", "evidence", "events_file", "events_json", "invoice", "invoice_file"]


def address(name: str, invoice: Invoice) -> str:
    kwargs: dict[str, Any] = {}
    if name in OF_AN_INVOICE:
        kwargs["number"] = invoice.number
    if name in OF_A_CREDIT_NOTE:
        kwargs["number"] = credit_note_of(invoice).number if invoice.pk else invoice.number
    if name in OF_AN_EVENT:
        behind = Event.objects.filter(customer=invoice.customer)[0]
        kwargs |= {"number": invoice.number, "n": 1, "pk": behind.pk}
    if name == "statement_file":
        kwargs["kind"] = "csv"
    if name == "evidence":
        kwargs["kind"] = "csv"
    if name in ("events", "events_file", "events_json"):
        kwargs["n"] = 1
    if name == "dispute":
        kwargs["pk"] = dispute_of(invoice).pk
    path = reverse(f"portal:{name}", kwargs=kwargs)
    if name == "subject":
        subject = Event.objects.filter(customer=invoice.customer).exclude(subject=None)[0].subject
        path += f"?subject={subject}"
    return path


def dispute_of(invoice: Invoice) -> Dispute:
    """A dispute of an invoice's customer, opened when there is none."""
    found = Dispute.objects.filter(customer=invoice.customer).first()
    return found or Dispute.objects.create(
        customer=invoice.customer, invoice=invoice, line=invoice.lines.all()[0], opened_at=NOW, opened_by="x"
    )


def credit_note_of(invoice: Invoice) -> CreditNote:
    """A credit note of an invoice's customer, written when there is none."""
    found = CreditNote.objects.filter(invoice__customer=invoice.customer).first()
    if found is not None:
        return found
    once = create_one_off(invoice.customer, [Item("Set-up", Decimal(1), Decimal(10))], now=NOW)
    return issue_credit_note(once, reason="Goodwill", amount=Decimal(1), by="Clerk Kim", now=NOW)


def body(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(content.decode("utf-8", "replace"))


@pytest.fixture
def theirs(globex: Customer, october: Invoice) -> Invoice:
    """Globex' invoice, beside Acme's."""
    credit(globex, "5", name="Globex credit")
    give(globex, "10%", name="Globex coupon")
    send_tickets(7, first=9000, customer="globex", subject="globex-ticket")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    return Invoice.objects.get(customer=globex)


def test_these_are_all_addresses_of_the_portal() -> None:
    assert set(NAMES) == {
        "account", "credits", "dispute", "disputes", "subject", "home", "invoices", "invoices_file", "limits",
        "statement", "statement_file", *OF_A_CREDIT_NOTE, *OF_AN_EVENT, *OF_AN_INVOICE, *OPEN_TO_ALL, *TAKES_FORMS,
    }  # fmt: skip


@pytest.mark.parametrize("name", [*OF_A_CREDIT_NOTE, *OF_AN_INVOICE, "dispute", "subject"])
def test_an_invoice_of_another_customer_is_not_found(name: str, anna: Client, theirs: Invoice) -> None:
    assert anna.get(address(name, theirs)).status_code == 404


@pytest.mark.parametrize("name", [*OF_A_CREDIT_NOTE, *OF_AN_INVOICE])
def test_the_same_addresses_open_for_their_own_customer(
    name: str, theirs: Invoice, globex: Customer, sign_in: Callable[[Customer], Client]
) -> None:
    assert sign_in(globex).get(address(name, theirs)).status_code == 200


@pytest.mark.parametrize("name", BEHIND_THE_DOOR)
def test_no_page_names_another_customer(name: str, anna: Client, october: Invoice, theirs: Invoice) -> None:
    answer = anna.get(address(name, october))
    assert answer.status_code == 200
    text = body(answer)
    for secret in ("Globex", "globex", str(theirs.number)):
        assert secret not in text


@pytest.mark.parametrize("name", BEHIND_THE_DOOR)
def test_nobody_enters_without_signing_in(name: str, october: Invoice) -> None:
    answer = Client().get(address(name, october))
    assert (answer.status_code, answer["Location"]) == (302, "/portal/sign-in/")


@pytest.mark.parametrize("name", BEHIND_THE_DOOR)
def test_staff_without_access_do_not_enter_even_with_a_portal_cookie(
    name: str, october: Invoice, admin_client: Client
) -> None:
    admin_client.cookies["portal_sessionid"] = admin_client.cookies["sessionid"].value
    answer = admin_client.get(address(name, october))
    assert (answer.status_code, answer["Location"]) == (302, "/portal/sign-in/")


@pytest.mark.parametrize("name", BEHIND_THE_DOOR)
def test_pages_are_read_only(name: str, anna: Client, october: Invoice) -> None:
    # A customer may set its own limits, and nothing else.
    for method in (anna.put, anna.delete) if name == "limits" else (anna.post, anna.put, anna.delete):
        assert method(address(name, october)).status_code == 405


@pytest.mark.parametrize("name", BEHIND_THE_DOOR)
def test_pages_are_kept_by_no_cache(name: str, anna: Client, october: Invoice) -> None:
    assert "no-store" in anna.get(address(name, october))["Cache-Control"]


def test_pages_run_no_script_and_take_nothing_from_elsewhere(anna: Client, october: Invoice) -> None:
    for client, path in (
        (anna, "/portal/"),
        (anna, f"/portal/invoices/{october.number}/"),
        (Client(), "/portal/sign-in/"),
    ):
        answer = client.get(path)
        assert "default-src 'none'; style-src 'self'" in answer["Content-Security-Policy"]
        assert "<script" not in body(answer)
        assert " style=" not in body(answer)


@pytest.mark.parametrize("name", BEHIND_THE_DOOR)
def test_what_is_internal_is_shown_nowhere(name: str, anna: Client, acme: Customer) -> None:
    Meter.objects.filter(code="tickets_resolved").update(
        dimensions=["channel"], description="internal remark on margins"
    )
    acme.traits = {"segment": "internal-segment"}
    acme.save()
    internal = event(
        "evt-1", workload="internal_bot", dimensions={"channel": "internal-channel"}, subject="ticket-1"
    )
    send(internal, source="internal-source")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    answer = anna.get(address(name, Invoice.objects.get()))
    assert answer.status_code == 200
    text = body(answer)
    assert "internal" not in text
    assert "workload" not in text.lower()


@pytest.mark.parametrize("name", [*OF_A_CREDIT_NOTE, *OF_AN_INVOICE])
def test_a_draft_is_not_shown(name: str, anna: Client, acme: Customer) -> None:
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=99)
    draft = Invoice.objects.get()
    assert draft.status == "draft"
    path = address(name, Invoice(number="INV-2026-000001"))
    assert anna.get(path).status_code == 404
    assert anna.get(path.replace("INV-2026-000001", str(draft.pk))).status_code == 404
    assert anna.get(path.replace("INV-2026-000001", "None")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "invoices/INV-2026-999999/",
        "invoices/%00/",
        "invoices/'%20OR%201=1--/",
        "invoices/INV-2026-000001/lines/0/events/",
        "invoices/INV-2026-000001/lines/2/events/",
        "invoices/INV-2026-000001/lines/99999999999999999999/events/",
        "invoices/INV-2026-000001/lines/-1/events/",
        "invoices/?year=abc",
        "invoices/?year=1999",
        "invoices/?status=draft",
        "invoices/?page=2",
        "invoices/?page=x",
        "invoices/INV-2026-000001/lines/1/events/?after=x",
        "invoices/INV-2026-000001/lines/1/events/?after=2026-10-03T10:00:00~evt-1",
        "invoices/INV-2026-000001/lines/1/events/?before=2026-10-03~%00",
        "?meter=unknown",
        "nothing/",
    ],
)
def test_an_address_that_means_nothing_is_not_found(path: str, anna: Client, october: Invoice) -> None:
    assert anna.get(f"/portal/{path}").status_code == 404
