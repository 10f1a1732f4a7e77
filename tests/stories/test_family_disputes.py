"""Disputes on a consolidated invoice: who pays asks about the outcomes of its children, and each child about its own.

Globex pays $50.00 for itself, Berlin's 10 tickets at $2.00 less 10 %, and Tokyo's 4 with a minimum of $30.00; 19 % tax:
$50.00 + $18.00 + $30.00 = $98.00, with tax $116.62. Line 2 is Berlin's, lines 3 and 4 are Tokyo's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.disputing import decide_dispute, open_dispute
from billing.errors import DisputeRefused
from billing.models import CreditNote, Dispute, DisputeStep, Invoice, InvoiceLine, NoticeMail
from customers.models import Customer
from metering.models import Event
from tests.billing.money import cents, give, sums, tax
from tests.factories import event, make_customer, send
from tests.integrator import Integrator
from tests.staff import text_of
from tests.stories.test_families import (
    CLOSED,
    CLOSED_AGAIN,
    NOVEMBER,
    assert_everything_adds_up,
    close,
    consolidated,
    make_family,
    printed,
)
from tests.stories.test_family_portal import enter  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db
WHOLE = "INV-2026-000001"
BERLIN, TOKYO = f"{WHOLE}-2", f"{WHOLE}-3"
Enter = Callable[[Customer], Client]


@pytest.fixture(autouse=True)
def _in_november() -> Iterator[None]:
    with time_machine.travel(CLOSED, tick=False):
        yield


@pytest.fixture
def family() -> tuple[Customer, Customer, Customer]:
    tax("DE", "19")
    parent, berlin, tokyo = make_family(once_per_subject="ever")
    give(berlin, "10%")
    for customer, count in (("berlin", 10), ("tokyo", 4)):
        send(*(event(f"{customer}-{n}", customer=customer, subject=f"{customer}-{n}") for n in range(count)))
    Customer.objects.filter(code="berlin").update(email="anna@berlin.example")
    close()
    return parent, berlin, tokyo


def ids(customer: str, *numbers: int) -> list[Any]:
    keys = [f"{customer}-{n}" for n in numbers]
    return list(Event.objects.filter(key__in=keys).values_list("pk", flat=True))


def disputed(line: int, customer: str, *numbers: int) -> Dispute:
    row = InvoiceLine.objects.get(invoice__part_of=consolidated(period_start="2026-10-01"), n=line)
    return open_dispute(row, ids(customer, *numbers), reason="Came back.", by="pay@globex.test", now=CLOSED)


def decide(found: Dispute, *numbers: int, remedy: str) -> DisputeStep:
    ending = tuple(f"-{n}" for n in numbers)
    taken = [each.pk for each in found.outcomes.all() if each.key.endswith(ending)]
    return decide_dispute(found, accepted=taken, answer="Right.", remedy=remedy, by="clara", now=CLOSED)


def test_the_payer_gets_the_credit_note_with_the_childs_discount_and_its_own_tax(
    family: tuple[Customer, ...],
) -> None:
    """Two of Berlin's tickets: $4.00 less $0.40, and 19 % of $3.60: $4.28 of $116.62."""
    found = disputed(2, "berlin", 1, 2, 3)
    assert (found.customer.code, found.invoice.number, found.payer) == ("berlin", BERLIN, family[0])
    step = decide(found, 1, 2, remedy="credit_note")
    assert step.amount == Decimal("-3.60")
    note = CreditNote.objects.get()
    assert (note.invoice.number, note.recipient["name"]) == (WHOLE, "Globex")
    assert (note.subtotal, note.discount, note.tax, note.total) == (
        4, Decimal("0.40"), Decimal("0.68"), Decimal("4.28"),
    )  # fmt: skip
    assert sums(consolidated())["amount_due"] == "112.34"
    # Whose outcomes they are and who pays for them both read the answer.
    assert list(NoticeMail.objects.order_by("to").values_list("to", flat=True)) == [
        "anna@berlin.example",
        "pay@globex.test",
    ]
    close(NOVEMBER, CLOSED_AGAIN)
    assert not InvoiceLine.objects.filter(kind="adjustment").exists()
    assert_everything_adds_up()


