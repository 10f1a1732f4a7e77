"""Documents by mail: queued in the database, sent by the worker, tried again while the mail server refuses.

That a mail is being sent is committed before the mail server hears of it. A worker killed in between leaves it so, and
the next one shows it as perhaps sent: a person decides whether to send it again. Every try of one mail has the same
Message-ID, by which mail programs tell copies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from smtplib import SMTPException
from string import Template
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F, Q

from billing.documents import (
    credit_note_file_name,
    credit_note_pdf,
    invoice_file_name,
    invoice_pdf,
)
from billing.errors import NotInThisState
from billing.formatting import day, in_locale, money
from billing.models import (
    CreditNote,
    Delivery,
    Invoice,
    InvoiceStatus,
    MailKind,
    MailState,
    MailText,
    NoticeMail,
)
from billing.printing import DocumentsUnavailable

MOST_ATTEMPTS = 12
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=4)
AT_ONCE = 50
# A worker that takes longer is gone: each step of talking to the mail server ends after EMAIL_TIMEOUT.
SENDING_TAKES = timedelta(minutes=15)
# Invoices issued longer ago are not sent by themselves when somebody turns SEND_INVOICES on.
RECENT = timedelta(days=2)
NAMES = ("number", "customer", "total", "amount_due", "due_on", "issuer", "portal")
TEXTS = {
    MailKind.INVOICE: (
        "Invoice $number from $issuer",
        "Dear $customer,\n\nAttached is invoice $number over $total. $amount_due is due by $due_on.\n\n"
        "All invoices are in your portal: $portal\n\n$issuer\n",
    ),
    MailKind.CREDIT_NOTE: (
        "Credit note $number from $issuer",
        "Dear $customer,\n\nAttached is credit note $number over $total.\n\n"
        "Your account is in your portal: $portal\n\n$issuer\n",
    ),
    MailKind.REMINDER: (
        "Reminder: invoice $number is overdue",
        "Dear $customer,\n\nInvoice $number was due on $due_on, and $amount_due is still open. It is attached again; "
        "if you have paid meanwhile, please ignore this mail.\n\n$issuer\n",
    ),
}
# Of an invoice that credits paid, or that comes to nothing.
NOTHING_DUE = (
    "Dear $customer,\n\nAttached is invoice $number over $total. Nothing is left to pay.\n\n"
    "All invoices are in your portal: $portal\n\n$issuer\n"
)
log = logging.getLogger(__name__)


def unknown_names(text: str) -> list[str]:
    """Give the names in a mail text that mean nothing. Raises ValueError for a stray $."""
    template = Template(text)
    if not template.is_valid():
        raise ValueError("A $ stands alone: write $$ for a dollar sign.")
    return sorted(set(template.get_identifiers()) - set(NAMES))


def queue_mail(
    invoice: Invoice,
    kind: MailKind,
    *,
    credit_note: CreditNote | None = None,
    to: str = "",
    by: str,
    now: datetime,
) -> Delivery:
    """Let the worker send a document, to the customer's address when none is named.

    Raises NotInThisState for a draft, and where there is no address.
    """
    address = to or invoice.customer.email
    if invoice.status == InvoiceStatus.DRAFT:
        raise NotInThisState("This is a draft: issue it first.")
    if invoice.part_of_id is not None:
        raise NotInThisState("This is part of a consolidated invoice: send that one.")
    if kind == MailKind.REMINDER and invoice.status != InvoiceStatus.ISSUED:
        raise NotInThisState("Nothing is due on it: there is nothing to remind of.")
    if not address:
        raise NotInThisState(f"{invoice.customer} has no e-mail address. Write one on the customer's page.")
    return Delivery.objects.create(
        kind=kind, invoice=invoice, credit_note=credit_note, to=address, next_try_at=now, requested_by=by,
        requested_at=now,
    )  # fmt: skip


def queue_issued(*, now: datetime) -> int:
    """Queue the invoices and credit notes issued lately that were not yet; give how many. Rerunning adds nothing."""
    since = now - RECENT
    invoices = (
        Invoice.objects.filter(issued_at__gte=since, part_of=None)
        .exclude(Q(status=InvoiceStatus.VOID) | Q(customer__email=""))
        .exclude(deliveries__kind=MailKind.INVOICE)
        .select_related("customer")
    )
    notes = (
        CreditNote.objects.filter(issued_at__gte=since)
        .exclude(invoice__customer__email="")
        .filter(deliveries=None)
        .select_related("invoice__customer")
    )
    rows = [
        Delivery(
            kind=MailKind.INVOICE,
            invoice=invoice,
            to=invoice.customer.email,
            next_try_at=now,
            requested_at=now,
        )
        for invoice in invoices
    ]
    rows += [
        Delivery(kind=MailKind.CREDIT_NOTE, invoice=note.invoice, credit_note=note, to=note.invoice.customer.email,
                 next_try_at=now, requested_at=now)
        for note in notes
    ]  # fmt: skip
    return len(Delivery.objects.bulk_create(rows, ignore_conflicts=True))


def send_waiting(*, now: datetime) -> int:
    """Send the mails with documents that wait; give how many were taken by the mail server."""
    _doubt(Delivery, now=now)
    waiting = Delivery.objects.filter(state=MailState.QUEUED, next_try_at__lte=now)
    rows = waiting.select_related("invoice__customer", "credit_note__invoice").order_by("next_try_at", "pk")
    return sum(_send(mail, partial(message_of, mail), now=now) for mail in list(rows[:AT_ONCE]))


def send_notices(*, now: datetime) -> int:
    """Send the mails without a document that wait; give how many were taken by the mail server."""
    _doubt(NoticeMail, now=now)
    waiting = NoticeMail.objects.filter(state=MailState.QUEUED, next_try_at__lte=now)
    rows = list(waiting.order_by("next_try_at", "pk")[:AT_ONCE])
    return sum(_send(mail, partial(_notice, mail), now=now) for mail in rows)


def send_again(delivery: Delivery, *, now: datetime) -> None:
    """Let the worker send a mail again that was perhaps sent or given up. Raises NotInThisState for any other."""
    again = Delivery.objects.filter(pk=delivery.pk, state__in=[MailState.UNSURE, MailState.FAILED])
    if not again.update(state=MailState.QUEUED, next_try_at=now, attempts=0):
        raise NotInThisState("This mail is sent, or waits to be.")


def confirm_sent(delivery: Delivery, *, now: datetime) -> None:
    """Note that a mail which was perhaps sent has arrived. Raises NotInThisState for any other."""
    unsure = Delivery.objects.filter(pk=delivery.pk, state=MailState.UNSURE)
    if not unsure.update(state=MailState.SENT, sent_at=now, error=""):
        raise NotInThisState("Whether this mail was sent is known.")


def _doubt(mails: type[Delivery | NoticeMail], *, now: datetime) -> None:
    """Show as perhaps sent what a worker that is gone was sending."""
    lost = mails._default_manager.filter(state=MailState.SENDING, next_try_at__lte=now)
    if count := lost.update(state=MailState.UNSURE, error="The worker was stopped while it was being sent."):
        log.warning("%d mails were perhaps sent: a worker was stopped in between.", count)


def _send(mail: Delivery | NoticeMail, message: Callable[[], EmailMessage], *, now: datetime) -> bool:
    rows = type(mail)._default_manager.filter(pk=mail.pk)
    try:
        made = message()
    except DocumentsUnavailable as refused:
        mail.attempts += 1
        _put_off(mail, refused, now=now)
        return False
    claim = {"state": MailState.SENDING, "next_try_at": now + SENDING_TAKES, "attempts": F("attempts") + 1}
    if not rows.filter(state=MailState.QUEUED).update(**claim):
        return False  # another worker was faster
    mail.attempts += 1
    try:
        made.send()
    except (SMTPException, OSError) as refused:
        _put_off(mail, refused, now=now)
        return False
    rows.update(state=MailState.SENT, sent_at=now, error="")
    return True


def _put_off(mail: Delivery | NoticeMail, refused: Exception, *, now: datetime) -> None:
    log.warning("Mail to %s was not taken: %s", mail.to, refused)
    mail.error = str(refused)[:400]
    mail.next_try_at = now + min(FIRST_WAIT * 2 ** (mail.attempts - 1), LONGEST_WAIT)
    mail.state = MailState.FAILED if mail.attempts >= MOST_ATTEMPTS else MailState.QUEUED
    mail.save(update_fields=["attempts", "error", "next_try_at", "state"])


def _message_id(mail: Delivery | NoticeMail) -> str:
    """Give the same Message-ID for every try of one mail, and no other mail's."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    written = mail.requested_at if isinstance(mail, Delivery) else mail.written_at
    return f"<{mail._meta.model_name}-{mail.pk}-{written:%Y%m%d%H%M%S}@{host}>"


