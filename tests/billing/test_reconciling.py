"""Every event is accounted for exactly once, between its arrival and an invoice."""

from datetime import UTC, date, datetime

import pytest
from django.db import connection

from billing.closing import close_period
from billing.models import Invoice
from billing.months import Month
from billing.reconciling import Reconciliation, events_of, reconcile
from customers.models import Customer
from metering.models import Event, EventBatch, Meter
from metering.releasing import release_unmatched
from metering.standings import Standing
from tests.factories import (
    NOW,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
RECEIVED = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def close() -> None:
    close_period(Month(2026, 10), now=NOW, grace_days=0)


def void(key: str) -> None:
    found = Event.objects.get(key=key)
    batch = EventBatch.objects.create(
        id=f"00000000-0000-7000-8000-{abs(hash(key)) % 10**12:012d}",
        kind="corrected",
        received_at=NOW,
        stored=1,
        first_occurred_at=found.occurred_at,
        last_occurred_at=found.occurred_at,
    )
    Event.objects.filter(pk=found.pk).update(voided_batch_id=batch.pk)


def stand(found: Reconciliation) -> dict[str, int]:
    names = ("accepted", "billed", "not_yet_billed", "free", "voided", "voided_after_billing")
    return {name: found.standing(name) for name in names}


def test_what_arrived_is_accepted_duplicate_conflict_unmatched_or_rejected() -> None:
    make_customer()
    make_meter()
    send_tickets(5)
    send_tickets(5)  # 5 duplicates
    send(event("evt-0", value="7"))  # 1 conflict
    send(event("x", customer="nobody"), event("y", value="NaN"), event("z", meter="nothing"))
    found = reconcile(*RECEIVED)
    arrived = found.arrived
    assert (arrived.received, arrived.accepted, arrived.duplicates) == (14, 5, 5)
    assert (arrived.conflicts, arrived.unmatched, arrived.rejected) == (1, 2, 1)
    assert found.difference == 0
    make_customer("nobody")
    release_unmatched(now=NOW)
    assert reconcile(*RECEIVED).arrived.released == 1


def test_sources_are_counted_apart() -> None:
    make_customer()
    make_meter()
    send(event("a"), event("b"), source="one")
    send(event("a"), event("b"), event("c"), source="two")
    assert [(each.source, each.accepted) for each in reconcile(*RECEIVED).arrivals] == [
        ("one", 2),
        ("two", 3),
    ]


def test_of_one_customer_repeated_and_refused_events_are_not_known() -> None:
    acme = make_customer()
    make_customer("other")
    make_meter()
    send_tickets(3)
    send_tickets(3)
    send(event("evt-0", value="7"), event("o", customer="other"), event("u", meter="nothing"))
    arrived = reconcile(*RECEIVED, customer=acme).arrived
    assert (arrived.accepted, arrived.conflicts, arrived.unmatched) == (3, 1, 1)
    assert (arrived.received, arrived.duplicates, arrived.rejected) == (None, None, None)


def test_accepted_is_billed_not_yet_billed_free_or_voided() -> None:
    make_subscription()
    make_meter("free_thing")
    send_tickets(110)
    send(*(event(f"free-{n}", meter="free_thing") for n in range(4)))
    void("evt-0")
    assert stand(reconcile(*OCTOBER)) == {
        "accepted": 114, "billed": 0, "not_yet_billed": 109, "free": 4, "voided": 1, "voided_after_billing": 0,
    }  # fmt: skip
    close()
    send_tickets(5, first=110)  # late: above the invoice's watermark
    void("evt-1")  # billed before
    found = reconcile(*OCTOBER)
    assert stand(found) == {
        "accepted": 119, "billed": 108, "not_yet_billed": 5, "free": 4, "voided": 2, "voided_after_billing": 1,
    }  # fmt: skip
    assert found.difference == 0


def test_an_event_released_after_the_invoice_is_not_yet_billed() -> None:
    make_subscription()
    send(event("early"), event("late", meter="tickets"))
    close()
    # The event names a meter that comes later; a plan prices only tickets_resolved.
    meter = make_meter("tickets")
    release_unmatched(now=NOW)
    assert stand(reconcile(*OCTOBER))["free"] == 1
    plan = make_plan(
        {"kind": "usage", "meter": "tickets", "model": "per_unit", "unit_amount": "1"}, code="second"
    )
    make_subscription(Customer.objects.get(code="acme"), plan)
    close()
    send(event("later", meter="tickets"))
    found = {each.meter_id: each for each in reconcile(*OCTOBER).standings}
    assert (found[meter.pk].billed, found[meter.pk].not_yet_billed) == (1, 1)


def test_a_draft_bills_nothing() -> None:
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=datetime(2026, 11, 1, 12, tzinfo=UTC), grace_days=20)
    assert Invoice.objects.get().status == "draft"
    assert stand(reconcile(*OCTOBER))["not_yet_billed"] == 3