def test_an_adjustment_is_on_the_childs_part_of_the_next_consolidated_invoice(
    family: tuple[Customer, ...],
) -> None:
    decide(disputed(2, "berlin", 1, 2), 1, 2, remedy="adjustment")
    close(NOVEMBER, CLOSED_AGAIN)
    whole = consolidated(period_start=NOVEMBER.first)
    assert printed(whole)[1] == (
        "Berlin",
        [(2, "Tickets Resolved", "0.00"), (3, f"Adjustment of Tickets Resolved, invoice {BERLIN}", "-3.60")],
        "-3.60",
    )
    # $50.00 - $3.60 + Tokyo's minimum of $30.00, and 19 % of $76.40.
    assert cents(whole.total) == "90.92"
    assert_everything_adds_up()


def test_a_childs_minimum_that_takes_the_place_of_its_tickets_leaves_nothing_to_credit(
    family: tuple[Customer, ...],
) -> None:
    found = disputed(3, "tokyo", 1)
    with pytest.raises(DisputeRefused, match="comes to the same"):
        decide(found, 1, remedy="credit_note")
    decide(found, 1, remedy="adjustment")
    close(NOVEMBER, CLOSED_AGAIN)
    assert [amount for *_, amount in printed(consolidated(period_start=NOVEMBER.first))[2][1]] == [
        "0.00", "30.00", "-2.00", "2.00",
    ]  # fmt: skip
    assert_everything_adds_up()


def test_the_payer_disputes_in_the_portal_and_the_child_reads_it_with_its_own_invoice(
    family: tuple[Customer, ...],
    enter: Enter,  # noqa: F811
) -> None:
    parent, berlin, tokyo = (enter(each) for each in family)
    listed = text_of(parent.get(f"/portal/invoices/{WHOLE}/lines/2/events/"))
    assert listed.count('type="checkbox"') == 10
    assert "subject=berlin-1&amp;of=berlin" in listed
    sent = {"outcome": ids("berlin", 1, 2), "send": "1", "reason": "They wrote again."}
    assert "Dispute 2 outcomes" in text_of(
        parent.post(
            f"/portal/invoices/{WHOLE}/lines/2/dispute/", {k: v for k, v in sent.items() if k != "send"}
        )
    )
    opened = parent.post(f"/portal/invoices/{WHOLE}/lines/2/dispute/", sent)
    found = Dispute.objects.get()
    assert opened["Location"] == f"/portal/disputes/{found.pk}/"
    assert (found.customer.code, found.opened_by) == ("berlin", "reader@globex.example")
    # Who asked may take it back; the child did not ask.
    withdrawing = f"/portal/disputes/{found.pk}/withdraw/"
    assert "Withdraw the dispute" in text_of(parent.get(f"/portal/disputes/{found.pk}/"))
    assert "Withdraw the dispute" not in text_of(berlin.get(f"/portal/disputes/{found.pk}/"))
    assert berlin.post(withdrawing).status_code == 404
    decide(found, 1, remedy="credit_note")
    note = CreditNote.objects.get()
    for client, number, other in ((parent, WHOLE, BERLIN), (berlin, BERLIN, f">{WHOLE}<")):
        for path in (f"/portal/disputes/{found.pk}/", "/portal/disputes/", f"/portal/invoices/{number}/"):
            page = text_of(client.get(path))
            assert found.number in page, path
            assert number in page, path
            assert other not in page, path
    assert f'href="/portal/credit-notes/{note.number}/"' in text_of(
        parent.get(f"/portal/disputes/{found.pk}/")
    )
    told = text_of(berlin.get(f"/portal/disputes/{found.pk}/"))
    assert f"Given back to Globex, who pays for you, by credit note {note.number}" in told
    assert "portal/credit-notes" not in told
    # Both read the story of the ticket; a sibling and a stranger read nothing.
    assert "Tickets Resolved" in text_of(parent.get("/portal/subjects/?subject=berlin-1&of=berlin"))
    stranger = enter(make_customer("stranger"))
    for client in (tokyo, stranger):
        for path in (f"/portal/disputes/{found.pk}/", "/portal/subjects/?subject=berlin-1&of=berlin"):
            assert client.get(path).status_code == 404, path
        assert client.post(f"/portal/invoices/{WHOLE}/lines/2/dispute/", sent).status_code == 404
        assert found.number not in text_of(client.get("/portal/disputes/"))
    assert parent.get("/portal/subjects/?subject=nothing&of=berlin").status_code == 404


