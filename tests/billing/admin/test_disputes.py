"""The queue of disputes in the admin: evidence, effect, decision, and who may do what."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.cost_rates import Validity, add_cost_rate
from billing.models import CreditNote, Dispute, DisputeStep, Invoice
from metering.models import Event, Workload
from tests.factories import event, make_meter, send
from tests.staff import messages_of, sign_in, text_of
from tests.stories.test_disputes import billed, dispute

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