def _notice(mail: NoticeMail) -> EmailMessage:
    return EmailMessage(mail.subject, mail.body, to=[mail.to], headers={"Message-ID": _message_id(mail)})


def message_of(delivery: Delivery) -> EmailMessage:
    """Give the mail of a delivery: its kind's text with the figures, and the PDF. Raises DocumentsUnavailable."""
    invoice, note = delivery.invoice, delivery.credit_note
    kind = MailKind(delivery.kind)
    text = MailText.objects.filter(kind=kind).first()
    subject, body = (text.subject, text.body) if text is not None else TEXTS[kind]
    if body == TEXTS[MailKind.INVOICE][1] and invoice.amount_due <= 0:  # where nobody wrote other words
        body = NOTHING_DUE
    with in_locale(invoice.recipient.get("locale", "")):
        values = {
            "number": note.number if note else invoice.number or "",
            "customer": invoice.recipient.get("name", ""),
            "total": money(note.total if note else invoice.total, invoice.currency),
            "amount_due": money(max(invoice.amount_due, 0 * invoice.amount_due), invoice.currency),
            "due_on": day(invoice.due_on) if invoice.due_on else "",
            "issuer": invoice.issuer.get("name", ""),
            "portal": f"{settings.PUBLIC_URL}/portal/",
        }
    # A name may hold a line break; a header must not.
    line = " ".join(Template(subject).substitute(values).split())
    headers = {"Message-ID": _message_id(delivery)}
    mail = EmailMessage(line, Template(body).substitute(values), to=[delivery.to], headers=headers)
    if reply_to := invoice.issuer.get("email"):
        mail.reply_to = [reply_to]
    if note is not None:
        mail.attach(credit_note_file_name(note), credit_note_pdf(note), "application/pdf")
    else:
        mail.attach(invoice_file_name(invoice), invoice_pdf(invoice), "application/pdf")
    return mail
