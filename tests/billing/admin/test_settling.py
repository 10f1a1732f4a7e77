"""Settling invoices in the admin: offered by state and right, effect shown first, refused with nothing written."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from billing.closing import close_period
from billing.collecting import record_payment, record_refund
from billing.correcting import issue_credit_note
from billing.models import CreditGrant, CreditNote, Invoice, Payment
from billing.months import Month
from tests.billing.money import credit, give
from tests.billing.test_collecting import TODAY, WHO, bill, everything, now_of, pay
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import messages_of, sign_in, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_story_time")]


@pytest.fixture
def _story_time() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def staff() -> Client:
    return sign_in()


def url(name: str, *arguments: object) -> str:
    return reverse(f"admin:billing_invoice_{name}", args=arguments)


def labels(client: Client, invoice: Invoice) -> list[str]:
    return [button["label"] for button in client.get(url("change", invoice.pk)).context["buttons"]]


def test_the_page_offers_what_the_state_and_the_group_allow(staff: Client) -> None:
    invoice = bill("10.00")
    assert labels(staff, invoice) == ["Record a payment…", "Credit note…", "Write off…", "Void…"]
    assert labels(sign_in("Billing clerk"), invoice) == ["Record a payment…"]
    assert labels(sign_in("Read only"), invoice) == []
    record_payment(invoice, amount=Decimal(10), received_on=NOW.date(), **WHO)
    assert labels(staff, invoice) == ["Record a payment…", "Credit note…"]


def test_a_payment_is_prefilled_with_what_is_due_and_recorded_once(staff: Client) -> None:
    invoice = bill("10.00")
    page = staff.get(url("do", invoice.pk, "pay"))
    form = page.context["form"]
    assert (form["amount"].value(), form["received_on"].value()) == (Decimal("10.00"), NOW.date())
    sent = {
        "amount": "4.00",
        "received_on": "2026-11-20",
        "method": "card",
        "reference": "R 1",
        "key": form["key"].value(),
    }
    answer = staff.post(url("do", invoice.pk, "pay"), sent, follow=True)
    assert "A payment of $4.00 is recorded." in messages_of(answer)
    staff.post(url("do", invoice.pk, "pay"), sent)
    assert [(str(row.amount), row.recorded_by) for row in Payment.objects.all()] == [("4.0000", "root")]
    assert answer.context["sums"] == [("Paid", "$4.00"), ("Amount due", "$6.00")]
    assert [step["what"] for step in answer.context["timeline"]][-1] == "Payment of $4.00"


def test_a_payment_above_what_is_due_is_asked_about(staff: Client) -> None:
    invoice = bill("10.00")
    sent = {"amount": "12.00", "received_on": "2026-11-20", "method": "card"}
    page = staff.post(url("do", invoice.pk, "pay"), sent)
    assert (page.status_code, list(page.context["form"].errors)) == (400, ["amount"])
    assert not Payment.objects.exists()
    staff.post(url("do", invoice.pk, "pay"), sent | {"overpaid": "on"})
    assert "Credit balance" in text_of(staff.get(url("change", invoice.pk)))


def test_a_credit_note_shows_its_effect_before_it_is_issued(staff: Client) -> None:
    invoice = bill("10.00", "5.00")
    sent = {"how": "lines", "line_1": "4.00", "line_2": "", "reason": "Counted twice", "key": "k"}
    before = everything()
    page = staff.post(url("credit", invoice.pk), sent)
    assert (page.context["effect"].total, page.context["effect"].due_after) == (4, 11)
    assert everything() == before
    answer = staff.post(url("credit", invoice.pk), sent | {"_confirm": "1", "expected": "4.00"}, follow=True)
    assert "Credit note CN-2026-000001 is issued." in messages_of(answer)
    note = CreditNote.objects.get()
    assert (note.total, note.reason, note.recorded_by) == (4, "Counted twice", "root")
    assert staff.get(reverse("admin:billing_creditnote_pdf", args=[note.pk])).content.startswith(b"%PDF-")
    assert "CN-2026-000001" in text_of(staff.get(url("change", invoice.pk)))


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"how": "amount", "amount": "15.01"}, "amount"),
        ({"how": "amount", "amount": ""}, "amount"),
        ({"how": "lines", "line_1": "10.01"}, "line_1"),
        ({"how": "lines"}, "__all__"),
        ({"how": "all", "reason": ""}, "reason"),
        ({"how": "some"}, "how"),
        ({"how": "all", "expected": "3.00"}, "__all__"),
    ],
)
def test_a_wrong_credit_note_is_told_at_its_field(staff: Client, sent: dict[str, str], field: str) -> None:
    invoice = bill("10.00", "5.00")
    before = everything()
    page = staff.post(url("credit", invoice.pk), {"reason": "x", "_confirm": "1"} | sent)
    assert (page.status_code, list(page.context["form"].errors)) == (400, [field])
    assert everything() == before


@pytest.mark.parametrize("action", ["issue", "discard", "refund", "move", "reinstate"])
def test_what_is_not_open_is_refused_when_forced(staff: Client, action: str) -> None:
    invoice = bill("10.00")
    before = everything()
    sent = {"reason": "x", "amount": "1", "received_on": "2026-11-20", "method": "card"}
    assert staff.get(url("do", invoice.pk, action)).status_code == 409
    assert staff.post(url("do", invoice.pk, action), sent).status_code == 409
    assert everything() == before
    assert staff.get(url("do", invoice.pk, "burn")).status_code == 404


def test_a_credit_balance_is_moved_after_its_effect_was_shown(staff: Client) -> None:
    invoice = bill("100.00")
    pay(invoice, "150.00", overpaid=True)
    credit(invoice.customer, "10.00")
    page = staff.get(url("do", invoice.pk, "move"))
    assert [row[1:] for row in page.context["effect"]] == [("$50.00", "$0.00"), ("$10.00", "$60.00")]
    record_refund(invoice, amount=Decimal(20), paid_on=TODAY, **WHO)
    before = everything()
    sent = {"expected": page.context["form"].initial["expected"], "key": "k"}
    told = staff.post(url("do", invoice.pk, "move"), sent, follow=True)
    assert "changed meanwhile" in told.content.decode()
    assert everything() == before
    page = staff.post(url("do", invoice.pk, "move"), sent | {"expected": "30.00"}, follow=True)
    assert "$30.00 is a credit of Acme now." in page.content.decode()
    grant = CreditGrant.objects.get(kind="moved")
    money_page = reverse("admin:customers_customer_money", args=[invoice.customer_id])
    assert "Moved from a credit balance" in staff.get(money_page).content.decode()
    void = reverse("admin:customers_customer_grant_void", args=[invoice.customer_id, grant.pk])
    assert "goes back to invoice INV-2026-000001" in staff.get(void).content.decode()
    staff.post(void, {"reason": "Mistake"})
    assert now_of(invoice) == ("paid", Decimal(-30))
    assert "Paid or credited too much" in staff.get(money_page).content.decode()


def test_write_off_take_back_and_void_need_a_reason(staff: Client) -> None:
    invoice = bill("10.00")
    for action, status in (("write_off", "written_off"), ("reinstate", "issued"), ("void", "void")):
        assert staff.post(url("do", invoice.pk, action), {"reason": " "}).status_code == 400
        staff.post(url("do", invoice.pk, action), {"reason": "Because"})
        invoice.refresh_from_db()
        assert invoice.status == status


def test_a_payment_is_taken_back_from_the_invoice(staff: Client) -> None:
    invoice = bill("10.00")
    payment = record_payment(invoice, amount=Decimal(10), received_on=NOW.date(), **WHO)
    page = staff.get(url("change", invoice.pk))
    assert page.context["payments"][0]["reverse_url"] == url("reverse", invoice.pk, payment.pk)
    staff.post(url("reverse", invoice.pk, payment.pk), {"reason": "Bounced"})
    invoice.refresh_from_db()
    assert (invoice.status, invoice.amount_due) == ("issued", 10)
    assert staff.post(url("reverse", invoice.pk, payment.pk), {"reason": "Bounced"}).status_code == 409


def test_drafts_are_issued_by_hand_with_the_total_that_was_seen(staff: Client) -> None:
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=30)
    draft = Invoice.objects.get()
    send_tickets(1, first=10)
    (row,) = staff.get(url("issue")).context["rows"]
    assert row["total"] == "$8.00"
    stale = staff.post(url("issue"), {"draft": draft.pk, f"total_{draft.pk}": "6"}, follow=True)
    assert "$8.00 now" in messages_of(stale)
    staff.post(url("issue"), {"draft": draft.pk, f"total_{draft.pk}": row["sent"]})
    draft.refresh_from_db()
    assert (draft.status, draft.number, draft.total) == ("issued", "INV-2026-000001", 8)


def test_one_draft_shows_its_figures_before_it_is_issued(staff: Client) -> None:
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=30)
    draft = Invoice.objects.get()
    page = staff.get(url("do", draft.pk, "issue"))
    assert page.context["total"] == "$6.00"
    staff.post(url("do", draft.pk, "issue"), {"expected": page.context["form"]["expected"].value()})
    draft.refresh_from_db()
    assert draft.status == "issued"


def test_a_one_off_invoice_is_made_on_a_page(staff: Client) -> None:
    customer = make_customer()
    sent = {
        "customer": customer.pk, "key": "k", "items-TOTAL_FORMS": "2", "items-INITIAL_FORMS": "0",
        "items-0-description": "Consulting", "items-0-quantity": "2", "items-0-unit_amount": "950",
    }  # fmt: skip
    give(customer, "10%", duration="once")
    credit(customer, "100.00")
    shown = staff.post(url("one_off"), sent | {"use_coupons": "on"})
    assert [row.amount for row in shown.context["totals"]] == [
        "$1,900.00", "-$190.00", "$1,710.00", "-$100.00", "$1,610.00",
    ]  # fmt: skip
    assert not Invoice.objects.exists()
    confirmed = sent | {"use_coupons": "on", "_confirm": "1", "expected": "1710"}
    staff.post(url("one_off"), confirmed)
    staff.post(url("one_off"), confirmed)
    invoice = Invoice.objects.get()
    assert (invoice.total, invoice.kind, invoice.status) == (1710, "one_off", "issued")
    late = staff.post(url("one_off"), confirmed | {"key": "k1"})
    assert "another total by now" in late.content.decode()  # the coupon is used up
    wrong = staff.post(url("one_off"), sent | {"key": "k2", "items-0-unit_amount": ""})
    assert wrong.status_code == 400
    empty = staff.post(
        url("one_off"), sent | {"key": "k3", "items-0-description": "", "items-0-unit_amount": ""}
    )
    assert empty.status_code == 400
    whole = {name: value for name, value in sent.items() if name != "items-TOTAL_FORMS"}
    cut_off = staff.post(url("one_off"), whole | {"key": "k4"})
    assert cut_off.status_code == 400
    assert "items-TOTAL_FORMS" in text_of(cut_off)
    assert Invoice.objects.count() == 1


def test_the_list_is_filtered_by_state_and_age_and_adds_up(staff: Client) -> None:
    old = bill("10.00", code="old")
    bill("20.00", code="new")
    bill("7", code="yen", currency="JPY")
    record_payment(old, amount=Decimal(4), received_on=NOW.date(), **WHO)
    page = staff.get(url("changelist"))
    assert page.context["sums"] == [
        {"currency": "JPY", "total": "¥7", "due": "¥7"},
        {"currency": "USD", "total": "$30.00", "due": "$26.00"},
    ]

    def found(**query: str) -> list[str]:
        return sorted(
            row.customer.code for row in staff.get(url("changelist"), query).context["cl"].result_list
        )

    assert found(state="partly_paid") == ["old"]
    assert found(state="open") == ["new", "yen"]
    assert found(state="unpaid") == ["new", "old", "yen"]
    assert found(state="nothing") == []
    shown = staff.get(reverse("admin:customers_customer_change", args=[old.customer_id]))
    assert "Partly paid" in text_of(shown)  # also of a customer who never had a plan
    with time_machine.travel(date(2027, 1, 4), tick=False):  # 31 days after 4 December
        staff.force_login(User.objects.get())
        assert found(overdue="1-30") == []
        assert found(overdue="31-60") == ["new", "old", "yen"]
        assert found(state="overdue", currency="JPY") == ["yen"]


def test_the_journal_adds_up_to_what_is_due(staff: Client) -> None:
    invoice = bill("10.00")
    record_payment(invoice, amount=Decimal(4), received_on=NOW.date(), reference="=1+1", **WHO)
    issue_credit_note(invoice, amount=Decimal(1), reason="Goodwill", **WHO)
    days = {"first": "2026-11-01", "last": "2026-11-30"}
    answer: Any = staff.get(url("journal"), days | {"kind": "csv"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["type"], row["amount"], row["number"]) for row in rows] == [
        ("invoice", "10.00", "INV-2026-000001"),
        ("credit_note", "-1.00", "CN-2026-000001"),
        ("payment", "-4.00", str(Payment.objects.get().pk)),
    ]
    body = json.loads(staff.get(url("journal"), days | {"kind": "json"}).content)
    assert sum(Decimal(entry["amount"]) for entry in body["entries"]) == 5
    assert (
        staff.get(url("journal"), {"first": "2026-12-01", "last": "2026-11-01", "kind": "csv"}).status_code
        == 400
    )


def test_lists_of_payments_and_credit_notes_add_up_and_are_exported_as_filtered(staff: Client) -> None:
    first, second = bill("10.00", code="a"), bill("20.00", code="b")
    record_payment(first, amount=Decimal(4), received_on=date(2026, 11, 5), reference="=1+1", **WHO)
    record_payment(second, amount=Decimal("7.50"), received_on=date(2026, 11, 6), **WHO)
    issue_credit_note(first, amount=Decimal(1), reason="Goodwill", **WHO)

    def rows(name: str, **query: str) -> list[dict[str, str]]:
        answer: Any = staff.get(reverse(f"admin:billing_{name}_export"), query)
        return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))

    page = staff.get(reverse("admin:billing_payment_changelist"))
    assert page.context["sums"] == ["$11.50"]
    assert staff.get(reverse("admin:billing_creditnote_changelist")).context["sums"] == ["$1.00"]
    assert [(row["invoice"], row["amount"], row["received_on"]) for row in rows("payment")] == [
        (second.number, "7.50", "2026-11-06"),
        (first.number, "4.00", "2026-11-05"),
    ]
    found = rows("payment", q=first.number or "")
    assert [(row["customer_code"], row["reference"]) for row in found] == [("a", "'=1+1")]
    assert [(row["reason"], row["total"]) for row in rows("creditnote")] == [("Goodwill", "1.00")]


def test_the_list_asks_no_query_per_invoice(staff: Client, django_assert_max_num_queries: Any) -> None:
    for n in range(12):
        record_payment(bill("10.00", code=f"c{n}"), amount=Decimal(1), received_on=NOW.date(), **WHO)
    with django_assert_max_num_queries(12):
        assert len(staff.get(url("changelist")).context["cl"].result_list) == 12
    with django_assert_max_num_queries(10):
        staff.get(reverse("admin:billing_payment_changelist"))


def test_a_mail_that_no_worker_takes_is_told_after_five_minutes(staff: Client) -> None:
    invoice = bill("10.00")
    staff.post(url("mail", invoice.pk), {"kind": "invoice", "to": "a@acme.example"})
    with time_machine.travel(NOW + timedelta(minutes=5), tick=False):
        assert "Nobody takes" not in text_of(staff.get(url("change", invoice.pk)))
    with time_machine.travel(NOW + timedelta(minutes=6), tick=False):
        page = text_of(staff.get(url("change", invoice.pk)))
        assert "Nobody takes the invoice to a@acme.example." in page
        assert "Start the worker: manage.py procrastinate worker" in page


def test_a_local_installation_says_that_mails_are_only_printed(staff: Client, settings: Any) -> None:
    invoice = bill("10.00")
    assert "only prints mails" not in text_of(staff.get(url("mail", invoice.pk)))
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert "only prints mails" in text_of(staff.get(url("mail", invoice.pk)))