def test_days_are_those_of_the_customers_zone() -> None:
    customer = make_customer(timezone="Pacific/Auckland")
    make_subscription(customer, start_on=date(2026, 10, 1))
    # Auckland's October begins at 11:00 UTC on 30 September and ends at 11:00 UTC on 31 October.
    send(
        event("before", occurred_at="2026-09-30T10:59:59Z"),
        event("first", occurred_at="2026-09-30T11:00:00Z"),
        event("last", occurred_at="2026-10-31T10:59:59Z"),
        event("november", occurred_at="2026-10-31T11:00:00Z"),
    )
    close()
    found = reconcile(datetime(2026, 9, 1, tzinfo=UTC), OCTOBER[1])
    assert stand(found) | {"voided": 0} == {
        "accepted": 4, "billed": 2, "not_yet_billed": 1, "free": 1, "voided": 0, "voided_after_billing": 0,
    }  # fmt: skip


def test_an_event_that_a_filter_leaves_out_is_free_of_charge() -> None:
    make_meter(dimensions=["channel"], filters={"channel": ["email"]})
    make_subscription()
    send(event("a", dimensions={"channel": "email"}), event("b", dimensions={"channel": "chat"}), event("c"))
    close()
    found = stand(reconcile(*OCTOBER))
    assert (found["billed"], found["free"]) == (1, 2)


def test_two_rates_for_one_meter_bill_an_event_once() -> None:
    make_meter()
    rate = {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "1"}
    make_subscription(plan=make_plan(rate, rate, code="two"))
    send_tickets(3)
    close()
    found = reconcile(*OCTOBER)
    assert (found.standing("billed"), found.difference) == (3, 0)


def test_an_event_on_two_invoices_is_a_difference() -> None:
    make_subscription()
    send_tickets(3)
    close()
    with connection.cursor() as cursor:  # what the constraints never let happen
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE billing_invoice DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE billing_invoice DROP CONSTRAINT IF EXISTS invoice_one_live_per_period")
        cursor.execute("DROP INDEX IF EXISTS invoice_one_live_per_period")
        cursor.execute("ALTER TABLE billing_invoice DROP CONSTRAINT invoice_periods_never_overlap")
        cursor.execute("ALTER TABLE billing_invoiceline DISABLE TRIGGER USER")
    first = Invoice.objects.get()
    lines = list(first.lines.all())
    first.pk, first.number, first.sequence = None, "INV-2026-999999", 999_999
    first.save(force_insert=True)
    for line in lines:
        line.pk, line.invoice = None, first
        line.save(force_insert=True)
    found = reconcile(*OCTOBER)
    assert found.standing("billed_twice") == 3
    assert found.difference == 3


def test_a_lost_row_and_a_row_too_many_are_a_difference() -> None:
    make_customer()
    make_meter()
    send_tickets(3)
    send_tickets(2, first=3)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        cursor.execute("DELETE FROM metering_event WHERE key = 'evt-0'")
        cursor.execute("ALTER TABLE metering_eventbatch DISABLE TRIGGER USER")
        cursor.execute("UPDATE metering_eventbatch SET stored = 1, accepted = 1 WHERE stored = 2")
    found = reconcile(*RECEIVED)
    assert sorted((each.ledger, each.rows) for each in found.mismatches) == [(1, 2), (3, 2)]
    assert (found.mismatched_rows, found.difference) == (2, 2)


def test_each_number_leads_to_its_events_page_by_page() -> None:
    make_subscription()
    send_tickets(5)
    void("evt-2")
    close()
    send_tickets(2, first=5)
    meter = Meter.objects.get()

    def keys(standing: Standing) -> list[str]:
        found: list[Event] = []
        while page := events_of(
            standing,
            meter=meter,
            start=OCTOBER[0],
            end=OCTOBER[1],
            after=found[-1] if found else None,
            limit=2,
        ):
            found += page
        return sorted(each.key for each in found)

    assert keys(Standing.BILLED) == ["evt-0", "evt-1", "evt-3", "evt-4"]
    assert keys(Standing.NOT_YET_BILLED) == ["evt-5", "evt-6"]
    assert keys(Standing.VOIDED) == ["evt-2"]
    assert keys(Standing.FREE) == []
