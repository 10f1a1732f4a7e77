"""What came late and was billed by an adjustment is disputed like anything else. Figures worked by hand.

October: 10 tickets at $2.00, $20.00. Three more come late: November's invoice has an adjustment of $6.00.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.closing import close_period
from billing.disputing import decide_dispute, open_dispute
from billing.errors import DisputeRefused
from billing.line_events import billed_outcomes, change_of, events_of_line
from billing.models import CreditNote, Dispute, DisputeStep, Invoice, InvoiceLine
from billing.months import Month
from billing.outcomes import invoices_of, lines_of, settle_outcomes
from billing.reconciling import reconcile
from customers.models import Customer
from customers.portal_access import create_portal_access, portal_link
from metering.models import Event
from tests.billing.money import tax
from tests.factories import event, make_customer, make_meter, make_plan, make_subscription, send
from tests.integrator import Integrator
from tests.staff import sign_in, text_of
from tests.stories.test_dispute_credits import net_of_october, printed
from tests.stories.test_disputes import GRADUATED, all_true, billed, december, ids, lines

pytestmark = pytest.mark.django_db
ASKED = datetime(2026, 12, 3, 9, tzinfo=UTC)
JANUARY = datetime(2027, 1, 1, 12, tzinfo=UTC)


def late(count: int = 3, *, first: int = 20) -> None:
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(first, first + count)))


def adjusting(invoice: Invoice) -> InvoiceLine:
    return invoice.lines.select_related("invoice__subscription__plan", "meter", "adjusts__invoice").get(
        kind="adjustment", adjusts_plan=False
    )


def ask(line: InvoiceLine, *numbers: int, now: datetime = ASKED) -> Dispute:
    return open_dispute(line, ids(*numbers), reason="Not resolved.", by="anna@acme.example", now=now)


def decide(found: Dispute, *numbers: int, remedy: str = "credit_note") -> DisputeStep:
    keys = [f"evt-{n}" for n in numbers]
    taken = list(found.outcomes.filter(key__in=keys).values_list("pk", flat=True))
    return decide_dispute(found, accepted=taken, answer="Right.", remedy=remedy, by="clara", now=ASKED)


def january() -> Invoice:
    close_period(Month(2026, 12), now=JANUARY, grace_days=0)
    return Invoice.objects.get(period_start="2026-12-01")


def reconciled() -> None:
    october = reconcile(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert (october.difference, october.taken_back) == (0, 0)


def test_a_credit_note_takes_it_off_the_invoice_that_billed_it() -> None:
    """Two of the three: $4.00 of November's $6.00, and nothing of it on a later invoice."""
    billed()
    late()
    november = december()
    assert lines(november) == [("usage", 0, 0), ("adjustment", 3, Decimal("6.00"))]
    found = ask(adjusting(november), 20, 21, 22)
    assert decide(found, 20, 21).amount == -4
    note = CreditNote.objects.get()
    assert (note.invoice, printed(note)) == (november, [(2, Decimal("4.00"))])
    assert lines(january()) == [("usage", 0, 0)]
    assert net_of_october() == 22
    all_true()
    reconciled()


def test_an_adjustment_names_the_first_invoice_again() -> None:
    billed()
    late()
    assert decide(ask(adjusting(december()), 20), 20, remedy="adjustment").amount == -2
    following = january()
    assert lines(following) == [("usage", 0, 0), ("adjustment", -1, Decimal("-2.00"))]
    line = adjusting(following)
    assert line.description == "Adjustment of Tickets Resolved, invoice INV-2026-000001"
    assert [(each.key, each.taken_back) for each in events_of_line(line) if each.signal is None] == [
        ("evt-20", True)
    ]
    assert net_of_october() == 24
    all_true()
    reconciled()


