"""Pages of what can be done with an invoice. What its state does not allow is refused with 409 and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import capfirst

from billing.admin.form_keys import KeyedForm, do_once
from billing.admin.invoice_actions import (
    BUTTONS,
    DANGEROUS,
    PURPOSES,
    TITLES,
    action_form,
    as_issued,
    as_moved,
    do_action,
    payment_words,
)
from billing.admin.invoice_overview import PERMISSIONS
from billing.admin.issuing_pages import IssuingPages
from billing.admin.settling_forms import (
    CreditForm,
    MailForm,
    ReasonForm,
    media_of,
    who_of,
)
from billing.collecting import reverse_payment
from billing.correcting import issue_credit_note
from billing.errors import BillingError, CreditsSpent, FiguresChanged, KeyTaken, NotInThisState
from billing.formatting import money
from billing.lifecycle import Action, State, refusal, state_of
from billing.mailing import confirm_sent, queue_mail, send_again
from billing.models import CreditNote, Delivery, Invoice, MailKind, Payment
from customers.errors import KeyTaken as SentBefore
from customers.staff_pages import put_errors, require

CONFLICT = 409
NOT_NOW = "Nothing was done now."


class InvoicePages(IssuingPages):
    """Views that InvoiceAdmin serves."""

    def settling_urls(self, wrap: Callable[..., Any]) -> list[URLPattern]:
        return [
            path("one-off/", wrap(self.one_off_view), name="billing_invoice_one_off"),
            path("<int:pk>/mail/", wrap(self.mail_view), name="billing_invoice_mail"),
            path(
                "<int:pk>/mail/<int:mail_pk>/", wrap(self.mail_doubt_view), name="billing_invoice_mail_doubt"
            ),
            path("issue/", wrap(self.issue_many_view), name="billing_invoice_issue"),
            path("<int:pk>/credit/", wrap(self.credit_view), name="billing_invoice_credit"),
            path("<int:pk>/do/<slug:action>/", wrap(self.do_view), name="billing_invoice_do"),
            path(
                "<int:pk>/payments/<int:payment_pk>/reverse/",
                wrap(self.reverse_view),
                name="billing_invoice_reverse",
            ),
        ]

    def do_view(self, request: HttpRequest, pk: int, action: str) -> HttpResponse:
        """Show one action with its form, and do it."""
        if action not in TITLES:
            raise Http404
        wanted = Action(action)
        require(request, "billing.view_invoice", PERMISSIONS[wanted])
        invoice = get_object_or_404(Invoice.objects.select_related("customer", "subscription__plan"), pk=pk)
        if told := refusal(invoice, wanted):
            if before := Payment.objects.filter(invoice=invoice, key=_sent_key(request)).first():
                messages.info(
                    request,
                    f"{capfirst(payment_words(before))} was recorded when you sent this form first. {NOT_NOW}",
                )
                return redirect("admin:billing_invoice_change", pk)
            return self._refused(request, invoice, told)
        form = action_form(wanted, invoice, request)
        if request.method == "POST" and form.is_valid():
            try:
                done = do_action(wanted, invoice, form, who=who_of(request))
            except NotInThisState as refused:
                return self._refused(request, invoice, refused.message)
            except FiguresChanged as changed:
                messages.warning(request, changed.message)
                return redirect("admin:billing_invoice_do", pk, action)
            except KeyTaken:
                assert isinstance(form, KeyedForm)  # no other has a key
                before = Payment.objects.get(key=form.cleaned_data["key"])
                form.ask_again(f"This form was sent before: {payment_words(before)} is recorded.")
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                messages.success(request, done)
                if wanted == Action.DISCARD:
                    return redirect("admin:billing_invoice_changelist")
                return redirect("admin:billing_invoice_change", pk)
        context: dict[str, Any] = {}
        if wanted == Action.ISSUE:
            context = as_issued(invoice, form)
        elif wanted == Action.MOVE:
            context = as_moved(invoice, form)
        return self.page(
            request, "admin/billing/invoice/do.html", title=TITLES[wanted].format(invoice), invoice=invoice, form=form,
            purpose=PURPOSES[wanted], button=BUTTONS[wanted], danger=wanted in DANGEROUS,
            due=money(abs(invoice.amount_due), invoice.currency), media=media_of(self, form),
            status=400 if form.errors else 200, **context,
        )  # fmt: skip

    def credit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Choose what to credit, see the effect, and issue the credit note."""
        require(request, "billing.view_invoice", PERMISSIONS[Action.CREDIT])
        invoice = get_object_or_404(Invoice.objects.select_related("customer"), pk=pk)
        if told := refusal(invoice, Action.CREDIT):
            if note := CreditNote.objects.filter(invoice=invoice, key=_sent_key(request)).first():
                messages.info(
                    request,
                    f"Credit note {note.number} over {money(note.total, note.currency)} was issued when you sent "
                    f"this form first. {NOT_NOW}",
                )
                return redirect("admin:billing_creditnote_change", note.pk)
            return self._refused(request, invoice, told)
        form = CreditForm(invoice, request.POST or None)
        effect = None
        if request.method == "POST" and form.is_valid():
            try:
                if "_confirm" in request.POST:
                    note = issue_credit_note(
                        invoice,
                        reason=form.cleaned_data["reason"],
                        expected=form.cleaned_data["expected"],
                        key=form.cleaned_data["key"] or None,
                        **form.wanted(),
                        **who_of(request),
                    )
                    messages.success(request, f"Credit note {note.number} is issued.")
                    return redirect("admin:billing_creditnote_change", note.pk)
                effect = form.effect()
            except NotInThisState as refused:
                return self._refused(request, invoice, refused.message)
            except KeyTaken:
                before = CreditNote.objects.get(key=form.cleaned_data["key"])
                form.ask_again(
                    f"This form was sent before: credit note {before.number} over "
                    f"{money(before.total, before.currency)} is issued."
                )
            except BillingError as refused:
                put_errors(form, _by_field(refused.fields), message=refused.message)
        return self.page(
            request, "admin/billing/invoice/credit.html", title=f"Credit note for {invoice}", invoice=invoice,
            form=form,
            effect=effect, media=media_of(self, form), status=400 if form.errors else 200,
            purpose="What you credit is taken off what the customer owes. A credit note never changes.",
            left=money(invoice.total - invoice.amount_credited, invoice.currency),
        )  # fmt: skip

    def reverse_view(self, request: HttpRequest, pk: int, payment_pk: int) -> HttpResponse:
        """Take back a payment with a reason."""
        require(request, "billing.view_invoice", PERMISSIONS[Action.REVERSE])
        payment = get_object_or_404(Payment.objects.select_related("invoice"), pk=payment_pk, invoice=pk)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                reverse_payment(payment, reason=form.cleaned_data["reason"], **who_of(request))
            except (NotInThisState, CreditsSpent) as refused:
                return self._refused(request, payment.invoice, refused.message)
            messages.success(request, "It is taken back.")
            return redirect("admin:billing_invoice_change", pk)
        return self.page(
            request, "admin/billing/invoice/do.html", title=f"Take back: {payment}", form=form,
            invoice=payment.invoice, button="Take it back", danger=True, media=media_of(self, form),
            purpose="Its opposite is recorded; both stay visible. Use it for what bounced or was a mistake.",
            status=400 if form.errors else 200,
        )  # fmt: skip

    def mail_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the invoice, or a reminder of it, by mail with the PDF."""
        require(request, "billing.view_invoice", PERMISSIONS[Action.PAY])
        invoice = get_object_or_404(Invoice.objects.select_related("customer"), pk=pk)
        overdue = state_of(invoice, now=timezone.now()) == State.OVERDUE
        initial = {"to": invoice.customer.email, "kind": MailKind.REMINDER if overdue else MailKind.INVOICE}
        form = MailForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            kind, to, who = MailKind(form.cleaned_data["kind"]), form.cleaned_data["to"], who_of(request)
            try:
                do_once(request, form, lambda: queue_mail(invoice, kind, to=to, **who), now=who["now"])
            except NotInThisState as refused:
                return self._refused(request, invoice, refused.message)
            except SentBefore:
                form.ask_again("This form was sent before: another mail than this goes out.")
            else:
                messages.success(request, f"The mail to {to} goes out within a minute.")
                return redirect("admin:billing_invoice_change", pk)
        return self.page(
            request, "admin/billing/invoice/do.html", title=f"Send {invoice} by mail", invoice=invoice, form=form,
            button="Send", media=media_of(self, form), status=400 if form.errors else 200,
            purpose=f"The PDF is attached. The words are those under Mail texts.{_only_printed()}",
        )  # fmt: skip

    def mail_doubt_view(self, request: HttpRequest, pk: int, mail_pk: int) -> HttpResponse:
        """Decide about a mail that was perhaps sent: send it again, or note that it arrived. POST only."""
        require(request, "billing.view_invoice", PERMISSIONS[Action.PAY])
        mail = get_object_or_404(Delivery.objects.select_related("invoice"), pk=mail_pk, invoice=pk)
        if request.method == "POST":
            try:
                if "_arrived" in request.POST:
                    confirm_sent(mail, now=timezone.now())
                    messages.success(request, "It is noted that the mail arrived.")
                else:
                    send_again(mail, now=timezone.now())
                    messages.success(request, f"The mail to {mail.to} goes out again within a minute.")
            except NotInThisState as refused:
                return self._refused(request, mail.invoice, refused.message)
        return redirect("admin:billing_invoice_change", pk)

    def _refused(self, request: HttpRequest, invoice: Invoice, told: str) -> HttpResponse:
        return self.page(
            request, "admin/billing/invoice/refused.html", title="This cannot be done", invoice=invoice, told=told,
            status=CONFLICT,
        )  # fmt: skip


def _sent_key(request: HttpRequest) -> str | None:
    """Give the key that a form was sent with; None, which no record has, without one."""
    return request.POST.get("key") or None


def _by_field(fields: dict[str, str]) -> dict[str, str]:
    """Name the fields of the page for what a service refused: `lines.3` is `line_3`."""
    return {name.replace("lines.", "line_"): sentence for name, sentence in fields.items()}


def _only_printed() -> str:
    """A sentence where mails reach nobody: a local installation without a mail server."""
    if settings.EMAIL_BACKEND != "django.core.mail.backends.console.EmailBackend":
        return ""
    return " This installation only prints mails, on the worker's terminal; EMAIL_URL names a server that sends them."
