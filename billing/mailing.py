"""Documents by mail: queued in the database, sent by the worker, tried again while the mail server refuses.

A mail is marked as sent after the server took it; a worker killed between the two sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from smtplib import SMTPException
from string import Template

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q

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
# Invoices issued longer ago are not sent by themselves when somebody turns SEND_INVOICES on.
RECENT = timedelta(days=2)
NAMES = ("number", "customer", "total", "amount_due", "due_on", "issuer", "portal")
TEXTS = {
    MailKind.INVOICE: (
        "Invoice $number from $issuer",
        "Dear $customer,\n\nattached is invoice $number over $total. $amount_due are due on $due_on.\n\n"
        "All invoices are in your portal: $portal\n\n$issuer\n",
    ),
    MailKind.CREDIT_NOTE: (
        "Credit note $number from $issuer",
        "Dear $customer,\n\nattached is credit note $number over $total.\n\n"
        "Your account is in your portal: $portal\n\n$issuer\n",
    ),
    MailKind.REMINDER: (
        "Reminder: invoice $number is overdue",
        "Dear $customer,\n\ninvoice $number was due on $due_on, and $amount_due are still open. It is attached again; "
        "if you have paid meanwhile, please ignore this mail.\n\n$issuer\n",
    ),
}
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
    """Send the mails that wait, each in a transaction of its own; give how many were taken by the mail server."""
    sent = 0
    waiting = Delivery.objects.filter(state=MailState.QUEUED, next_try_at__lte=now).order_by(
        "next_try_at", "pk"
    )
    for pk in list(waiting.values_list("pk", flat=True)[:AT_ONCE]):
        sent += _send(pk, now=now)
    return sent


def send_notices(*, now: datetime) -> int:
    """Send the mails without a document that wait, each in a transaction of its own; give how many were taken."""
    waiting = NoticeMail.objects.filter(state=MailState.QUEUED, next_try_at__lte=now)
    first = waiting.order_by("next_try_at", "pk").values_list("pk", flat=True)[:AT_ONCE]
    return sum(_send_notice(pk, now=now) for pk in list(first))


@transaction.atomic
def _send_notice(pk: int, *, now: datetime) -> bool:
    rows = NoticeMail.objects.select_for_update(skip_locked=True).filter(state=MailState.QUEUED, pk=pk)
    notice = rows.first()
    if notice is None:
        return False
    mail = EmailMessage(notice.subject, notice.body, to=[notice.to])
    return _try(notice, lambda: mail, now=now)


@transaction.atomic
def _send(pk: int, *, now: datetime) -> bool:
    rows = Delivery.objects.select_for_update(skip_locked=True, of=("self",)).filter(
        state=MailState.QUEUED, pk=pk
    )
    delivery = rows.select_related("invoice__customer", "credit_note__invoice").first()
    return delivery is not None and _try(delivery, lambda: message_of(delivery), now=now)


def _try(mail: Delivery | NoticeMail, message: Callable[[], EmailMessage], *, now: datetime) -> bool:
    mail.attempts += 1
    try:
        message().send()
    except (SMTPException, OSError, DocumentsUnavailable) as refused:
        log.warning("Mail to %s was not taken: %s", mail.to, refused)
        mail.error = str(refused)[:400]
        mail.next_try_at = now + min(FIRST_WAIT * 2 ** (mail.attempts - 1), LONGEST_WAIT)
        if mail.attempts >= MOST_ATTEMPTS:
            mail.state = MailState.FAILED
    else:
        mail.state, mail.sent_at, mail.error = MailState.SENT, now, ""
    mail.save(update_fields=["attempts", "error", "next_try_at", "state", "sent_at"])
    return mail.state == MailState.SENT


def message_of(delivery: Delivery) -> EmailMessage:
    """Give the mail of a delivery: its kind's text with the figures, and the PDF. Raises DocumentsUnavailable."""
    invoice, note = delivery.invoice, delivery.credit_note
    kind = MailKind(delivery.kind)
    text = MailText.objects.filter(kind=kind).first()
    subject, body = (text.subject, text.body) if text is not None else TEXTS[kind]
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
    mail = EmailMessage(line, Template(body).substitute(values), to=[delivery.to])
    if reply_to := invoice.issuer.get("email"):
        mail.reply_to = [reply_to]
    if note is not None:
        mail.attach(credit_note_file_name(note), credit_note_pdf(note), "application/pdf")
    else:
        mail.attach(invoice_file_name(invoice), invoice_pdf(invoice), "application/pdf")
    return mail
