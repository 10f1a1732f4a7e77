"""The queue of disputes in the admin: evidence, effect, decision, and who may do what."""

from __future__ import annotations

import csv
import re
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.closing import close_period
from billing.cost_rates import Validity, add_cost_rate
from billing.disputing import decide_dispute, open_dispute
from billing.models import CreditNote, Dispute, DisputeStep, Invoice, InvoiceLine, Plan
from billing.months import Month
from billing.subscribing import subscribe
from metering.models import Event, Workload
from tests.billing.money import tax
from tests.factories import event, make_customer, make_meter, send
from tests.staff import messages_of, sign_in, text_of
from tests.stories.test_disputes import ASKED, DECIDED, ISSUED, billed, dispute

pytestmark = pytest.mark.django_db


@pytest.fixture
def found() -> Dispute:
    """Four of ten tickets at $2.00; the page computes with today's clock, the dispute is open."""
    return dispute(billed(), 1, 2, 3, 4)


def page(found: Dispute) -> str:
    return reverse("admin:billing_dispute_change", args=[found.pk])


def pks(found: Dispute, *numbers: int) -> list[int]:
    keys = [f"evt-{n}" for n in numbers]
    return list(found.outcomes.filter(key__in=keys).values_list("pk", flat=True))


def test_the_queue_is_searched_filtered_and_counted_in_the_menu(found: Dispute) -> None:
    staff = sign_in("Billing clerk")
    listed = reverse("admin:billing_dispute_changelist")
    for query in ("", "?state=open", "?q=ticket-3", "?q=came+back", f"?q={found.pk}", "?o=5"):
        assert found.number in text_of(staff.get(listed + query)), query
    for query in ("?state=decided", "?q=nothing-like-it"):
        assert f">{found.number}<" not in text_of(staff.get(listed + query)), query


def test_the_queue_says_how_long_each_waits_and_what_is_at_stake(found: Dispute) -> None:
    """Four of ten at $2.00: $8.00. Another customer's dispute of $2.00 was decided."""
    subscribe(make_customer("globex"), plan=Plan.objects.get(), start_on=date(2026, 10, 1))
    send(event("g-1", customer="globex", subject="g-1"))
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    line = InvoiceLine.objects.get(invoice__customer__code="globex")
    other = open_dispute(
        line, [Event.objects.get(key="g-1").pk], reason="=cmd|' /C calc'!A0", by="gail", now=ASKED
    )
    taken = [each.pk for each in other.outcomes.all()]
    decide_dispute(other, accepted=taken, answer="Yes.", remedy="adjustment", by="clara", now=DECIDED)
    staff = sign_in("Read only")
    listed = reverse("admin:billing_dispute_changelist")
    with time_machine.travel(ASKED + timedelta(days=3), tick=False):
        text = text_of(staff.get(listed))
        for words in (
            "3 days",
            "$8.00",
            "at stake in one that waits since 5 Nov 2026",
            "$2.00",
        ):
            assert words in text, words
        assert "sortpriority" not in text  # no column claims the order
        # What waits stands first.
        assert text.index(found.number) < text.index(other.number)
        shown = {
            "": 2, "?age=2": 1, "?age=7": 0, "?age=x": 0, "?plan=support": 2, "?plan=none": 0, "?state=decided": 1,
            "?q=globex": 1, "?q=evt-3": 1,
        }  # fmt: skip
        for query, count in shown.items():
            exported = staff.get(reverse("admin:billing_dispute_export") + query)
            rows = list(csv.DictReader(StringIO(b"".join(exported).decode("utf-8-sig"))))
            assert len(rows) == count, query
            assert text_of(staff.get(listed + query)).count('/change/">D-') == count, query
        rows = {row["customer"]: row for row in csv.DictReader(StringIO(b"".join(
            staff.get(reverse("admin:billing_dispute_export"))).decode("utf-8-sig")))}  # fmt: skip
    acme, globex = rows["acme"], rows["globex"]
    assert (acme["age_days"], acme["at_stake"], acme["given_back"], acme["open"]) == (
        "3",
        "8.00",
        "0.00",
        "4",
    )
    assert (globex["age_days"], globex["given_back"], globex["accepted"]) == ("", "2.00", "1")
    assert (globex["reason"], globex["answer"]) == ("'=cmd|' /C calc'!A0", "Yes.")
    assert Client().get(reverse("admin:billing_dispute_export")).status_code == 302


