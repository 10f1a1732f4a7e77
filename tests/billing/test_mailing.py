"""Documents by mail: queued once, sent with the PDF, tried again while the server refuses, texts that staff edit."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.urls import reverse

from billing.collecting import record_payment
from billing.correcting import issue_credit_note
from billing.errors import NotInThisState
from billing.mailing import MOST_ATTEMPTS, TEXTS, queue_issued, queue_mail, send_waiting, unknown_names
from billing.models import Delivery, Invoice, MailKind, MailText
from tests.billing.test_collecting import WHO, bill
from tests.factories import NOW
from tests.staff import sign_in

pytestmark = pytest.mark.django_db


def billed(email: str = "accounts@acme.example", **fields: Any) -> Invoice:
    invoice = bill("240.00", **fields)
    invoice.customer.email = email
    invoice.customer.save()
    return invoice


def test_an_invoice_goes_out_with_its_pdf_once() -> None:
    invoice = billed()
    assert (queue_issued(now=NOW), queue_issued(now=NOW)) == (1, 0)
    assert (send_waiting(now=NOW), send_waiting(now=NOW)) == (1, 0)
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (
        ["accounts@acme.example"],
        f"Invoice {invoice.number} from Your company",
    )
    assert "over $240.00. $240.00 is due by 4 December 2026." in sent.body
    ((name, content, kind),) = sent.attachments
    assert (name, kind) == (f"{invoice.number}.pdf", "application/pdf")
    assert content.startswith(b"%PDF-")


@pytest.mark.parametrize("stored", [True, False])
def test_an_invoice_on_which_nothing_is_left_to_pay_asks_for_nothing(stored: bool) -> None:
    """The text is stored when a database is made, and asks for the amount due: until somebody writes another."""
    MailText.objects.all().delete()
    if stored:
        subject, body = TEXTS[MailKind.INVOICE]
        MailText.objects.create(kind=MailKind.INVOICE, subject=subject, body=body)
    invoice = billed()
    record_payment(invoice, amount=Decimal(240), received_on=NOW.date(), **WHO)
    queue_mail(invoice, MailKind.INVOICE, **WHO)
    send_waiting(now=NOW)
    (sent,) = mail.outbox
    assert "over $240.00. Nothing is left to pay." in sent.body
    assert "is due" not in sent.body


def test_a_credit_note_goes_out_and_what_has_no_address_or_is_old_stays() -> None:
    issue_credit_note(billed(), reason="Goodwill", **WHO)
    billed("", code="silent")
    assert queue_issued(now=NOW) == 2
    send_waiting(now=NOW)
    assert [message.attachments[0][0] for message in mail.outbox] == [
        "INV-2026-000001.pdf",
        "CN-2026-000001.pdf",
    ]
    Delivery.objects.all().delete()
    assert queue_issued(now=NOW + timedelta(days=3)) == 0


def test_a_mail_is_tried_again_later_and_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: EmailMessage, *_: Any) -> int:
        raise SMTPServerDisconnected("no server")

    billed()
    queue_issued(now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", refuse)
        assert send_waiting(now=NOW) == 0
    waiting = Delivery.objects.get()
    assert (waiting.state, waiting.attempts, waiting.error) == ("queued", 1, "no server")
    assert send_waiting(now=NOW + timedelta(seconds=59)) == 0
    assert send_waiting(now=NOW + timedelta(seconds=60)) == 1
    Delivery.objects.update(state="queued", attempts=MOST_ATTEMPTS - 1)
    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", refuse)
        send_waiting(now=NOW + timedelta(days=1))
    assert Delivery.objects.get().state == "failed"


def test_only_what_is_due_is_reminded_of() -> None:
    invoice = billed()
    queue_mail(invoice, MailKind.REMINDER, **WHO)
    send_waiting(now=NOW)
    assert mail.outbox[0].subject == f"Reminder: invoice {invoice.number} is overdue"
    issue_credit_note(invoice, reason="Goodwill", **WHO)
    invoice.refresh_from_db()
    with pytest.raises(NotInThisState, match="nothing to remind of"):
        queue_mail(invoice, MailKind.REMINDER, **WHO)


def test_the_texts_are_those_that_staff_wrote_and_a_name_adds_no_header() -> None:
    invoice = billed()
    MailText.objects.update_or_create(
        kind="invoice", defaults={"subject": "Rechnung $number\nBcc: x", "body": "$total"}
    )
    queue_mail(invoice, MailKind.INVOICE, **WHO)
    send_waiting(now=NOW)
    assert (mail.outbox[0].subject, mail.outbox[0].body) == (f"Rechnung {invoice.number} Bcc: x", "$240.00")


def test_the_ready_texts_name_only_what_is_filled_in() -> None:
    assert [unknown_names(text) for texts in TEXTS.values() for text in texts] == [[]] * 6


def test_staff_send_and_edit(settings: Any) -> None:
    invoice = billed()
    staff = sign_in()
    page = reverse("admin:billing_invoice_mail", args=[invoice.pk])
    assert staff.post(page, {"kind": "invoice", "to": "not an address"}).status_code == 400
    staff.post(page, {"kind": "invoice", "to": "ann@acme.example"})
    assert [(row.to, row.requested_by) for row in Delivery.objects.all()] == [("ann@acme.example", "root")]
    MailText.objects.get_or_create(kind="invoice", defaults={"subject": "x", "body": "x"})
    text = reverse("admin:billing_mailtext_change", args=["invoice"])
    wrong = staff.post(text, {"subject": "Invoice $nummer", "body": "costs $ 5"})
    assert sorted(wrong.context["adminform"].form.errors) == ["body", "subject"]
    staff.post(text, {"subject": "Your invoice $number", "body": "$total"})
    assert MailText.objects.get(kind="invoice").subject == "Your invoice $number"


def test_a_worker_killed_while_sending_leaves_the_mail_perhaps_sent_and_sends_it_only_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids: list[str] = []

    def killed(self: EmailMessage, *_: Any) -> int:
        assert Delivery.objects.get().state == "sending"
        ids.append(self.extra_headers["Message-ID"])
        raise SystemExit

    invoice = billed()
    queue_issued(now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", killed)
        with pytest.raises(SystemExit):
            send_waiting(now=NOW)
    assert send_waiting(now=NOW + timedelta(minutes=14)) == 0
    assert Delivery.objects.get().state == "sending"
    assert send_waiting(now=NOW + timedelta(minutes=15)) == 0
    assert (Delivery.objects.get().state, queue_issued(now=NOW), mail.outbox) == ("unsure", 0, [])
    staff = sign_in()
    page = staff.get(reverse("admin:billing_invoice_change", args=[invoice.pk])).content.decode()
    assert "to accounts@acme.example was perhaps sent." in page
    again = reverse("admin:billing_invoice_mail_doubt", args=[invoice.pk, Delivery.objects.get().pk])
    assert staff.get(again).status_code == 302  # shows the invoice and does nothing
    assert Delivery.objects.get().state == "unsure"
    staff.post(again)
    assert send_waiting(now=NOW + timedelta(days=300)) == 1
    assert [sent.extra_headers["Message-ID"] for sent in mail.outbox] == ids
    assert staff.post(again).status_code == 409
    Delivery.objects.update(state="unsure")
    staff.post(again, {"_arrived": "1"})
    assert Delivery.objects.get().state == "sent"
    assert staff.post(again, {"_arrived": "1"}).status_code == 409
    assert sign_in("Read only").post(again).status_code == 403


def test_two_mails_have_two_message_ids() -> None:
    invoice = billed()
    queue_mail(invoice, MailKind.INVOICE, **WHO)
    queue_mail(invoice, MailKind.INVOICE, **WHO)
    send_waiting(now=NOW)
    assert len({sent.extra_headers["Message-ID"] for sent in mail.outbox}) == 2
