"""Disputing in the portal: ticking outcomes, saying why, reading the answer; and the story behind a subject."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.closing import close_period
from billing.cost_rates import Validity, add_cost_rate
from billing.disputing import decide_dispute, reopen_dispute
from billing.models import CreditNote, Dispute, Invoice
from billing.months import Month
from billing.subscribing import subscribe
from customers.models import Customer
from metering.models import Event
from tests.factories import NOW, event, make_customer, make_meter, make_plan, send
from tests.staff import text_of

pytestmark = pytest.mark.django_db
EVENTS = "/portal/invoices/INV-2026-000001/lines/1/events/"
DISPUTE = "/portal/invoices/INV-2026-000001/lines/1/dispute/"


@pytest.fixture
def acme() -> Customer:
    make_meter(once_per_subject="ever")
    make_meter("api_calls", label="API calls", unit="call")
    make_plan()
    customer = make_customer("acme", name="Acme Robotics", timezone="Europe/Berlin")
    subscribe(customer, plan=plan(), start_on=date(2026, 10, 1))
    return customer


def plan() -> Any:
    from billing.models import Plan

    return Plan.objects.get()


@pytest.fixture
def invoice(acme: Customer) -> Invoice:
    """Four tickets at $2.00 on 3 October."""
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(4)))
    send(
        event(
            "call-1",
            meter="api_calls",
            subject="ticket-1",
            workload="internal_bot",
            occurred_at="2026-10-03T09:00:00Z",
        )
    )
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    return Invoice.objects.get()


def ids(*numbers: int) -> list[str]:
    return [str(Event.objects.get(key=f"evt-{n}").pk) for n in numbers]


def test_ticked_outcomes_are_disputed_with_a_reason_and_the_answer_is_read(
    anna: Client, invoice: Invoice
) -> None:
    listed = text_of(anna.get(EVENTS))
    assert listed.count('type="checkbox"') == 4
    asked = anna.post(DISPUTE, {"outcome": ids(1, 2), "take": "chosen"})
    assert "Dispute 2 outcomes" in text_of(asked)
    assert not Dispute.objects.exists()
    missing = anna.post(DISPUTE, {"outcome": ids(1, 2), "send": "1", "reason": " "})
    assert missing.status_code == 400
    assert "Say why you dispute it." in text_of(missing)
    opened = anna.post(DISPUTE, {"outcome": ids(1, 2), "send": "1", "reason": "It came back <b>twice</b>."})
    found = Dispute.objects.get()
    assert opened["Location"] == f"/portal/disputes/{found.pk}/"
    assert found.opened_by == "reader@acme.example"
    shown = text_of(anna.get(opened["Location"]))
    assert "It came back &lt;b&gt;twice&lt;/b&gt;." in shown
    assert "Without them the invoice comes to $4.00 less. We answer here" in shown
    listed = text_of(anna.get(EVENTS))
    assert (listed.count('type="checkbox"'), listed.count("Disputed</span>")) == (2, 2)
    accepted = [each.pk for each in found.outcomes.all() if each.key == "evt-1"]
    decide_dispute(
        found, accepted=accepted, answer="One came back.", remedy="credit_note", by="Clara Clerk", now=NOW
    )
    shown = text_of(anna.get(opened["Location"]))
    assert "comes to $4.00 less" not in shown  # it is decided
    note = CreditNote.objects.get()
    for words in ("One came back.", "1 accepted, 1 declined", f"Credit note {note.number}", "$2.00"):
        assert words in shown
    assert "Clara" not in shown  # who decided is the seller's own matter
    assert "Credited</span>" in text_of(anna.get(EVENTS))
    assert found.number in text_of(anna.get(f"/portal/invoices/{invoice.number}/"))
    assert found.number in text_of(anna.get("/portal/disputes/"))


def test_who_asked_withdraws_while_nobody_decided(
    anna: Client, invoice: Invoice, sign_in: Callable[[Customer], Client]
) -> None:
    anna.post(DISPUTE, {"outcome": ids(1, 2), "send": "1", "reason": "Back."})
    found = Dispute.objects.get()
    page = f"/portal/disputes/{found.pk}/"
    assert "Withdraw the dispute" in text_of(anna.get(page))
    assert sign_in(make_customer("globex")).post(f"{page}withdraw/").status_code == 404
    too_long = anna.post(f"{page}withdraw/", {"reason": "x" * 1001})
    assert (too_long.status_code, Dispute.objects.get().state) == (409, "open")
    assert "Say it shorter." in text_of(too_long)
    done = anna.post(f"{page}withdraw/", {"reason": "It was right."})
    assert (done["Location"], Dispute.objects.get().state) == (page, "withdrawn")
    shown = text_of(anna.get(page))
    assert "It was right." in shown
    assert "Withdraw the dispute" not in shown
    assert anna.get(f"{page}withdraw/").status_code == 405


def test_a_dispute_and_its_withdrawal_sent_twice_are_done_once(anna: Client, invoice: Invoice) -> None:
    sent = {"outcome": ids(1, 2), "send": "1", "reason": "Back. "}
    first, again = anna.post(DISPUTE, sent), anna.post(DISPUTE, sent)
    found = Dispute.objects.get()
    page = f"/portal/disputes/{found.pk}/"
    assert (first["Location"], again["Location"]) == (page, page)
    assert found.steps.count() == 1
    others = (
        {"outcome": ids(1)},
        {"outcome": ids(1, 2, 3)},
        {"reason": "Something else."},
        {"reason": "\x00"},
    )
    for other in others:
        refused = anna.post(DISPUTE, sent | other)
        assert refused.status_code == 400
    assert "was disputed before" in text_of(anna.post(DISPUTE, sent | others[0]))
    done = [anna.post(f"{page}withdraw/", {"reason": "It was right."})["Location"] for _ in range(2)]
    assert done == [page, page]
    assert [step.kind for step in found.steps.all()] == ["opened", "withdrawn"]
    assert "was disputed before" in text_of(anna.post(DISPUTE, sent)), "once withdrawn, it is not sent twice"
    reopen_dispute(found, by="Clara", reason="Asked by phone.", now=NOW)
    decide_dispute(found, accepted=[], answer="It was done.", by="Clara", now=NOW)
    late = anna.post(f"{page}withdraw/")
    assert late.status_code == 409, "what staff decided since is told"


def test_the_invoice_says_how_and_until_when_its_outcomes_are_disputed(
    acme: Customer, sign_in: Callable[[Customer], Client], invoice: Invoice
) -> None:
    """Issued on 20 November at 12:00 UTC, 13:00 in Berlin: 30 days later is 20 December."""
    shown = f"/portal/invoices/{invoice.number}/"
    with time_machine.travel(NOW + timedelta(days=30, minutes=-1), tick=False):
        anna = sign_in(acme)
        told = text_of(anna.get(shown))
        assert "Was one of them not really done?" in told
        assert "dispute it, until 20 December 2026, 13:00." in told
        listed = text_of(anna.get(EVENTS))
        assert "until 20 December 2026, 13:00." in listed
        # One page is the whole line: one button for it.
        assert "Dispute all on this page" in listed
        assert "Dispute all of the line" not in listed
    with time_machine.travel(NOW + timedelta(days=30), tick=False):
        over = text_of(anna.get(shown))
        assert "Evidence as CSV" in over
        assert "Was one of them not really done?" not in over


def test_the_list_and_the_invoice_say_what_is_disputed(anna: Client, invoice: Invoice) -> None:
    listed, shown = "/portal/invoices/", f"/portal/invoices/{invoice.number}/"
    assert "Disputed</span>" not in text_of(anna.get(listed))
    anna.post(DISPUTE, {"outcome": ids(1, 2), "send": "1", "reason": "Back."})
    found = Dispute.objects.get()
    for page in (listed, "/portal/"):
        assert "Disputed</span>" in text_of(anna.get(page)), page
    assert f"{found.number}</a> of 2 outcomes of this invoice is open" in text_of(anna.get(shown))
    taken = [each.pk for each in found.outcomes.all() if each.key == "evt-1"]
    decide_dispute(found, accepted=taken, answer="One.", remedy="adjustment", by="Clara", now=NOW)
    assert "Dispute decided</span>" in text_of(anna.get(listed))
    assert "2 outcomes: 1 accepted, 1 declined" in text_of(anna.get(shown))
    assert "of this invoice is open" not in text_of(anna.get(shown))


def test_the_page_and_the_whole_line_can_be_disputed_without_what_was_disputed(
    anna: Client, invoice: Invoice
) -> None:
    anna.post(DISPUTE, {"outcome": ids(1), "send": "1", "reason": "Back."})
    assert "Dispute 2 outcomes" in text_of(anna.post(DISPUTE, {"shown": ids(0, 2), "take": "page"}))
    assert "Dispute 3 outcomes" in text_of(anna.post(DISPUTE, {"take": "all"}))
    assert "Choose at least one outcome" in text_of(anna.post(DISPUTE, {"take": "chosen"}))


def test_nobody_disputes_for_another_customer(
    invoice: Invoice, sign_in: Callable[[Customer], Client]
) -> None:
    other = sign_in(make_customer("globex"))
    for sent in ({"take": "all"}, {"outcome": ids(1), "send": "1", "reason": "Mine."}):
        assert other.post(DISPUTE, sent).status_code == 404
    assert not Dispute.objects.exists()


def test_outcomes_of_another_customer_cannot_be_slipped_in(anna: Client, invoice: Invoice) -> None:
    globex = make_customer("globex")
    subscribe(globex, plan=plan(), start_on=date(2026, 10, 1))
    send(event("theirs", customer="globex", subject="ticket-secret"))
    theirs = str(Event.objects.get(key="theirs").pk)
    answer = anna.post(DISPUTE, {"outcome": [theirs], "send": "1", "reason": "x"})
    assert answer.status_code == 400
    assert "ticket-secret" not in text_of(answer)
    assert anna.post(DISPUTE, {"outcome": ["x"]}).status_code == 404
    assert not Dispute.objects.exists()


def test_no_box_is_offered_once_the_time_is_over(anna: Client, acme: Customer) -> None:

    send(event("evt-1", subject="ticket-1"))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    with time_machine.travel("2027-01-15T12:00:00Z", tick=False):
        client = anna
        listed = client.get(EVENTS)
        if listed.status_code == 200:  # the session may be over by then
            assert 'type="checkbox"' not in text_of(listed)
        assert client.post(DISPUTE, {"outcome": ids(1), "send": "1", "reason": "Late."}).status_code in (
            302,
            400,
        )
    assert not Dispute.objects.exists()


def test_the_story_of_a_subject_has_activity_outcome_and_price_and_no_cost(
    anna: Client, invoice: Invoice
) -> None:
    add_cost_rate({"meter": "api_calls", "model": "per_unit", "unit_amount": "0.0987"}, Validity())
    send(event("back", occurred_at="2026-11-10T09:00:00Z", reverses={"key": "evt-2"}))
    page = text_of(anna.get("/portal/subjects/?subject=ticket-1"))
    for words in ("API calls", "Tickets Resolved", "$2.00", "1 call", invoice.number, "Dispute this outcome"):
        assert words in page
    for secret in ("0987", "internal", "workload", "margin"):
        assert secret not in page.replace("csrfmiddlewaretoken", "")
    assert "Reverses Tickets Resolved" in text_of(anna.get("/portal/subjects/?subject=ticket-2"))
    assert anna.get("/portal/subjects/?subject=nobody").status_code == 404
    assert anna.get("/portal/subjects/").status_code == 404
    assert Decimal(2) == invoice.lines.get().unit_amount


def test_a_page_of_outcomes_asks_as_often_for_forty_as_for_four(anna: Client, invoice: Invoice) -> None:
    anna.post(DISPUTE, {"outcome": ids(1), "send": "1", "reason": "Back."})
    counts = []
    for first in (0, 100):
        with CaptureQueriesContext(connection) as asked:
            anna.get(EVENTS if first == 0 else EVENTS.replace("000001", "000002"))
        counts.append(len(asked))
        if first == 0:
            sent = (
                event(f"nov-{n}", subject=f"ticket-{100 + n}", occurred_at="2026-11-03T10:00:00Z")
                for n in range(40)
            )
            send(*sent)
            close_period(Month(2026, 11), now=NOW + timedelta(days=30), grace_days=0)
    assert counts[0] == counts[1]
