"""Pages of what can be done with an invoice. What its state does not allow is refused with 409 and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import capfirst

from billing.admin.form_keys import KeyedForm, do_once
from billing.admin.invoice_overview import PERMISSIONS
from billing.admin.issuing_pages import IssuingPages
from billing.admin.settling_forms import (
    CreditForm,
    MailForm,
    MoneyForm,
    PaymentForm,
    ReasonForm,
    media_of,
    who_of,
)
from billing.admin.statement import draft_rows, invoice_rows
from billing.approving import discard_draft, issue_draft, refreshed
from billing.collecting import record_payment, record_refund, reinstate, reverse_payment, write_off
from billing.correcting import issue_credit_note
from billing.errors import BillingError, CreditsSpent, FiguresChanged, KeyTaken, NotInThisState
from billing.formatting import money
from billing.lifecycle import Action, State, refusal, state_of
from billing.mailing import confirm_sent, queue_mail, send_again
from billing.models import CreditNote, Delivery, Invoice, InvoiceKind, MailKind, Payment, PaymentKind
from billing.moving import move_to_credits, preview_move
from billing.voiding import void_invoice
from customers.errors import KeyTaken as SentBefore
from customers.staff_pages import put_errors, require

CONFLICT = 409
NOT_NOW = "Nothing was done now."
TITLES = {
    Action.ISSUE: "Issue {}",
    Action.DISCARD: "Discard {}",
    Action.PAY: "Record a payment for {}",
    Action.REFUND: "Record a refund for {}",
    Action.MOVE: "Move the credit balance of {} to credits",
    Action.WRITE_OFF: "Write off {}",
    Action.REINSTATE: "Take back the write-off of {}",
    Action.VOID: "Void {}",
}
PURPOSES = {
    Action.ISSUE: "It is drawn up once more from everything received, gets its number, and never changes again.",
    Action.DISCARD: "The draft is deleted. Nothing was sent, and no number is lost.",
    Action.PAY: "Money that came in for this invoice. A payment is never changed, only taken back with a reason.",
    Action.REFUND: "The credit balance, paid back to the customer.",
    Action.MOVE: "What the customer has paid or been credited too much becomes a credit, which pays its next invoices.",
    Action.WRITE_OFF: "What is still due is given up. It can be taken back while nothing else happens.",
    Action.REINSTATE: "The amount is due again.",
    Action.VOID: "Nothing is to be paid for it any more. Its number stays used, and its period can be billed again.",
}
BUTTONS = {
    Action.ISSUE: "Issue",
    Action.DISCARD: "Discard the draft",
    Action.PAY: "Record the payment",
    Action.REFUND: "Record the refund",
    Action.MOVE: "Move it",
    Action.WRITE_OFF: "Write off",
    Action.REINSTATE: "Take it back",
    Action.VOID: "Void the invoice",
}
DANGEROUS = (Action.DISCARD, Action.WRITE_OFF, Action.VOID)


class IssueForm(KeyedForm):
    expected = forms.DecimalField(widget=forms.HiddenInput, required=False)


class MoveForm(KeyedForm):
    expected = forms.DecimalField(widget=forms.HiddenInput)


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
                    f"{capfirst(_words(before))} was recorded when you sent this form first. {NOT_NOW}",
                )
                return redirect("admin:billing_invoice_change", pk)
            return self._refused(request, invoice, told)
        form = _form(wanted, invoice, request)
        if request.method == "POST" and form.is_valid():
            try:
                done = _do(wanted, invoice, form, who=who_of(request))
            except NotInThisState as refused:
                return self._refused(request, invoice, refused.message)
            except FiguresChanged as changed:
                messages.warning(request, changed.message)
                return redirect("admin:billing_invoice_do", pk, action)
            except KeyTaken:
                assert isinstance(form, KeyedForm)  # no other has a key
                before = Payment.objects.get(key=form.cleaned_data["key"])
                form.ask_again(f"This form was sent before: {_words(before)} is recorded.")
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                messages.success(request, done)
                if wanted == Action.DISCARD:
                    return redirect("admin:billing_invoice_changelist")
                return redirect("admin:billing_invoice_change", pk)
        context: dict[str, Any] = {}
        if wanted == Action.ISSUE:
            context = _as_issued(invoice, form)
        elif wanted == Action.MOVE:
            context = _as_moved(invoice, form)
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


def _words(payment: Payment) -> str:
    amount = money(abs(payment.amount), payment.currency)
    if payment.kind == PaymentKind.MOVED:
        return f"a move of {amount} from {payment.invoice} to credits"
    return f"a {payment.get_kind_display().lower()} of {amount} for {payment.invoice}"


def _form(action: Action, invoice: Invoice, request: HttpRequest) -> forms.Form:
    data, now = request.POST or None, timezone.now()
    if action == Action.PAY:
        return PaymentForm(invoice, data, now=now)
    if action == Action.REFUND:
        return MoneyForm(invoice, data, now=now)
    if action in (Action.ISSUE, Action.DISCARD):
        return IssueForm(data)
    if action == Action.MOVE:
        return MoveForm(data)
    return ReasonForm(data)


def _do(action: Action, invoice: Invoice, form: forms.Form, *, who: dict[str, Any]) -> str:
    sent = dict(form.cleaned_data)
    key = sent.pop("key", "") or None
    match action:
        case Action.ISSUE:
            return f"{issue_draft(invoice, expected=sent['expected'], **who)} is issued."
        case Action.DISCARD:
            discard_draft(invoice)
            return "The draft is discarded."
        case Action.PAY:
            payment = record_payment(invoice, key=key, **sent, **who)
            return f"A payment of {money(payment.amount, payment.currency)} is recorded."
        case Action.REFUND:
            paid_on = sent.pop("received_on")
            payment = record_refund(invoice, paid_on=paid_on, key=key, **sent, **who)
            return f"A refund of {money(-payment.amount, payment.currency)} is recorded."
        case Action.MOVE:
            if sent["expected"] != -invoice.amount_due:
                raise FiguresChanged("The credit balance changed meanwhile. Look at the figures again.")
            grant = move_to_credits(invoice, amount=sent["expected"], key=key, **who)
            return f"{money(grant.amount, grant.currency)} is a credit of {invoice.customer} now."
        case Action.WRITE_OFF:
            write_off(invoice, **sent, **who)
            return f"{invoice} is written off."
        case Action.REINSTATE:
            reinstate(invoice, **sent, **who)
            return f"{invoice} is due again."
    void_invoice(invoice, **sent, **who)
    return f"{invoice} is void."


def _as_issued(invoice: Invoice, form: forms.Form) -> dict[str, Any]:
    """Give the figures a draft would be issued with now."""
    if invoice.kind == InvoiceKind.ONE_OFF:
        total, rows = invoice.total, invoice_rows(invoice, invoice.lines.all())
    else:
        try:
            draft = refreshed(invoice, now=timezone.now())
        except BillingError as refused:
            return {"problem": refused.message}
        total, rows = draft.total, draft_rows(draft)
    form.initial["expected"] = total
    return {"lines": rows, "total": money(total, invoice.currency)}


def _as_moved(invoice: Invoice, form: forms.Form) -> dict[str, Any]:
    """Give what moving the credit balance does to the invoice and to the customer's credits."""
    move = preview_move(invoice, now=timezone.now())
    form.initial["expected"] = move.amount

    def words(amount: Decimal) -> str:
        return money(amount, move.currency)

    return {
        "effect": [
            (f"Credit balance of {invoice}", words(move.amount), words(Decimal(0))),
            (f"Credits of {invoice.customer}", words(move.credits_before), words(move.credits_after)),
        ],
        "hint": "It is used before other credits and does not expire. To undo it, void the credit while it is unused. "
        "If a part is to be paid back, record that refund first.",
    }


def _by_field(fields: dict[str, str]) -> dict[str, str]:
    """Name the fields of the page for what a service refused: `lines.3` is `line_3`."""
    return {name.replace("lines.", "line_"): sentence for name, sentence in fields.items()}


def _only_printed() -> str:
    """A sentence where mails reach nobody: a local installation without a mail server."""
    if settings.EMAIL_BACKEND != "django.core.mail.backends.console.EmailBackend":
        return ""
    return " This installation only prints mails, on the worker's terminal; EMAIL_URL names a server that sends them."
