"""Was this really resolved? Disputes of outcomes, from the question to the money. Figures worked by hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from billing.auditing import audit
from billing.closing import close_period
from billing.dispute_effects import preview_effect, take_back, total
from billing.dispute_rules import is_disputable
from billing.disputing import decide_dispute, open_dispute, reopen_dispute, withdraw_dispute
from billing.errors import BillingError, DisputeRefused, FiguresChanged, NotInThisState, ReasonMissing
from billing.models import (
    CreditNote,
    Dispute,
    DisputedOutcome,
    DisputeStep,
    Invoice,
    NoticeMail,
)
from billing.months import Month
from billing.outcomes import told_outcomes
from billing.reconciling import reconcile_month
from billing.subscribing import subscribe
from billing.verifying import verify_invoice
from billing.voiding import void_invoice
from metering.correcting import void_event
from metering.models import Event
from tests.at_once import told_at_once, wait_until_it_waits
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send
from tests.staff import make_staff
from tests.stories.processes import killed_at

pytestmark = pytest.mark.django_db
ISSUED = datetime(2026, 11, 1, 12, tzinfo=UTC)
ASKED = datetime(2026, 11, 5, 9, tzinfo=UTC)
DECIDED = datetime(2026, 11, 6, 9, tzinfo=UTC)
GRADUATED = {
    "kind": "usage", "meter": "tickets_resolved", "model": "graduated",
    "tiers": [{"up_to": "8", "unit_amount": "2"}, {"up_to": None, "unit_amount": "1"}],
}  # fmt: skip


def billed(count: int = 10, *, rate: dict[str, Any] = TICKETS, country: str = "", **plan: Any) -> Invoice:
    """October of Acme: resolved tickets ticket-0, ticket-1, ... on an outcome meter, invoiced on 1 November."""
    make_meter(once_per_subject="ever")
    make_subscription(make_customer(email="anna@acme.example", country=country), make_plan(rate, **plan))
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(count)))
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    return Invoice.objects.get()


def ids(*numbers: int) -> list[Any]:
    return list(Event.objects.filter(key__in=[f"evt-{n}" for n in numbers]).values_list("pk", flat=True))


def dispute(invoice: Invoice, *numbers: int, now: datetime = ASKED) -> Dispute:
    line = invoice.lines.get(kind="usage")
    return open_dispute(line, ids(*numbers), reason="It came back.", by="anna@acme.example", now=now)


def decide(found: Dispute, *numbers: int, remedy: str = "credit_note", **fields: Any) -> DisputeStep:
    keys = [f"evt-{n}" for n in numbers]
    accepted = list(found.outcomes.filter(key__in=keys).values_list("pk", flat=True))
    said = {"answer": "Three had come back.", "by": "clara", "now": DECIDED} | fields
    return decide_dispute(found, accepted=accepted, remedy=remedy, **said)


def december() -> Invoice:
    close_period(Month(2026, 11), now=datetime(2026, 12, 1, 12, tzinfo=UTC), grace_days=0)
    return Invoice.objects.get(period_start="2026-11-01")


def lines(invoice: Invoice) -> list[tuple[str, Decimal, Decimal]]:
    return [(line.kind, line.quantity, line.amount) for line in invoice.lines.all()]


def all_true() -> None:
    assert [verify_invoice(each).differences for each in Invoice.objects.all()] == [
        [] for _ in Invoice.objects.all()
    ]
    assert [each.equation.code for each in audit() if each.differences] == []


def states(*numbers: int) -> list[str]:
    events = Event.objects.filter(pk__in=ids(*numbers)).select_related("meter").order_by("key")
    return [str(each.state) for each in told_outcomes(list(events), now=DECIDED)]


def test_of_four_disputed_at_two_dollars_three_are_accepted_and_credited_and_nothing_is_given_back_twice() -> (
    None
):
    invoice = billed()
    assert invoice.total == 20
    found = dispute(invoice, 1, 2, 3, 4)
    assert states(0, 1, 2, 3, 4) == ["settled", *["disputed"] * 4]
    # 10 x $2.00 = $20.00; without the four 6 x $2.00 = $12.00. Looking at it writes nothing.
    assert total(preview_effect(list(found.outcomes.all()), now=DECIDED)) == Decimal("-8.00")
    assert Event.objects.count() == 10
    step = decide(found, 1, 2, 3)
    assert (step.accepted, step.declined, step.amount) == (3, 1, Decimal("-6.00"))
    note = CreditNote.objects.get()
    assert step.credit_note == note
    assert note.total == Decimal("6.00")
    assert note.reason == f"{found.number}: Three had come back."
    invoice.refresh_from_db()
    assert invoice.amount_due == 14
    assert states(0, 1, 2, 3, 4) == ["settled", "credited", "credited", "credited", "settled"]
    all_true()
    # November has nothing of its own and gives nothing back again.
    november = december()
    assert lines(november) == [("usage", 0, 0)]
    all_true()
    assert reconcile_month(ISSUED.date(), now=DECIDED) is not None
    # Both sides read why.
    (reason,) = [each.reason for each in told_outcomes(list(Event.objects.filter(key="evt-1")), now=DECIDED)]
    assert note.number in reason
    assert "Three had come back." in reason
    mails = list(NoticeMail.objects.order_by("id").values_list("to", "subject"))
    assert mails == [("anna@acme.example", f"Your dispute {found.number} was decided")]
    body = NoticeMail.objects.get().body
    assert (
        f"Of the outcomes you disputed on invoice {invoice.number}, 3 were accepted and 1 declined.\n" in body
    )


def test_an_adjustment_takes_accepted_outcomes_off_the_next_invoice() -> None:
    invoice = billed()
    step = decide(dispute(invoice, 1, 2), 1, 2, remedy="adjustment")
    assert (step.amount, step.credit_note) == (Decimal("-4.00"), None)
    assert lines(december()) == [("usage", 0, 0), ("adjustment", -2, Decimal("-4.00"))]
    all_true()


def test_the_effect_follows_the_tiers_of_the_frozen_rate() -> None:
    """8 x $2.00 + 2 x $1.00 = $18.00; without three 7 x $2.00 = $14.00: $4.00 less, not $6.00."""
    invoice = billed(rate=GRADUATED)
    found = dispute(invoice, 1, 2, 3)
    assert decide(found, 1, 2, 3).amount == Decimal("-4.00")
    assert CreditNote.objects.get().total == 4
    december()
    all_true()


def test_what_repeated_a_disputed_outcome_goes_with_it() -> None:
    make_meter(once_per_subject="ever")
    make_subscription()
    send(
        event("evt-1", subject="ticket-1"),
        event("evt-2", subject="ticket-1", occurred_at="2026-10-04T10:00:00Z"),
    )
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    invoice = Invoice.objects.get()
    assert invoice.total == 2
    assert decide(dispute(invoice, 1), 1).amount == -2


def test_nothing_else_of_the_subject_goes_with_it() -> None:
    """Once a period: October's repeat goes; November's, a voided one and the same ticket of another customer stay."""
    make_meter(once_per_subject="period")
    acme = make_subscription()
    subscribe(make_customer("globex"), plan=acme.plan, start_on=acme.start_on)
    send(
        event("evt-1", subject="ticket-1"),
        event("evt-2", subject="ticket-1", occurred_at="2026-10-04T10:00:00Z"),
        event("evt-3", subject="ticket-1", occurred_at="2026-10-04T11:00:00Z"),
        event("evt-4", subject="ticket-1", occurred_at="2026-11-02T10:00:00Z"),
        event("evt-5", subject="ticket-1", occurred_at="2026-11-03T10:00:00Z"),
        event("evt-6", subject="ticket-1", customer="globex"),
        event("evt-7", subject="ticket-1", customer="globex", occurred_at="2026-10-04T10:00:00Z"),
    )
    void_event(Event.objects.get(key="evt-3"), reason="wrong", by="staff", now=ISSUED)
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    invoice = Invoice.objects.get(customer__code="acme")
    found = dispute(invoice, 1)
    assert decide(found, 1).amount == -2
    taken = Event.objects.filter(signal="reverses").values_list("target_id", flat=True)
    assert sorted(taken) == sorted(ids(1, 2))


def test_what_others_send_under_the_keys_of_a_dispute_does_not_keep_it_from_being_decided() -> None:
    """A sender of CloudEvents names its source itself."""
    found = dispute(billed(), 1, 2)
    send(
        *(event(f"dispute-{found.pk}-{each.pk}", subject="x") for each in found.outcomes.all()),
        source="dispute",
    )
    assert decide(found, 1, 2).amount == -4


def test_an_outcome_that_is_voided_while_its_dispute_is_open_is_given_back_once() -> None:
    """Both accepted: $2.00 for the one now, and $2.00 for the one that was voided on the next invoice."""
    found = dispute(billed(), 1, 2)
    void_event(Event.objects.get(key="evt-2"), reason="wrong", by="staff", now=ASKED)
    assert total(preview_effect(list(found.outcomes.all()), now=DECIDED)) == -2
    assert decide(found, 1, 2).amount == -2
    assert lines(december()) == [("usage", 0, 0), ("adjustment", -1, Decimal("-2.00"))]
    all_true()


def test_an_outcome_whose_event_is_archived_can_only_be_declined() -> None:
    found = dispute(billed(), 1, 2)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        Event.objects.filter(key="evt-1")._raw_delete("default")  # type: ignore[attr-defined]
        cursor.execute("SET LOCAL reckoner.prune = 'off'")
    with pytest.raises(DisputeRefused, match="are archived"):
        decide(found, 1)
    assert decide(found).declined == 2


def test_late_usage_after_a_credit_note_is_billed_in_full() -> None:
    invoice = billed()
    decide(dispute(invoice, 1), 1)
    send(event("evt-late", subject="ticket-late"), now=datetime(2026, 11, 21, tzinfo=UTC))
    assert lines(december()) == [("usage", 0, 0), ("adjustment", 1, Decimal("2.00"))]
    all_true()


def test_an_outcome_is_disputed_once_and_again_only_when_staff_reopen_it() -> None:
    invoice = billed()
    found = dispute(invoice, 1, 2)
    with pytest.raises(DisputeRefused, match="disputed before"):
        dispute(invoice, 2, 3)
    decide(found, 1)
    with pytest.raises(DisputeRefused, match="disputed before"):
        dispute(invoice, 2)
    reopen_dispute(found, reason="We looked at the wrong ticket.", by="clara", now=DECIDED)
    # Only what was declined waits again: the accepted one stays credited.
    assert states(1, 2) == ["credited", "disputed"]
    # Neither what was accepted before nor what another dispute asks about is accepted with it.
    other = dispute(invoice, 4)
    for stranger in (found.outcomes.get(key="evt-1"), other.outcomes.get()):
        accepted = [found.outcomes.get(key="evt-2").pk, stranger.pk]
        with pytest.raises(DisputeRefused, match="does not wait for a decision in this dispute"):
            decide_dispute(found, accepted=accepted, answer="x", remedy="credit_note", by="c", now=DECIDED)
    decide(found, 2)
    assert list(CreditNote.objects.values_list("total", flat=True)) == [2, 2]
    assert [step.kind for step in found.steps.all()] == ["opened", "decided", "reopened", "decided"]
    with pytest.raises(NotInThisState):
        reopen_dispute(found, reason="Again.", by="clara", now=DECIDED)
    december()
    all_true()


@pytest.mark.parametrize(
    ("plan", "now", "allowed"),
    [
        ({}, ISSUED + timedelta(days=30) - timedelta(seconds=1), True),
        ({}, ISSUED + timedelta(days=30), False),
        ({"dispute_days": 5}, ISSUED + timedelta(days=5), False),
        ({"dispute_days": 0}, ISSUED, False),
    ],
)
def test_outcomes_may_be_disputed_so_many_days_after_the_invoice(
    plan: dict[str, Any], now: datetime, allowed: bool
) -> None:
    invoice = billed(3, **plan)
    assert is_disputable(invoice.lines.get(), now=now) is allowed  # what the pages offer
    if allowed:
        assert dispute(invoice, 1, now=now).outcomes.count() == 1
        return
    words = "cannot be disputed here" if plan.get("dispute_days") == 0 else "could be disputed until"
    with pytest.raises(DisputeRefused, match=words):
        dispute(invoice, 1, now=now)
    assert not Dispute.objects.exists()


def test_a_plan_says_whether_a_reason_is_needed() -> None:
    invoice = billed(3, dispute_reason_required=False)
    line = invoice.lines.get()
    assert open_dispute(line, ids(1), reason=" ", by="anna", now=ASKED).reason == ""
    assert len(open_dispute(line, ids(2), reason="x" * 1000, by="anna", now=ASKED).reason) == 1000


def test_what_is_not_billed_by_the_line_or_was_taken_back_cannot_be_disputed() -> None:
    invoice = billed(3)
    line = invoice.lines.get()
    with pytest.raises(ReasonMissing):
        open_dispute(line, ids(1), reason="  ", by="anna", now=ASKED)
    send(event("evt-77", subject="ticket-77"), event("back", reverses={"key": "evt-2"}))
    with pytest.raises(DisputeRefused, match="no outcome that line 1"):
        dispute(invoice, 77)
    with pytest.raises(DisputeRefused, match="no outcome that line 1"):
        dispute(invoice, 1, 77)  # one that it billed does not bring in another
    with pytest.raises(DisputeRefused, match="taken back already"):
        dispute(invoice, 2)
    void_event(Event.objects.get(key="evt-0"), reason="wrong", by="staff", now=ASKED)
    with pytest.raises(DisputeRefused, match="“evt-0” was taken back already"):
        dispute(invoice, 0)
    with pytest.raises(DisputeRefused, match="at least one"):
        dispute(invoice)
    assert not Dispute.objects.exists()


def test_so_many_are_disputed_at_most_in_one_dispute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.dispute_rules.MOST_OUTCOMES", 2)
    invoice = billed(3)
    with pytest.raises(DisputeRefused, match="Choose 2 outcomes at most"):
        dispute(invoice, 0, 1, 2)
    assert dispute(invoice, 0, 1).outcomes.count() == 2


def test_a_decision_is_what_was_looked_at_or_nothing() -> None:
    found = dispute(billed(), 1, 2)
    with pytest.raises(FiguresChanged):
        decide(found, 1, expected=Decimal("-4.00"))
    with pytest.raises(ReasonMissing):
        decide(found, 1, answer="")
    with pytest.raises(DisputeRefused, match="Choose how"):
        decide(found, 1, remedy="")
    assert Event.objects.count() == 10
    assert decide(found, remedy="", expected=Decimal(0)).declined == 2
    with pytest.raises(NotInThisState, match="decided by clara"):
        decide(found, 1)


def test_the_database_keeps_what_happened() -> None:
    found = dispute(billed(), 1)
    step = decide(found, 1)
    for change in (
        lambda: DisputeStep.objects.filter(pk=step.pk).update(text="nothing"),
        lambda: DisputedOutcome.objects.update(state="declined"),
        lambda: Dispute.objects.update(reason="nothing"),
        lambda: DisputedOutcome.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_staff_who_may_decide_are_told() -> None:
    make_staff("Billing clerk")
    make_staff("Read only")
    dispute(billed(), 1)
    assert [each.to for each in NoticeMail.objects.all()] == ["billing-clerk@example.com"]


@pytest.mark.django_db(transaction=True)
def test_two_people_who_decide_at_once_decide_once() -> None:
    found = dispute(billed(), 1, 2)
    together = threading.Barrier(2)
    answers: list[str] = []

    def decide_too(name: str, remedy: str) -> None:
        try:
            together.wait()
            decide(found, 1, 2, by=name, remedy=remedy)
            answers.append("decided")
        except BillingError as refused:
            answers.append(refused.code)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=decide_too, args=args)
        for args in (("clara", "credit_note"), ("dora", "adjustment"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["decided", "not_in_this_state"]
    assert found.steps.filter(kind="decided").count() == 1
    assert Event.objects.filter(signal="reverses").count() == 2
    november = december()
    given = sum(note.total for note in CreditNote.objects.all()) - november.total
    assert given == 4
    all_true()


def withdraw(found: Dispute, **fields: Any) -> DisputeStep:
    return withdraw_dispute(found, **({"reason": "It was right.", "by": "anna", "now": DECIDED} | fields))


def test_a_customer_withdraws_what_nobody_decided_and_it_stays_billed() -> None:
    make_staff("Billing clerk")
    found = dispute(billed(), 1, 2)
    assert found.at_stake == -4
    withdraw(found)
    assert states(1, 2) == ["settled", "settled"]
    assert Dispute.objects.get().state == "withdrawn"
    with pytest.raises(NotInThisState, match="was withdrawn by anna"):
        decide(found, 1)
    with pytest.raises(NotInThisState, match="is withdrawn already"):
        withdraw(found)
    assert not Event.objects.filter(signal="reverses").exists()
    subjects = list(NoticeMail.objects.order_by("id").values_list("to", "subject"))
    assert subjects[-1] == ("billing-clerk@example.com", f"{found.number}: Acme withdrew it")
    # Staff may look again, and the customer is told.
    reopen_dispute(found, reason="You wrote to us.", by="clara", now=DECIDED)
    assert (
        NoticeMail.objects.order_by("id").last().subject == f"Your dispute {found.number} is looked at again"
    )  # type: ignore[union-attr]
    decide(found, 1)
    # Of what was accepted before nothing is withdrawn.
    reopen_dispute(found, reason="Once more.", by="clara", now=DECIDED)
    assert Dispute.objects.get().at_stake == -2
    withdraw(found)
    assert Dispute.objects.get().state == "decided"
    assert states(1, 2) == ["credited", "settled"]
    december()
    all_true()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("remedy", ["credit_note", "adjustment"])
def test_of_a_decision_and_a_withdrawal_at_once_one_holds(remedy: str) -> None:
    found = dispute(billed(), 1, 2)
    answers = told_at_once(lambda: decide(found, 1, 2, remedy=remedy), lambda: withdraw(found))
    assert answers == ["done", "not_in_this_state"]
    reversed_ = Event.objects.filter(signal="reverses").count()
    assert (Dispute.objects.get().state, reversed_) in [("decided", 2), ("withdrawn", 0)]
    december()
    given = sum(Decimal(step.amount or 0) for step in found.steps.all())
    total_of = sum((each.total for each in Invoice.objects.all()), Decimal(0))
    credited = sum((note.total for note in CreditNote.objects.all()), Decimal(0))
    assert total_of - credited == 20 + given
    all_true()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("remedy", ["credit_note", "adjustment"])
def test_a_close_that_runs_while_a_dispute_is_decided_gives_it_back_once(remedy: str) -> None:
    """A late ticket waits, too: whichever comes first, October ends at 10 tickets plus 1 less 2."""
    found = dispute(billed(), 1, 2)
    send(event("evt-late", subject="ticket-late"))
    answers = told_at_once(lambda: decide(found, 1, 2, remedy=remedy), december, december)
    assert answers.count("done") >= 2
    if (
        answers != ["done"] * 3
    ):  # an invoice settled the line at that very moment: nothing was decided, so once more
        assert answers[-1] == "effect_changed" or "effect_changed" in answers
        decide(found, 1, 2, remedy=remedy)
    close_period(Month(2026, 12), now=datetime(2027, 1, 1, 12, tzinfo=UTC), grace_days=0)
    total_of = sum((each.total for each in Invoice.objects.all()), Decimal(0))
    credited = sum((note.total for note in CreditNote.objects.all()), Decimal(0))
    assert total_of - credited == 18
    all_true()


@pytest.mark.django_db(transaction=True)
def test_two_people_who_dispute_the_same_outcome_at_once_dispute_it_once() -> None:
    invoice = billed()
    assert told_at_once(lambda: dispute(invoice, 1, 2), lambda: dispute(invoice, 2, 3)) == [
        "dispute_refused",
        "done",
    ]
    assert DisputedOutcome.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_invoice_that_is_voided_while_its_dispute_is_decided_gives_back_no_more_than_was_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two of ten: -$4.00, and not the $20.00 of the whole invoice, which the void takes back by itself."""
    invoice = billed()
    found = dispute(invoice, 1, 2)

    def void_too() -> None:
        try:
            void_invoice(invoice, reason="Wrong address.", by="dora", now=DECIDED)
        finally:
            connections.close_all()

    voiding = threading.Thread(target=void_too)

    def take_back_meanwhile(*args: Any, **fields: Any) -> Any:
        voiding.start()
        wait_until_it_waits(voiding)
        return take_back(*args, **fields)

    monkeypatch.setattr("billing.disputing.take_back", take_back_meanwhile)
    step = decide(found, 1, 2, remedy="adjustment")
    voiding.join()
    assert step.amount == -4
    assert Invoice.objects.get().status == "void"
    # October is billed again without them: 8 x $2.00.
    close_period(Month(2026, 10), now=DECIDED, grace_days=0)
    assert Invoice.objects.get(status="issued").total == 16
    assert lines(december()) == [("usage", 0, 0)]
    all_true()