def test_the_page_says_what_a_credit_note_comes_to_or_why_there_is_none() -> None:
    tax("FR", "20")
    found = dispute(billed(country="FR", minimum_amount=Decimal(18)), 1, 2, 3)
    send(event("evt-late", subject="ticket-late"))
    staff = sign_in("Billing admin")
    text = text_of(staff.get(page(found)))
    # 11 x $2.00 = $22.00 with the late one; 8 x $2.00 and $2.00 of the minimum without three: $4.00 and $0.80 tax.
    for words in ("-$4.00", "$4.80 to Acme, $0.80 of it tax", "Other late usage of line 1, $2.00, waits"):
        assert words in text, words
    small = text_of(staff.post(page(found), {"accepted": pks(found, 1), "_show": "1"}))
    assert "$2.40 to Acme" in small


def test_the_page_says_why_there_is_no_credit_note() -> None:
    found = dispute(billed(minimum_amount=Decimal(20)), 1)
    text = text_of(sign_in("Billing admin").get(page(found)))
    assert "No credit note now: Without these outcomes the invoice comes to the same" in text


def test_evidence_and_effect_stand_beside_the_decision(found: Dispute) -> None:
    shown = sign_in("Billing admin").get(page(found))
    text = text_of(shown)
    # 10 x $2.00 = $20.00, without the four 6 x $2.00 = $12.00.
    for words in ("It came back.", "ticket-3", "$20.00", "$12.00", "-$8.00", "Accept 4"):
        assert words in text
    changed = sign_in_again(
        shown, found, {"accepted": pks(found, 1, 2, 3), "_show": "1", "remedy": "credit_note"}
    )
    text = text_of(changed)
    assert "-$6.00" in text
    assert "Accept 3, decline 1" in text
    assert not DisputeStep.objects.filter(kind="decided").exists()


def sign_in_again(shown: Any, found: Dispute, sent: dict[str, Any]) -> Any:
    return shown.client.post(page(found), sent)


def test_a_billing_admin_credits_what_was_shown(found: Dispute) -> None:
    staff = sign_in("Billing admin")
    sent = {
        "accepted": pks(found, 1, 2, 3),
        "remedy": "credit_note",
        "answer": "Three came back.",
        "expected": "-8.00",
        "_confirm": "1",
    }
    refused = staff.post(page(found), sent, follow=True)
    assert "Nothing was decided" in messages_of(refused)
    done = staff.post(page(found), sent | {"expected": "-6.00"}, follow=True)
    assert "3 accepted, 1 declined" in messages_of(done)
    assert CreditNote.objects.get().total == 6
    again = staff.post(page(found), sent | {"expected": "-6.00"}, follow=True)
    assert "was decided by" in messages_of(again)
    assert CreditNote.objects.count() == 1


def test_ticks_changed_after_the_effect_was_shown_keep_the_answer_and_show_the_new_effect(
    found: Dispute,
) -> None:
    """The page said -$8.00 for four; three are ticked when it is confirmed: -$6.00, and nothing is decided."""
    sent = {"accepted": pks(found, 1, 2, 3), "remedy": "adjustment", "answer": "Three came back."}
    staff = sign_in("Billing admin")
    shown = staff.post(page(found), sent | {"expected": "-8.00", "_confirm": "1"})
    assert shown.status_code == 409
    text = text_of(shown)
    for words in ("comes to -$6.00 now. Nothing was decided", "Accept 3, decline 1", "Three came back."):
        assert words in text, words
    assert text.count('name="accepted"') == 4
    assert len(re.findall(r'name="accepted"[^>]*checked', text)) == 3
    assert re.search(r'value="adjustment"[^>]*checked', text)
    assert not DisputeStep.objects.filter(kind="decided").exists()
    # What it shows now is what a second press does.
    expected = re.search(r'name="expected"\s+value="([^"]+)"', text)
    assert expected
    assert Decimal(expected[1]) == -6
    none = text_of(staff.post(page(found), sent | {"_none": "1"}))
    for words in ("If none of them is accepted", "Decline 4", "Three came back."):
        assert words in none, words
    assert not re.search(r'name="accepted"[^>]*checked', none)


