"""Money forms of the admin sent again: by a double click, in two tabs, after a look back. Each is done once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from billing.correcting import issue_credit_note
from billing.errors import KeyTaken
from billing.models import CreditGrant, CreditNote, Delivery, Invoice, Payment
from tests.billing.admin.test_settling import url
from tests.billing.test_collecting import WHO, bill, pay
from tests.factories import NOW, make_customer
from tests.staff import messages_of, sign_in, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_story_time")]


@pytest.fixture
def _story_time() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def staff() -> Client:
    return sign_in()


def test_a_payment_form_sent_again_with_other_content_says_what_it_recorded_and_asks(staff: Client) -> None:
    """Back in the browser, another amount: nothing is lost and nothing is recorded unasked."""
    invoice = bill("10.00")
    pay_url = url("do", invoice.pk, "pay")
    sent = {"amount": "4.00", "received_on": "2026-11-20", "method": "card", "key": "k"}
    staff.post(pay_url, sent)
    page = staff.post(pay_url, sent | {"amount": "5.00"})
    assert page.status_code == 400
    assert "This form was sent before: a payment of $4.00 for INV-2026-000001 is recorded." in text_of(page)
    assert Payment.objects.count() == 1
    key = page.context["form"]["key"].value()
    assert key != "k"
    staff.post(pay_url, sent | {"amount": "5.00", "key": key})
    invoice.refresh_from_db()
    assert (invoice.amount_due, Payment.objects.count()) == (1, 2)


def test_a_refund_or_a_move_sent_twice_is_done_once_and_not_called_impossible(staff: Client) -> None:
    refunded, moved = bill("10.00", code="a"), bill("10.00", code="b")
    for invoice in (refunded, moved):
        pay(invoice, "15.00", overpaid=True)
    sent = {"amount": "5.00", "received_on": "2026-11-20", "method": "card", "key": "r"}
    for _ in range(2):
        answer = staff.post(url("do", refunded.pk, "refund"), sent, follow=True)
    assert messages_of(answer) == (
        "A refund of $5.00 for INV-2026-000001 was recorded when you sent this form first. Nothing was done now."
    )
    for _ in range(2):
        answer = staff.post(url("do", moved.pk, "move"), {"expected": "5.00", "key": "m"}, follow=True)
    assert messages_of(answer) == (
        "A move of $5.00 from INV-2026-000002 to credits was recorded when you sent this form first. "
        "Nothing was done now."
    )
    assert [str(row.amount) for row in CreditGrant.objects.all()] == ["5.0000"]
    assert Payment.objects.filter(invoice=refunded).count() == 2


@pytest.mark.parametrize("how", [{"how": "all"}, {"how": "amount", "amount": "9.00"}])
def test_a_credit_note_sent_twice_is_issued_once(staff: Client, how: dict[str, str]) -> None:
    """Of all that is left, and of more than is left after it: the second answer leads to the first note."""
    invoice = bill("10.00", "5.00")
    total = "15.00" if how["how"] == "all" else "9.00"
    sent = how | {"reason": "Counted twice", "key": "k", "_confirm": "1", "expected": total}
    for _ in range(2):
        answer = staff.post(url("credit", invoice.pk), sent)
        assert answer.status_code == 302
    note = CreditNote.objects.get()
    assert answer["Location"] == reverse("admin:billing_creditnote_change", args=[note.pk])
    assert (note.total, note.lines.count()) == (Decimal(total), 2)


@pytest.mark.parametrize(
    "change",
    [
        {"how": "amount", "amount": "5.00", "expected": "5.00"},
        {"how": "all", "expected": "11.00"},
        {"reason": "Another"},
        {"line_1": "3.00", "line_2": "1.00"},
    ],
)
def test_a_credit_note_sent_again_with_other_content_is_asked_about(
    staff: Client, change: dict[str, str]
) -> None:
    invoice = bill("10.00", "5.00")
    sent = {
        "how": "lines",
        "line_1": "4.00",
        "reason": "Wrong",
        "key": "k",
        "_confirm": "1",
        "expected": "4.00",
    }
    staff.post(url("credit", invoice.pk), sent)
    page = staff.post(url("credit", invoice.pk), sent | change)
    assert page.status_code == 400
    assert "credit note CN-2026-000001 over $4.00 is issued." in text_of(page)
    assert CreditNote.objects.count() == 1
    key = page.context["form"]["key"].value()
    shown = staff.post(url("credit", invoice.pk), sent | change | {"key": key, "_confirm": ""})
    assert shown.status_code in (200, 302)


def test_all_that_is_left_is_another_credit_note_than_a_part_of_it(staff: Client) -> None:
    """$4 of $15 under a key; all that is left, $11, under the same key is asked about, as often as it is sent."""
    invoice = bill("10.00", "5.00")
    issue_credit_note(invoice, amount=Decimal("4.00"), reason="Wrong", key="k", **WHO)
    for expected in (None, Decimal("4.00"), Decimal("11.00")):
        with pytest.raises(KeyTaken):
            issue_credit_note(invoice, reason="Wrong", key="k", expected=expected, **WHO)
    rest = issue_credit_note(invoice, reason="Rest", key="rest", **WHO)
    assert rest.total == 11
    assert issue_credit_note(invoice, reason="Rest", key="rest", **WHO) == rest
    assert issue_credit_note(invoice, reason="Rest", key="rest", expected=Decimal(11), **WHO) == rest
    assert CreditNote.objects.count() == 2


def test_a_mail_sent_twice_goes_out_once_and_another_is_asked_about(staff: Client) -> None:
    invoice = bill("10.00")
    key = staff.get(url("mail", invoice.pk)).context["form"]["key"].value()
    sent = {"kind": "invoice", "to": "pay@acme.example", "key": key}
    for _ in range(2):
        answer = staff.post(url("mail", invoice.pk), sent, follow=True)
        assert messages_of(answer) == "The mail to pay@acme.example goes out within a minute."
    assert [each.to for each in Delivery.objects.all()] == ["pay@acme.example"]
    other = staff.post(url("mail", invoice.pk), sent | {"to": "boss@acme.example"})
    assert (other.status_code, Delivery.objects.count()) == (400, 1)
    assert "This form was sent before" in text_of(other)
    again = sent | {"to": "boss@acme.example", "key": other.context["form"]["key"].value()}
    staff.post(url("mail", invoice.pk), again)
    assert {each.to for each in Delivery.objects.all()} == {"pay@acme.example", "boss@acme.example"}


def test_a_one_off_form_sent_again_for_something_else_is_asked_about(staff: Client) -> None:
    sent = {
        "customer": make_customer().pk, "key": "k", "items-TOTAL_FORMS": "1", "items-INITIAL_FORMS": "0",
        "items-0-description": "A day in May", "items-0-unit_amount": "950", "_confirm": "1", "expected": "950",
    }  # fmt: skip
    staff.post(url("one_off"), sent)
    june = sent | {"items-0-description": "A day in June"}
    page = staff.post(url("one_off"), june)
    assert page.status_code == 400
    assert "INV-2026-000001 of Acme over $950.00 is made." in text_of(page)
    staff.post(url("one_off"), june | {"key": page.context["form"]["key"].value()})
    assert [line.description for each in Invoice.objects.order_by("pk") for line in each.lines.all()] == [
        "A day in May", "A day in June",
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["a\x00b", "x" * 201])
def test_a_key_written_by_hand_that_cannot_be_one_is_refused_in_words(staff: Client, key: str) -> None:
    sent = {
        "amount": "5.00",
        "currency": "USD",
        "kind": "promotional",
        "name": "Gift",
        "priority": "50",
        "key": key,
    }
    page = staff.post(reverse("admin:customers_customer_grant", args=[make_customer().pk]), sent)
    assert "The hidden key of this form was changed. Open the page again." in text_of(page)
    assert not CreditGrant.objects.exists()


def test_what_is_no_draft_is_left_out_when_drafts_are_issued(staff: Client) -> None:
    """Digits that are no number, one too long, words and nothing."""
    for sent in ("²", "9" * 30, "abc", "", "-1"):
        assert staff.post(url("issue"), {"draft": sent}).status_code == 302
    assert not Invoice.objects.exists()


def test_bill_something_once_says_what_is_needed_first(staff: Client) -> None:
    assert "No customer yet." in text_of(staff.get(url("one_off")))
    make_customer()
    assert "No customer yet." not in text_of(staff.get(url("one_off")))