def test_a_void_invoice_whose_dispute_is_open_is_billed_again_and_the_decision_is_about_the_new_one() -> None:
    """$20.00 void and billed again; two are accepted: nothing of the void invoice, $4.00 less on the next one."""
    invoice = billed()
    found = dispute(invoice, 1, 2)
    void_invoice(invoice, reason="Wrong address.", by="dora", now=DECIDED)
    close_period(Month(2026, 10), now=DECIDED, grace_days=0)
    again = Invoice.objects.get(status="issued")
    assert again.total == 20
    assert decide(found, 1, 2).amount == 0
    assert not CreditNote.objects.exists()
    with pytest.raises(DisputeRefused, match="disputed before"):
        dispute(again, 1)
    assert lines(december()) == [("usage", 0, 0), ("adjustment", -2, Decimal("-4.00"))]
    all_true()


@pytest.mark.django_db(transaction=True)
def test_a_decision_killed_at_any_statement_decided_nothing_and_is_made_once_after_it() -> None:
    found = dispute(billed(), 1, 2)
    killed = statement = 0
    while killed_at(statement := statement + 9, lambda: decide(found, 1, 2), before=bool(statement % 2)):
        killed += 1
        assert Dispute.objects.get().state == "open"
        assert not Event.objects.filter(signal="reverses").exists()
        assert not CreditNote.objects.exists()
    assert killed > 3
    assert list(CreditNote.objects.values_list("total", flat=True)) == [4]
    with pytest.raises(NotInThisState):
        decide(found, 1, 2)
    assert lines(december()) == [("usage", 0, 0)]
    all_true()