def test_a_clerk_declines_and_adjusts_and_writes_no_credit_note(found: Dispute) -> None:
    clerk = sign_in("Billing clerk")
    sent = {"accepted": pks(found, 1), "answer": "One came back.", "expected": "-2.00", "_confirm": "1"}
    assert clerk.post(page(found), sent | {"remedy": "credit_note"}).status_code == 400
    assert not CreditNote.objects.exists()
    clerk.post(page(found), sent | {"remedy": "adjustment"})
    assert found.steps.get(kind="decided").remedy == "adjustment"
    reopened = clerk.post(page(found), {"reopen": "1", "reason": "Looked at the wrong ticket."}, follow=True)
    assert "waits for a decision again" in messages_of(reopened)
    assert found.outcomes.filter(state="open").count() == 3


def test_a_refusal_stands_at_its_field_and_read_only_decides_nothing(found: Dispute) -> None:
    sent = {
        "accepted": pks(found, 1),
        "remedy": "credit_note",
        "answer": "",
        "expected": "-2.00",
        "_confirm": "1",
    }
    refused = sign_in("Billing admin").post(page(found), sent)
    assert refused.status_code == 400
    assert "the customer reads it" in text_of(refused)
    reader = sign_in("Read only")
    assert reader.get(page(found)).status_code == 200
    assert reader.post(page(found), sent | {"answer": "No."}).status_code == 403
    assert Client().get(page(found)).status_code == 302
    assert not DisputeStep.objects.filter(kind="decided").exists()
    assert Invoice.objects.get().amount_credited == 0


def test_the_page_of_a_subject_shows_price_cost_by_workload_and_margin() -> None:
    """$2.00 less 3 calls at $0.25 is $1.25, 62.5 %."""
    Workload.objects.create(code="bot", name="Support bot")
    make_meter("api_calls", label="API calls", unit="call")
    add_cost_rate({"meter": "api_calls", "model": "per_unit", "unit_amount": "0.25"}, Validity())
    billed(2)
    calls = (
        event(f"call-{n}", meter="api_calls", subject=f"ticket-{n % 2}", workload="bot") for n in range(6)
    )
    send(*calls)
    story = "/admin/billing/outcome/subject/?customer=acme&subject=ticket-1"
    clerk = sign_in("Billing clerk")
    unknown = text_of(clerk.get(story))
    # Nobody said what a resolved ticket costs by itself: the margin is not guessed.
    for words in ("Margin unknown", "Tickets Resolved", "There is no cost rate for this meter.", "$0.75"):
        assert words in unknown
    add_cost_rate({"meter": "tickets_resolved", "model": "per_unit", "unit_amount": "0"}, Validity())
    known = text_of(clerk.get(story))
    for words in ("$2.00", "Cost: Support bot", "$0.75", "$1.25 margin", "62.5 %", "INV-2026-000001"):
        assert words in known
    assert "Margin unknown" not in known
    event_page = f"/admin/metering/event/{Event.objects.get(key='evt-1').pk}/change/"
    assert "outcome/subject/?customer=acme&amp;subject=ticket-1" in text_of(clerk.get(event_page))


def test_what_is_not_billed_yet_has_a_cost_and_no_loss() -> None:
    make_meter("api_calls", unit="call")
    make_meter(once_per_subject="period")
    make_customer()
    for meter, amount in (("api_calls", "0.25"), ("tickets_resolved", "0")):
        add_cost_rate({"meter": meter, "model": "per_unit", "unit_amount": amount}, Validity())
    send(event("call", meter="api_calls", subject="t-1"), event("ticket", subject="t-1"))
    story = text_of(sign_in("Billing clerk").get("/admin/billing/outcome/subject/?customer=acme&subject=t-1"))
    assert "Not billed yet" in story
    assert "$0.25" in story
    assert "-$0.25" not in story


def test_the_queue_asks_as_often_for_three_disputes_as_for_one() -> None:
    invoice = billed()
    staff = sign_in("Billing clerk")
    counts = []
    for numbers in ((1,), (2,), (3, 4)):
        dispute(invoice, *numbers)
        with CaptureQueriesContext(connection) as asked:
            staff.get(reverse("admin:billing_dispute_changelist"))
        counts.append(len(asked))
    assert counts[1] == counts[2]
