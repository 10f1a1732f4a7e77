"""Webhooks: written with what they tell of, signed, sent at least once with one id, given up and switched off."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from standardwebhooks import Webhook, WebhookVerificationError

from billing import delivering
from billing.agreed_changes import Author
from billing.alerting import send_alerts, set_alert
from billing.budget_terms import BudgetTerms
from billing.budgeting import check_budgets, save_budget
from billing.changing import cancel, change_quantity, pause
from billing.close_runs import ask_for_close, run_close
from billing.closing import close_period
from billing.collecting import record_payment
from billing.correcting import issue_credit_note
from billing.delivering import EACH, MOST_ATTEMPTS, PAUSES, prune_messages, send_webhooks
from billing.errors import InvalidEndpoint, NotInThisState
from billing.mailing import send_notices
from billing.models import (
    Invoice,
    NoticeMail,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from billing.months import Month
from billing.notifying import Announcement, announce, announce_all, queue_mails
from billing.outlooks import show_effect
from billing.registering import (
    EndpointTerms,
    change_endpoint,
    register_endpoint,
    remove_endpoint,
    rotate_secret,
    send_again,
    send_failed_again,
    send_test,
)
from billing.telling import tell_overdue
from billing.voiding import void_invoice
from billing.webhook_types import WebhookType
from tests.billing.money import credit
from tests.billing.receiver import Receiver, receiving
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.stories.processes import finish, start_command

pytestmark = pytest.mark.django_db
ISSUED = WebhookType.INVOICE_ISSUED


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def listen(receiver: Receiver, *types: str, **fields: Any) -> tuple[WebhookEndpoint, str]:
    return register_endpoint(EndpointTerms(receiver.url, types, **fields), by="anna", now=NOW)


def say(subject: str = "INV-1", kind: WebhookType = ISSUED, **fields: Any) -> None:
    announce(kind, subject, {"number": subject, "total": Decimal("240.00")}, now=NOW, **fields)


def stored() -> list[tuple[str, str, int]]:
    rows = WebhookDelivery.objects.order_by("id").select_related("message")
    return [(row.message.subject, row.state, row.attempts) for row in rows]


def test_a_receiver_gets_signed_json_that_the_library_verifies(receiver: Receiver) -> None:
    _, secret = listen(receiver)
    say()
    assert send_webhooks() == 1
    ((headers, body),) = receiver.requests
    message = WebhookMessage.objects.get()
    assert Webhook(secret).verify(body, headers) == {
        "type": "invoice.issued",
        "timestamp": "2026-11-20T12:00:00Z",
        "data": {"number": "INV-1", "total": "240.00"},
    }
    assert (headers["content-type"], headers["webhook-id"]) == ("application/json", f"msg_{message.pk.hex}")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace("240.00", "24.00"), headers)
    tried = WebhookAttempt.objects.get()
    assert (tried.status, tried.answer, tried.error) == (200, "thanks", "")
    assert stored() == [("INV-1", "delivered", 1)]
    assert send_webhooks() == 0


def test_each_of_many_messages_keeps_its_own_words_whatever_they_hold(receiver: Receiver) -> None:
    """Also what separates them on their way to the database, quotation marks and what reads as nothing."""
    listen(receiver)
    words = [
        "a\x1eb",
        "\x1e",
        'say "no"',
        "back\\slash",
        "\x00",
        "",
        "NULL",
        "{a,b}",
        "line\nbreak",
        "日本 🎉",
    ]
    said = [Announcement(ISSUED, f"INV-{n}", {"reason": word}) for n, word in enumerate(words)]
    announce_all([ISSUED], lambda: said, now=NOW)
    found = dict(WebhookMessage.objects.values_list("subject", "body"))
    assert [json.loads(found[f"INV-{n}"])["data"]["reason"] for n in range(len(words))] == words
    assert WebhookDelivery.objects.count() == len(words)


def test_an_endpoint_is_told_only_what_it_chose(receiver: Receiver) -> None:
    listen(receiver, "invoice.paid", "close.finished")
    say()
    assert WebhookMessage.objects.count() == 0
    say(kind=WebhookType.INVOICE_PAID)
    assert stored() == [("INV-1", "waiting", 0)]


def test_what_is_rolled_back_tells_nobody_and_outside_a_transaction_nothing_is_said(
    receiver: Receiver,
) -> None:
    listen(receiver)
    with transaction.atomic():
        say()
        transaction.set_rollback(True)
    assert not WebhookMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_announcing_outside_a_transaction_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="inside the transaction"):
        say()


@pytest.mark.django_db(transaction=True)
def test_the_worker_is_woken_once_by_what_is_committed_and_sends_it(receiver: Receiver) -> None:
    def jobs() -> list[str]:
        return list(ProcrastinateJob.objects.filter(status="todo").values_list("task_name", flat=True))

    with connection.cursor() as cursor:  # what other tests asked for
        cursor.execute("DELETE FROM procrastinate_jobs")
    listen(receiver)
    with transaction.atomic():
        say("INV-1")
        transaction.set_rollback(True)
    assert jobs() == []
    for number in ("INV-2", "INV-3"):
        with transaction.atomic():
            say(number)
            say(number)
    assert jobs() == ["send_webhooks"]
    assert app.perform_import_paths() is None
    app.tasks["send_webhooks"](timestamp=0)
    assert len(receiver.requests) == 4


def test_a_key_is_announced_once_however_often_it_is_said(receiver: Receiver) -> None:
    listen(receiver)
    say(key="budget-1-80")
    say(key="budget-1-80")
    say(key="budget-1-100")
    assert len(stored()) == 2


def test_the_same_id_and_body_go_to_every_endpoint_and_at_every_try(receiver: Receiver) -> None:
    listen(receiver)
    listen(receiver)
    receiver.status = 500
    say()
    send_webhooks(now=NOW)
    receiver.status = 204
    send_webhooks(now=NOW + PAUSES[0])
    assert len(receiver.requests) == 4
    assert len(set(receiver.ids)) == 1
    assert len({body for _, body in receiver.requests}) == 1


def test_pauses_grow_until_the_delivery_is_given_up_after_ten_tries(receiver: Receiver) -> None:
    listen(receiver)
    receiver.status, receiver.answer = 503, b"later"
    say()
    now = NOW
    for n, wait in enumerate(PAUSES, start=1):
        assert send_webhooks(now=now) == 0
        assert stored() == [("INV-1", "waiting", n)]
        assert send_webhooks(now=now + wait - timedelta(seconds=1)) == 0
        assert len(receiver.requests) == n  # not before its time
        now += wait
    assert now - NOW == timedelta(days=3, hours=3, minutes=36)
    send_webhooks(now=now)
    assert stored() == [("INV-1", "failed", MOST_ATTEMPTS)]
    send_webhooks(now=now + timedelta(days=30))
    assert len(receiver.requests) == MOST_ATTEMPTS == 10
    assert set(WebhookAttempt.objects.values_list("status", "answer")) == {(503, "later")}


def test_a_worker_killed_while_it_sends_sends_the_same_id_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(receiver)
    say()
    with monkeypatch.context() as patch:
        # The receiver has taken it, and the worker dies before it can say so.
        patch.setattr(delivering, "_record", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            send_webhooks(now=NOW)
    assert send_webhooks(now=NOW + delivering.LEASE - timedelta(seconds=1)) == 0
    assert send_webhooks(now=NOW + delivering.LEASE) == 1
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1


def test_a_slow_endpoint_with_a_long_queue_does_not_hold_up_another(receiver: Receiver) -> None:
    busy, _ = listen(receiver, "invoice.issued")
    for n in range(EACH * 10):
        say(f"INV-{n}")
    quiet, _ = listen(receiver, "invoice.paid")
    say("INV-99", WebhookType.INVOICE_PAID)
    taken = delivering._take(now=NOW)
    assert [each.endpoint_id for each in taken] == [busy.pk] * EACH + [quiet.pk]
    assert len(delivering._take(now=NOW)) == EACH  # another worker takes others


def test_an_endpoint_that_fails_is_tried_once_in_a_run_and_the_others_get_theirs(receiver: Receiver) -> None:
    with receiving() as broken:
        broken.status = 500
        failing, _ = listen(broken, "invoice.issued")
        listen(receiver, "invoice.paid")
        for n in range(20):
            say(f"INV-{n}")
            say(f"INV-{n}", WebhookType.INVOICE_PAID)
        assert send_webhooks(now=NOW) == 20
        assert len(broken.requests) == EACH  # side by side, before it was known to fail
        send_webhooks(now=NOW)
        assert len(broken.requests) == EACH + 1
        broken.status = 200
        failing.refresh_from_db()
        assert failing.failing_since == NOW
        send_webhooks(now=NOW)
        assert len(broken.requests) == 20  # all that are due; the five that failed have their pause


def test_a_test_goes_before_what_waits_for_an_endpoint_that_fails(receiver: Receiver) -> None:
    endpoint, _ = listen(receiver)
    receiver.status = 500
    for n in range(10):
        say(f"INV-{n}")
    send_webhooks(now=NOW)
    sent = send_test(endpoint, by="anna", now=NOW)
    send_webhooks(now=NOW)
    assert receiver.ids[EACH:] == [f"msg_{sent.hex}"]


@pytest.mark.django_db(transaction=True)
def test_a_run_ends_in_time_and_asks_for_the_next(receiver: Receiver) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
    listen(receiver)
    with transaction.atomic():
        announce_all([ISSUED], lambda: [Announcement(ISSUED, f"INV-{n}", {}) for n in range(30)], now=NOW)
    ProcrastinateJob.objects.get(task_name="send_webhooks")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
    assert send_webhooks(now=NOW, seconds=0) == EACH
    ProcrastinateJob.objects.get(task_name="send_webhooks")
    assert send_webhooks(now=NOW) == 30 - EACH


def test_redirects_are_not_followed_and_answers_are_cut(receiver: Receiver) -> None:
    listen(receiver)
    receiver.status, receiver.headers = 307, {"Location": receiver.url}
    say()
    send_webhooks(now=NOW)
    assert len(receiver.requests) == 1
    assert stored() == [("INV-1", "waiting", 1)]
    receiver.status, receiver.headers, receiver.answer = 200, {}, b"\x00x" * 1_000_000
    send_webhooks(now=NOW + PAUSES[0])
    kept = WebhookAttempt.objects.order_by("-id")[0].answer
    assert (len(kept), kept[:2]) == (4096, "\N{REPLACEMENT CHARACTER}x")


def test_an_answer_that_trickles_ends_at_the_time_out(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trickle(handler: Any) -> None:
        try:
            while True:
                handler.wfile.write(b"H")
                handler.wfile.flush()
        except OSError:
            return

    def silence(handler: Any) -> None:
        handler.connection.settimeout(5)
        handler.rfile.read(1)  # until the other side hangs up

    monkeypatch.setattr(delivering, "SECONDS", 0.2)
    listen(receiver)
    receiver.before_answer = silence
    say()
    send_webhooks(now=NOW)
    assert WebhookAttempt.objects.get().error == "No answer within 0.2 seconds."
    receiver.before_answer = trickle
    send_webhooks(now=NOW + PAUSES[0])
    assert WebhookAttempt.objects.order_by("-id")[0].status is None


def test_no_connection_is_a_try_that_failed() -> None:
    with receiving() as gone:
        listen(gone)
    say()
    send_webhooks(now=NOW)
    assert WebhookAttempt.objects.get().error.startswith("No connection: ")


def test_a_new_secret_signs_at_once_and_the_old_one_for_a_day(receiver: Receiver) -> None:
    endpoint, first = listen(receiver)
    _, second = rotate_secret(endpoint, now=NOW)
    assert first != second
    for hours in (23, 24):
        say()
        send_webhooks(now=NOW + timedelta(hours=hours))
    signed = [headers["webhook-signature"].split(" ") for headers, _ in receiver.requests]
    assert [len(each) for each in signed] == [2, 1]
    headers, body = receiver.requests[0]
    at = NOW + timedelta(hours=23)
    assert signed[0] == [Webhook(each).sign(headers["webhook-id"], at, body) for each in (second, first)]
    assert signed[1][0].startswith("v1,")


def test_secrets_are_not_stored_and_outlive_a_secret_key_that_is_replaced_in_steps(
    receiver: Receiver, settings: Any
) -> None:
    endpoint, secret = listen(receiver)
    kept = " ".join(str(value) for value in WebhookEndpoint.objects.values_list().get(pk=endpoint.pk))
    assert secret not in kept
    assert secret.removeprefix("whsec_") not in kept
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 10, [settings.SECRET_KEY]
    say()
    send_webhooks(now=NOW)
    headers, body = receiver.requests[0]
    assert headers["webhook-signature"] == Webhook(secret).sign(headers["webhook-id"], NOW, body)
    settings.SECRET_KEY_FALLBACKS = []
    say()
    send_webhooks(now=NOW)
    assert len(receiver.requests) == 1
    assert "Make a new secret" in WebhookAttempt.objects.order_by("-id")[0].error


def test_after_five_days_of_failures_it_is_switched_off_once_and_somebody_is_told(receiver: Receiver) -> None:
    endpoint, _ = listen(receiver, contact="ops@acme.example")
    receiver.status = 500
    say("INV-1")
    send_webhooks(now=NOW)
    say("INV-2")
    send_webhooks(now=NOW + timedelta(days=5) - timedelta(seconds=1))
    endpoint.refresh_from_db()
    assert (endpoint.active, endpoint.state) == (True, ("failing", "Failing"))
    send_webhooks(now=NOW + timedelta(days=5, minutes=5))
    endpoint.refresh_from_db()
    assert endpoint.state == ("broken", "Switched off: it failed")
    assert "since 20 November 2026, 12:00 UTC" in endpoint.switched_off_reason
    assert send_notices(now=NOW) == 0  # its time has not come
    assert send_notices(now=NOW + timedelta(days=6)) == 1
    assert (mail.outbox[0].to, "500" in mail.outbox[0].body) == (["ops@acme.example"], True)
    say("INV-3")
    assert [row[0] for row in stored()] == ["INV-1", "INV-2"]  # nothing is collected while it is off
    tries = len(receiver.requests)
    receiver.status = 200
    send_webhooks(now=NOW + timedelta(days=9))
    assert len(receiver.requests) == tries
    change_endpoint(endpoint, EndpointTerms(receiver.url))
    assert send_webhooks(now=NOW + timedelta(days=9)) == 2
    endpoint.refresh_from_db()
    assert endpoint.state == ("on", "On")


def test_a_success_ends_the_count_of_days(receiver: Receiver) -> None:
    endpoint, _ = listen(receiver)
    receiver.status = 500
    say()
    send_webhooks(now=NOW)
    receiver.status = 200
    send_webhooks(now=NOW + PAUSES[0])
    receiver.status = 500
    say()
    send_webhooks(now=NOW + timedelta(days=6))
    endpoint.refresh_from_db()
    assert (endpoint.active, endpoint.failing_since) == (True, NOW + timedelta(days=6))


def test_gone_switches_off_at_once(receiver: Receiver) -> None:
    endpoint, _ = listen(receiver)
    receiver.status = 410
    say()
    send_webhooks(now=NOW)
    endpoint.refresh_from_db()
    assert endpoint.switched_off_reason == "It answered with 410: gone."
    assert not NoticeMail.objects.exists()  # nobody is named


def test_a_test_goes_to_one_endpoint_even_while_it_is_off(receiver: Receiver) -> None:
    endpoint, _ = listen(receiver, "invoice.paid", active=False)
    listen(receiver)
    send_test(endpoint, by="anna", now=NOW)
    assert send_webhooks(now=NOW) == 1
    assert json.loads(receiver.requests[0][1])["type"] == "webhook.test"


def test_a_delivery_is_sent_again_with_its_id(receiver: Receiver) -> None:
    endpoint, _ = listen(receiver)
    say()
    send_webhooks(now=NOW)
    send_again(WebhookDelivery.objects.get(), by="anna", now=NOW)
    assert send_webhooks(now=NOW) == 1
    assert len(set(receiver.ids)) == 1
    WebhookDelivery.objects.update(state="failed", delivered_at=None, attempts=10)
    assert send_failed_again(endpoint, by="anna", now=NOW) == 1
    assert stored() == [("INV-1", "waiting", 0)]


def test_a_removed_endpoint_gets_nothing_more_and_its_log_stays(receiver: Receiver) -> None:
    endpoint, _ = listen(receiver)
    say()
    remove_endpoint(endpoint, now=NOW)
    remove_endpoint(endpoint, now=NOW)
    say()
    assert send_webhooks(now=NOW) == 0
    assert stored() == [("INV-1", "failed", 0)]
    for refused in (
        lambda: send_again(WebhookDelivery.objects.get(), by="anna", now=NOW),
        lambda: send_test(endpoint, by="anna", now=NOW),
        lambda: change_endpoint(endpoint, EndpointTerms(receiver.url)),
    ):
        with pytest.raises(NotInThisState):
            refused()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"event_types": ["invoice.isued"]}, "event_types"),
        ({"event_types": ["webhook.test"]}, "event_types"),
        ({"description": "x" * 201}, "description"),
        ({"contact": "ops"}, "contact"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidEndpoint) as refused:
        register_endpoint(EndpointTerms("https://hooks.example.com/", **fields), by="anna", now=NOW)
    assert list(refused.value.fields) == [wrong]
    assert not WebhookEndpoint.objects.exists()


def test_old_messages_go_unless_they_still_wait(receiver: Receiver) -> None:
    listen(receiver)
    say("INV-1")
    send_webhooks(now=NOW)
    say("INV-2")
    assert prune_messages(now=NOW + timedelta(days=60)) == 0
    assert prune_messages(now=NOW + timedelta(days=60, seconds=1)) == 1
    assert stored() == [("INV-2", "waiting", 0)]


def test_many_events_are_two_queries_and_one_where_nobody_listens(receiver: Receiver) -> None:
    def tell() -> list[Announcement]:
        return [Announcement(ISSUED, f"INV-{n}", {}) for n in range(500)]

    with CaptureQueriesContext(
        connection,
    ) as alone:
        announce_all([ISSUED], tell, now=NOW)
    listen(receiver)
    with CaptureQueriesContext(connection) as told:
        announce_all([ISSUED], tell, now=NOW)
    assert (len(alone), len(told)) == (1, 2)
    assert WebhookDelivery.objects.count() == 500


def test_a_notice_is_mailed_once_to_each_address_and_adds_no_header() -> None:
    assert (
        queue_mails(["b@x.example", "a@x.example", "a@x.example"], subject="Low\nBcc: x", body="!", now=NOW)
        == 2
    )
    assert (send_notices(now=NOW), send_notices(now=NOW)) == (2, 0)
    assert [(each.to, each.subject) for each in mail.outbox] == [
        (["a@x.example"], "Low Bcc: x"),
        (["b@x.example"], "Low Bcc: x"),
    ]


# ---- what is told -----------------------------------------------------------------------------------------------


def told() -> list[tuple[str, dict[str, Any]]]:
    rows = WebhookMessage.objects.order_by("made_at", "type").values_list("type", "body")
    return [(kind, json.loads(body)["data"]) for kind, body in rows]


def billed() -> Invoice:
    make_subscription()
    send_tickets(120)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    return Invoice.objects.get()


def test_a_close_tells_each_invoice_it_issues_and_nothing_of_drafts(receiver: Receiver) -> None:
    listen(receiver, "invoice.issued", "invoice.paid")
    make_subscription()
    send_tickets(120)
    close_period(Month(2026, 10), now=NOW, grace_days=30)
    close_period(Month(2026, 10), now=NOW, grace_days=30, dry_run=True)
    assert told() == []
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    ((kind, data),) = told()
    assert kind == "invoice.issued"
    assert data == {
        "number": "INV-2026-000001", "kind": "periodic", "status": "issued", "customer": "acme", "plan": "support",
        "currency": "USD", "total": "240.00", "amount_due": "240.00", "period_start": "2026-10-01",
        "period_end": "2026-11-01", "issued_at": "2026-11-20T12:00:00Z", "due_on": "2026-12-04",
    }  # fmt: skip


def test_a_close_asks_once_for_a_chunk_and_writes_once_where_somebody_listens(receiver: Receiver) -> None:
    def close() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            close_period(Month(2026, 10), now=NOW, grace_days=0)
        return [each["sql"] for each in queries if "billing_webhook" in each["sql"]]

    make_subscription()
    send_tickets(3)
    for n in range(3):
        make_subscription(make_customer(f"c{n}"))
    assert len(close()) == 1
    Invoice.objects.update(status="void")
    listen(receiver, "close.finished")
    assert len(close()) == 1
    Invoice.objects.exclude(status="void").update(status="void")
    listen(receiver, "invoice.issued")
    assert len(close()) == 2
    assert len(told()) == 4


def test_payments_credit_notes_and_voids_are_told(receiver: Receiver) -> None:
    invoice = billed()
    listen(receiver)
    who: dict[str, Any] = {"by": "clerk", "now": NOW}
    issue_credit_note(invoice, amount=Decimal(40), reason="Goodwill", **who)
    record_payment(invoice, amount=Decimal(50), received_on=NOW.date(), **who)
    assert [kind for kind, _ in told()] == ["credit_note.issued"]
    record_payment(invoice, amount=Decimal(150), received_on=NOW.date(), **who)
    (note, paid) = told()
    assert (note[1]["number"], note[1]["invoice"], note[1]["total"]) == (
        "CN-2026-000001", "INV-2026-000001", "40.00",
    )  # fmt: skip
    assert (paid[0], paid[1]["status"], paid[1]["amount_due"]) == ("invoice.paid", "paid", "0.00")


def test_a_void_invoice_and_its_reason_are_told(receiver: Receiver) -> None:
    invoice = billed()
    listen(receiver)
    void_invoice(invoice, reason=" Wrong customer ", by="clerk", now=NOW)
    ((kind, data),) = told()
    assert (kind, data["status"], data["reason"]) == ("invoice.voided", "void", "Wrong customer")


def test_a_low_credit_balance_is_told_once_also_of_a_customer_without_an_address(receiver: Receiver) -> None:
    customer = make_customer()
    set_alert(customer, currency="USD", threshold=Decimal(20))
    credit(customer, "19.99")
    listen(receiver, "alert.fired")
    assert (send_alerts(now=NOW), send_alerts(now=NOW)) == (1, 0)
    ((_, data),) = told()
    assert data == {
        "kind": "credit_balance", "customer": "acme", "currency": "USD", "balance": "19.99", "threshold": "20.00",
    }  # fmt: skip
    assert not NoticeMail.objects.exists()


def test_what_is_agreed_about_a_plan_is_told_and_nothing_of_what_is_only_tried(receiver: Receiver) -> None:
    listen(receiver, "subscription.changed")
    subscription = make_subscription()
    author = Author(NOW, "anna")
    show_effect(
        subscription.customer,
        lambda: pause(subscription, when=date(2027, 1, 1), author=author).effective_on,
        now=NOW,
    )
    change_quantity(subscription, 3, when=date(2026, 12, 1), author=author)
    cancel(subscription, when=date(2027, 2, 1), author=author)
    assert [(data["change"], data["effective_on"], data["end_on"]) for _, data in told()] == [
        ("quantity", "2026-12-01", None),
        ("cancel", "2027-02-01", "2027-02-01"),
        ("assigned", "2026-10-01", None),  # told by the clock, which is later than the story's
    ]


def test_the_end_of_a_close_is_told_and_a_dry_run_is_not(receiver: Receiver) -> None:
    listen(receiver, "close.finished")
    make_subscription()
    send_tickets(120)
    for dry in (True, False):
        ask = ask_for_close(Month(2026, 10), grace_days=0, entrance="command", now=NOW, dry_run=dry)
        with time_machine.travel(NOW, tick=False):
            run_close(ask)
    ((_, data),) = told()
    assert (data["month"], data["state"], data["issued"], data["amounts"]) == (
        "2026-10",
        "done",
        1,
        {"USD": "240.00"},
    )


def test_an_overdue_invoice_is_told_once_and_not_when_that_is_long_ago(receiver: Receiver) -> None:
    billed()  # due on 4 December
    listen(receiver)
    for days, expected in ((14, 0), (15, 1), (16, 1), (40, 1)):
        tell_overdue(now=NOW + timedelta(days=days))
        assert len(told()) == expected, days
    WebhookMessage.objects.all().delete()
    tell_overdue(now=NOW + timedelta(days=40))
    assert told() == []


def test_the_api_description_shows_what_each_kind_sends(receiver: Receiver, client: Any) -> None:
    shown = client.get("/api/schema/", headers={"Accept": "application/json"}).json()["x-webhooks"]
    assert set(shown) == set(WebhookType.values)
    invoice = billed()
    listen(receiver)
    who: dict[str, Any] = {"by": "clerk", "now": NOW}
    issue_credit_note(invoice, amount=Decimal(40), reason="Goodwill", **who)
    record_payment(invoice, amount=Decimal(200), received_on=NOW.date(), **who)
    cancel(invoice.subscription, when=date(2027, 2, 1), author=Author(NOW, "anna"))
    with time_machine.travel(NOW, tick=False):
        run_close(ask_for_close(Month(2026, 10), grace_days=0, entrance="command", now=NOW))
    bounds: dict[str, Any] = {"amount": Decimal(1), "thresholds": (80,), "customer": invoice.customer}
    save_budget(BudgetTerms("Acme", "spend", "USD", **bounds), by="anna", now=NOW)
    send_tickets(3, first=500, occurred_at="2026-11-03T10:00:00Z")
    check_budgets(now=NOW)
    for kind, data in told():
        example = shown[kind]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert list(data) == list(example["data"]), kind
    assert {kind for kind, _ in told()} == {
        "alert.fired", "close.finished", "credit_note.issued", "invoice.paid", "subscription.changed",
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_each_webhook_once(receiver: Receiver) -> None:
    listen(receiver)
    with transaction.atomic():
        announce_all([ISSUED], lambda: [Announcement(ISSUED, f"INV-{n}", {}) for n in range(30)], now=NOW)
    together = threading.Barrier(2)

    def work() -> int:
        together.wait()
        try:
            return send_webhooks(now=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as workers:
        sent = [each.result() for each in [workers.submit(work), workers.submit(work)]]
    assert sum(sent) == 30
    assert len(receiver.ids) == len(set(receiver.ids)) == 30


@pytest.mark.django_db(transaction=True)
def test_a_worker_process_killed_between_the_receiver_and_its_note_sends_the_same_id_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE", "true")
    listen(receiver)
    now = timezone.now()
    with transaction.atomic():
        announce(ISSUED, "INV-1", {}, now=now)
    worker = start_command("shell", "-c", "from billing.delivering import send_webhooks; send_webhooks()")
    receiver.before_answer = lambda handler: os.killpg(worker.pid, signal.SIGKILL)
    finish(worker)
    assert worker.returncode == -signal.SIGKILL
    assert (len(receiver.ids), stored()) == (1, [("INV-1", "waiting", 0)])
    receiver.before_answer = None
    assert send_webhooks(now=timezone.now() + delivering.LEASE) == 1
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1


def test_the_database_refuses_a_type_that_nobody_knows() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        WebhookMessage.objects.create(type="x", subject="x", body="{}", made_at=NOW)