def test_the_payer_reads_no_subject_that_it_was_not_billed_for(
    family: tuple[Customer, ...],
    enter: Enter,  # noqa: F811
) -> None:
    send(event("new", customer="berlin", subject="secret", occurred_at="2026-11-01T10:00:00Z"), now=CLOSED)
    assert enter(family[0]).get("/portal/subjects/?subject=secret&of=berlin").status_code == 404
    assert enter(family[1]).get("/portal/subjects/?subject=secret").status_code == 200


def test_a_child_disputes_its_own_part_and_nothing_is_disputed_by_both(
    family: tuple[Customer, ...],
    enter: Enter,  # noqa: F811
) -> None:
    parent, berlin, _ = (enter(each) for each in family)
    sent = {"outcome": ids("berlin", 1), "send": "1", "reason": "They wrote again."}
    assert berlin.post(f"/portal/invoices/{BERLIN}/lines/2/dispute/", sent).status_code == 302
    again = parent.post(f"/portal/invoices/{WHOLE}/lines/2/dispute/", sent)
    assert again.status_code == 400
    assert "disputed before" in text_of(again)
    assert text_of(parent.get(f"/portal/invoices/{WHOLE}/lines/2/events/")).count('type="checkbox"') == 9
    foreign = {"outcome": ids("tokyo", 1), "send": "1", "reason": "Not mine."}
    assert parent.post(f"/portal/invoices/{WHOLE}/lines/2/dispute/", foreign).status_code == 400
    assert Dispute.objects.count() == 1


def test_over_http_a_line_is_named_by_the_whole_or_by_the_part(
    family: tuple[Customer, ...],
) -> None:
    integrator = Integrator("manage")
    for number, key in ((WHOLE, "berlin-1"), (BERLIN, "berlin-2")):
        status, body = integrator.post(
            "disputes/", {"invoice": number, "line": 2, "outcomes": [key], "reason": "Back."}
        )
        assert status == 201, body
        assert (body["customer"], body["invoice"], body["printed_on"], body["billed_to"]) == (
            "berlin", BERLIN, WHOLE, "globex",
        )  # fmt: skip
    for number in (WHOLE, BERLIN):
        assert len(integrator.get("disputes/", invoice=number)[1]["results"]) == 2
    assert integrator.get("disputes/", invoice=TOKYO)[1]["results"] == []
    path = f"disputes/{body['id']}/decide/"
    sent = {"accepted": ["berlin-2"], "answer": "Right.", "remedy": "credit_note"}
    status, decided = integrator.post(path, sent)
    assert (status, decided["history"][-1]["amount"]) == (200, "-1.80")
    assert CreditNote.objects.get().invoice.number == WHOLE


def test_a_void_consolidated_invoice_gives_nothing_back(family: tuple[Customer, ...]) -> None:
    from billing.voiding import void_invoice

    found = disputed(2, "berlin", 1)
    void_invoice(consolidated(), reason="Wrong address.", by="clara", now=CLOSED)
    assert decide(found, 1, remedy="credit_note").amount == 0
    assert not CreditNote.objects.exists()
    close()
    # Billed again without it: 9 x $2.00.
    again = Invoice.objects.get(part_of__status="issued", customer=family[1])
    assert cents(again.subtotal) == "18.00"
    with pytest.raises(DisputeRefused, match="cannot be disputed here"):
        open_dispute(
            InvoiceLine.objects.get(pk=found.line_id), ids("berlin", 2), reason="x", by="anna", now=CLOSED
        )
    assert_everything_adds_up()
