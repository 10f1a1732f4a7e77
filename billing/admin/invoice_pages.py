"""Pages of what can be done with an invoice. What its state does not allow is refused with 409 and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin.invoice_overview import PERMISSIONS
from billing.admin.settling_forms import (
    CreditForm,
    ItemFormSet,
    KeyedForm,
    MailForm,
    MoneyForm,
    OneOffForm,
    PaymentForm,
    ReasonForm,
)
from billing.admin.statement import draft_rows, invoice_rows
from billing.approving import discard_draft, issue_draft, refreshed, refreshed_many
from billing.collecting import record_payment, record_refund, reinstate, reverse_payment, write_off
from billing.correcting import issue_credit_note
from billing.drafts import InvoiceDraft
from billing.errors import BillingError, FiguresChanged, NotInThisState
from billing.formatting import money
from billing.lifecycle import Action, State, refusal, state_of
from billing.mailing import queue_mail
from billing.models import Invoice, InvoiceKind, InvoiceStatus, MailKind, Payment
from billing.one_off import Item, create_one_off
from billing.rating.decimals import exact_decimal
from billing.voiding import void_invoice
from customers.staff_pages import ReadOnlyAdmin, put_errors, require

CONFLICT = 409
DRAFTS_SHOWN = 100
TITLES = {
    Action.ISSUE: "Issue {}",
    Action.DISCARD: "Discard {}",
    Action.PAY: "Record a payment for {}",
    Action.REFUND: "Record a refund for {}",
    Action.WRITE_OFF: "Write off {}",
    Action.REINSTATE: "Take back the write-off of {}",
    Action.VOID: "Void {}",
}
PURPOSES = {
    Action.ISSUE: "It is drawn up once more from everything received, gets its number, and never changes again.",
    Action.DISCARD: "The draft is deleted. Nothing was sent, and no number is lost.",
    Action.PAY: "Money that came in for this invoice. A payment is never changed, only taken back with a reason.",
    Action.REFUND: "The credit balance, paid back to the customer.",
    Action.WRITE_OFF: "What is still due is given up. It can be taken back while nothing else happens.",
    Action.REINSTATE: "The amount is due again.",
    Action.VOID: "Nothing is to be paid for it any more. Its number stays used, and its period can be billed again.",
}
BUTTONS = {
    Action.ISSUE: "Issue",
    Action.DISCARD: "Discard the draft",
    Action.PAY: "Record the payment",
    Action.REFUND: "Record the refund",
    Action.WRITE_OFF: "Write off",
    Action.REINSTATE: "Take it back",
    Action.VOID: "Void the invoice",
}
DANGEROUS = (Action.DISCARD, Action.WRITE_OFF, Action.VOID)


class IssueForm(KeyedForm):
    expected = forms.DecimalField(widget=forms.HiddenInput, required=False)


class InvoicePages(ReadOnlyAdmin):
    """Views that InvoiceAdmin serves."""

    def settling_urls(self, wrap: Callable[..., Any]) -> list[URLPattern]:
        return [
            path("one-off/", wrap(self.one_off_view), name="billing_invoice_one_off"),
            path("<int:pk>/mail/", wrap(self.mail_view), name="billing_invoice_mail"),
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
            return self._refused(request, invoice, told)
        form = _form(wanted, invoice, request)
        if request.method == "POST" and form.is_valid():
            try:
                done = _do(wanted, invoice, form, who=_who(request))
            except NotInThisState as refused:
                return self._refused(request, invoice, refused.message)
            except FiguresChanged as changed:
                messages.warning(request, changed.message)
                return redirect("admin:billing_invoice_do", pk, action)
            except BillingError as refused:
                put_errors(form, refused.fields, message=refused.message)
            else:
                messages.success(request, done)
                if wanted == Action.DISCARD:
                    return redirect("admin:billing_invoice_changelist")
                return redirect("admin:billing_invoice_change", pk)
        context = {} if wanted != Action.ISSUE else _as_issued(invoice, form)
        return self.page(
            request, "admin/billing/invoice/do.html", title=TITLES[wanted].format(invoice), invoice=invoice, form=form,
            purpose=PURPOSES[wanted], button=BUTTONS[wanted], danger=wanted in DANGEROUS,
            due=money(abs(invoice.amount_due), invoice.currency), media=_media(self, form),
            status=400 if form.errors else 200, **context,
        )  # fmt: skip

    def credit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Choose what to credit, see the effect, and issue the credit note."""
        require(request, "billing.view_invoice", PERMISSIONS[Action.CREDIT])
        invoice = get_object_or_404(Invoice.objects.select_related("customer"), pk=pk)
        if told := refusal(invoice, Action.CREDIT):
            return self._refused(request, invoice, told)
        form = CreditForm(invoice, request.POST or None)
        effect = None
        if request.method == "POST" and form.is_valid():
            try:
                effect = form.effect()
                if "_confirm" in request.POST:
                    note = issue_credit_note(
                        invoice,
                        reason=form.cleaned_data["reason"],
                        expected=form.cleaned_data["expected"],
                        key=form.cleaned_data["key"] or None,
                        **form.wanted(),
                        **_who(request),
                    )
                    messages.success(request, f"Credit note {note.number} is issued.")
                    return redirect("admin:billing_creditnote_change", note.pk)
            except NotInThisState as refused:
                return self._refused(request, invoice, refused.message)
            except BillingError as refused:
                effect = None
                put_errors(form, _by_field(refused.fields), message=refused.message)
        return self.page(
            request, "admin/billing/invoice/credit.html", title=f"Credit note for {invoice}", invoice=invoice,
            form=form,
            effect=effect, media=_media(self, form), status=400 if form.errors else 200,
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
                reverse_payment(payment, reason=form.cleaned_data["reason"], **_who(request))
            except NotInThisState as refused:
                return self._refused(request, payment.invoice, refused.message)
            messages.success(request, "The payment is taken back.")
            return redirect("admin:billing_invoice_change", pk)
        amount = money(payment.amount, payment.currency)
        return self.page(
            request, "admin/billing/invoice/do.html", title=f"Take back the payment of {amount}", form=form,
            invoice=payment.invoice, button="Take it back", danger=True, media=_media(self, form),
            purpose="Its opposite is recorded; both stay visible. Use it for payments that bounced or were a mistake.",
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
            sent = form.cleaned_data
            try:
                queue_mail(invoice, MailKind(sent["kind"]), to=sent["to"], **_who(request))
            except NotInThisState as refused:
                return self._refused(request, invoice, refused.message)
            messages.success(request, f"The mail to {sent['to']} goes out within a minute.")
            return redirect("admin:billing_invoice_change", pk)
        return self.page(
            request, "admin/billing/invoice/do.html", title=f"Send {invoice} by mail", invoice=invoice, form=form,
            button="Send", media=_media(self, form), status=400 if form.errors else 200,
            purpose="The PDF is attached. The words are those under Mail texts.",
        )  # fmt: skip

    def one_off_view(self, request: HttpRequest) -> HttpResponse:
        """Bill a customer once, without a plan."""
        require(request, "billing.view_invoice", "billing.issue_invoice")
        form = OneOffForm(request.POST or None, customer=request.GET.get("customer", ""))
        items = ItemFormSet(request.POST or None, prefix="items")
        if request.method == "POST" and form.is_valid() and items.is_valid():
            rows = [row for row in items.cleaned_data if row.get("description")]
            lines = [
                Item(
                    row["description"],
                    Decimal(1) if row["quantity"] is None else row["quantity"],
                    row["unit_amount"],
                )
                for row in rows
            ]
            try:
                invoice = create_one_off(
                    form.cleaned_data["customer"],
                    lines,
                    key=form.cleaned_data["key"] or None,
                    at_once=not form.cleaned_data["draft"],
                    now=timezone.now(),
                )
            except BillingError as refused:
                put_errors(form, {}, message=refused.message)
            else:
                messages.success(
                    request, f"{invoice} is {'issued' if invoice.number else 'saved as a draft'}."
                )
                return redirect("admin:billing_invoice_change", invoice.pk)
        return self.page(
            request, "admin/billing/invoice/one_off.html", title="Bill something once", form=form, items=items,
            media=_media(self, form), status=400 if form.errors or not all(map(_fine, items)) else 200,
            purpose="A set-up, a day of consulting, goods: lines with quantity and unit price.",
        )  # fmt: skip

    def issue_many_view(self, request: HttpRequest) -> HttpResponse:
        """Issue chosen drafts; each is drawn up once more first. One that changed since it was shown stays a draft."""
        require(request, "billing.view_invoice", PERMISSIONS[Action.ISSUE])
        drafts = list(
            Invoice.objects.filter(status=InvoiceStatus.DRAFT)
            .select_related("customer", "subscription__plan", "subscription__customer")
            .order_by("customer__name", "period_start")[:DRAFTS_SHOWN]
        )
        if request.method == "POST":
            chosen = {int(pk) for pk in request.POST.getlist("draft") if pk.isdigit() and len(pk) < 19}
            done = 0
            for draft in (each for each in drafts if each.pk in chosen):
                try:
                    issue_draft(draft, expected=_sent_total(request, draft), **_who(request))
                    done += 1
                except BillingError as refused:
                    messages.warning(request, f"{draft.customer}: {refused.message}")
            messages.success(request, f"{done} {'invoice is' if done == 1 else 'invoices are'} issued.")
            return redirect(
                "admin:billing_invoice_changelist" if done == len(chosen) else "admin:billing_invoice_issue"
            )
        fresh = refreshed_many(drafts, now=timezone.now())
        rows = [_draft_row(draft, fresh.get(draft.pk)) for draft in drafts]
        return self.page(
            request, "admin/billing/invoice/issue.html", title="Issue drafts", rows=rows,
            purpose="Chosen drafts are drawn up once more, numbered and frozen. One that changed stays a draft.",
        )  # fmt: skip

    def _refused(self, request: HttpRequest, invoice: Invoice, told: str) -> HttpResponse:
        return self.page(
            request, "admin/billing/invoice/refused.html", title="This cannot be done", invoice=invoice, told=told,
            status=CONFLICT,
        )  # fmt: skip


def _form(action: Action, invoice: Invoice, request: HttpRequest) -> forms.Form:
    data, now = request.POST or None, timezone.now()
    if action == Action.PAY:
        return PaymentForm(invoice, data, now=now)
    if action == Action.REFUND:
        return MoneyForm(invoice, data, now=now)
    if action in (Action.ISSUE, Action.DISCARD):
        return IssueForm(data)
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


def _who(request: HttpRequest) -> dict[str, Any]:
    user: Any = request.user
    return {"by": user.get_full_name() or user.get_username(), "now": timezone.now()}


def _sent_total(request: HttpRequest, draft: Invoice) -> Decimal:
    """Give the total that the page showed for a draft. Raises FiguresChanged for anything that is none."""
    text = request.POST.get(f"total_{draft.pk}", "")
    try:
        return exact_decimal(text)
    except ValueError as refused:
        raise FiguresChanged("Look at its total and choose it again.") from refused


def _draft_row(draft: Invoice, fresh: InvoiceDraft | BillingError | None) -> dict[str, Any]:
    if isinstance(fresh, BillingError):
        return {"draft": draft, "problem": fresh.message}
    total = draft.total if fresh is None else fresh.total
    return {"draft": draft, "sent": f"{total:f}", "total": money(total, draft.currency)}


def _by_field(fields: dict[str, str]) -> dict[str, str]:
    """Name the fields of the page for what a service refused: `lines.3` is `line_3`."""
    return {name.replace("lines.", "line_"): sentence for name, sentence in fields.items()}


def _media(model_admin: Any, form: forms.BaseForm) -> Any:
    return model_admin.media + form.media


def _fine(form: forms.BaseForm) -> bool:
    return not form.errors