def test_each_is_on_the_line_that_billed_it_and_disputed_once() -> None:
    invoice = billed()
    late()
    november = december()
    usage, line = invoice.lines.get(), adjusting(november)
    assert sorted(each.key for each in billed_outcomes(line)) == ["evt-20", "evt-21", "evt-22"]
    outcomes = settle_outcomes(list(Event.objects.select_related("meter")), now=ASKED)
    on = {each.event.key: invoices_of(outcomes)[each.event.pk] for each in outcomes}
    assert (on["evt-1"], on["evt-20"]) == (invoice.number, november.number)
    with pytest.raises(DisputeRefused, match="no outcome that line 1"):
        open_dispute(usage, ids(20), reason="x", by="anna", now=datetime(2026, 11, 20, tzinfo=UTC))
    with pytest.raises(DisputeRefused, match="no outcome that line 2"):
        ask(line, 1)
    ask(line, 20)
    with pytest.raises(DisputeRefused, match="disputed before"):
        ask(line, 20)
    # The days count from the invoice that billed it: October's are over, November's are not.
    assert november.issued_at is not None
    with pytest.raises(DisputeRefused, match="could be disputed until"):
        ask(line, 21, now=november.issued_at + timedelta(days=30))


def test_what_is_not_billed_yet_is_on_no_invoice() -> None:
    billed()
    late()
    outcomes = settle_outcomes(list(Event.objects.filter(key="evt-20").select_related("meter")), now=ASKED)
    assert lines_of(outcomes) == {}


def test_more_than_is_left_of_the_adjustment_is_refused_in_words() -> None:
    """Three came late and two were taken back: $2.00. Two of the late ones are $4.00."""
    billed()
    late()
    send(*(event(f"back-{n}", reverses={"key": f"evt-{n}"}) for n in (1, 2)))
    november = december()
    line = adjusting(november)
    assert (line.quantity, line.amount) == (1, 2)
    evidence = {(each.key, each.taken_back) for each in events_of_line(line) if each.signal is None}
    assert evidence == {(f"evt-{n}", n < 20) for n in (1, 2, 20, 21, 22)}
    told = {each.key: change_of(each, line) for each in events_of_line(line)}
    assert (told["evt-1"], told["evt-20"]) == ("taken_back", "added")
    with pytest.raises(DisputeRefused, match="no outcome that line 2"):
        ask(line, 1)  # taken back there, not billed
    found = ask(line, 20, 21)
    with pytest.raises(DisputeRefused, match=r"\$2\.00 of line 2 is left to credit, and it comes to \$4\.00"):
        decide(found, 20, 21)
    decide(found, 20, 21, remedy="adjustment")
    january()
    assert net_of_october() == 18
    all_true()
    reconciled()


def test_tiers_and_the_service_fee_of_the_first_invoice_price_it() -> None:
    """10 x: $18.00 and $1.80. Three late at $1.00: $3.00 and $0.30. One is given back: $1.00 and $0.10."""
    billed(rate=GRADUATED, service_fee_percent=Decimal(10))
    late()
    november = december()
    assert [amount for _, _, amount in lines(november)] == [0, 3, Decimal("0.30")]
    step = decide(ask(adjusting(november), 21), 21)
    assert step.amount == Decimal("-1.10")
    assert printed(CreditNote.objects.get()) == [(2, Decimal("1.00")), (3, Decimal("0.10"))]
    january()
    assert net_of_october() == Decimal("22.00")
    all_true()


def test_tax_is_that_of_the_invoice_that_billed_it() -> None:
    """20 % of $2.00 on November's invoice."""
    tax("FR", "20")
    make_meter(once_per_subject="ever")
    make_subscription(make_customer(country="FR"), make_plan())
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(10)))
    close_period(Month(2026, 10), now=datetime(2026, 11, 1, 12, tzinfo=UTC), grace_days=0)
    late()
    november = december()
    assert november.total == Decimal("7.20")
    decide(ask(adjusting(november), 20), 20)
    note = CreditNote.objects.get()
    assert (note.subtotal, note.tax, note.total) == (2, Decimal("0.40"), Decimal("2.40"))
    january()
    all_true()


def test_an_outcome_that_counts_since_its_evidence_came_late_is_disputed_where_it_was_billed() -> None:
    calls = make_meter("calls")
    make_meter(evidence_meter=calls)
    make_subscription()
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(2)))
    send(event("call-0", meter="calls", subject="ticket-0", occurred_at="2026-10-02T10:00:00Z"))
    close_period(Month(2026, 10), now=datetime(2026, 11, 1, 12, tzinfo=UTC), grace_days=0)
    assert Invoice.objects.get().total == 2
    send(event("call-1", meter="calls", subject="ticket-1", occurred_at="2026-10-02T10:00:00Z"))
    november = december()
    assert lines(november) == [("usage", 0, 0), ("adjustment", 1, 2)]
    line = adjusting(november)
    assert [each.key for each in billed_outcomes(line)] == ["evt-1"]
    assert decide(ask(line, 1), 1).amount == -2
    january()
    assert net_of_october() == 2
    all_true()
    reconciled()


def test_what_was_late_twice_is_two_adjustments_and_each_is_disputed_on_its_own() -> None:
    billed()
    late(2)
    november = december()
    late(2, first=30)
    following = january()
    assert sorted(each.key for each in billed_outcomes(adjusting(following))) == ["evt-30", "evt-31"]
    decide(ask(adjusting(november), 20), 20)
    found = open_dispute(adjusting(following), ids(30), reason="x", by="anna", now=JANUARY)
    decide_dispute(
        found,
        accepted=[each.pk for each in found.outcomes.all()],
        answer="Right.",
        remedy="credit_note",
        by="clara",
        now=JANUARY,
    )
    assert [note.invoice for note in CreditNote.objects.order_by("pk")] == [november, following]
    close_period(Month(2027, 1), now=datetime(2027, 2, 1, 12, tzinfo=UTC), grace_days=0)
    assert net_of_october() == 24
    all_true()
    reconciled()


def enter(customer: Customer) -> Client:
    access = create_portal_access(customer, "anna@acme.example")
    client = Client()
    base = "http://testserver"
    assert client.post(portal_link(access, base).removeprefix(base)).status_code == 302
    return client


def test_in_the_portal_the_added_ones_are_ticked_and_the_page_of_a_subject_leads_there() -> None:
    billed()
    late()
    send(event("back", reverses={"key": "evt-1"}))
    november = december()
    base = f"/portal/invoices/{november.number}/lines/2"
    with time_machine.travel(ASKED, tick=False):
        client = enter(Customer.objects.get())
        listed = text_of(client.get(f"{base}/events/"))
        assert listed.count('type="checkbox"') == 3
        story = text_of(client.get("/portal/subjects/?subject=ticket-20"))
        assert "Dispute this outcome" in story
        assert f'action="{base}/dispute/"' in story
        sent: dict[str, Any] = {
            "outcome": [str(pk) for pk in ids(20)],
            "send": "1",
            "reason": "It came back.",
        }
        assert client.post(f"{base}/dispute/", sent).status_code == 302
        assert text_of(client.get(f"{base}/events/")).count('type="checkbox"') == 2
        assert "Disputed</span>" in text_of(client.get("/portal/invoices/"))
        found = Dispute.objects.get()
        staff = sign_in("Billing admin").get(f"/admin/billing/dispute/{found.pk}/change/")
        for words in ("ticket-20", "-$2.00", november.number or ""):
            assert words in text_of(staff)


def test_over_http_too() -> None:
    billed()
    late()
    november = december()
    with time_machine.travel(ASKED, tick=False):
        integrator = Integrator("manage")
        sent = {"invoice": november.number, "line": 2, "outcomes": ["evt-20"], "reason": "It came back."}
        assert integrator.post("disputes/", sent | {"outcomes": ["evt-1"]})[0] == 400
        status, body = integrator.post("disputes/", sent)
        assert (status, body["line"]) == (201, 2)
        decision = {"accepted": ["evt-20"], "answer": "Right.", "remedy": "credit_note"}
        status, decided = integrator.post(f"disputes/{body['id']}/decide/", decision)
    assert (status, decided["history"][-1]["amount"]) == (200, "-2.00")
