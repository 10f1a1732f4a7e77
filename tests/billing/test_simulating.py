"""What if: past usage at other prices, beside the invoices that were issued."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.closing import close_period
from billing.models import Invoice, Plan
from billing.months import Month
from billing.pricing import change_draft, create_plan, create_version
from billing.simulating import Simulation, simulate
from tests.factories import (
    NOW,
    TICKETS,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)

pytestmark = pytest.mark.django_db
FEE = {"kind": "subscription", "label": "Base", "amount": "30.00", "timing": "in_arrears"}


def run(plan: Plan, **options: object) -> Simulation:
    return simulate(plan, first=date(2026, 9, 1), last=date(2026, 11, 1), now=NOW, **options)  # type: ignore[arg-type]


def billed_customers() -> Plan:
    """Acme with 120 tickets in October and Beta with 10 in September and none in October, at $2.00."""
    make_meter()
    plan = make_plan()
    make_subscription(make_customer("acme"), plan, start_on=date(2026, 9, 1))
    make_subscription(make_customer("beta"), plan, start_on=date(2026, 9, 10))
    send_tickets(120)
    send(*(event(f"b-{n}", customer="beta", occurred_at="2026-09-12T00:00:00Z") for n in range(10)))
    for month in (9, 10):
        close_period(Month(2026, month), now=NOW, grace_days=0)
    return plan


def test_the_same_version_gives_the_issued_invoices_to_the_cent() -> None:
    plan = billed_customers()
    send_tickets(5, first=500)  # after the close: no invoice has counted them
    result = run(plan)
    issued = sum(Invoice.objects.values_list("total", flat=True))
    assert (result.whole.then, result.whole.now) == (issued, issued) == (Decimal(260), Decimal(260))
    assert (result.dearer, result.cheaper, result.failures) == ([], [], [])


def test_a_draft_shows_who_would_have_paid_more_and_when() -> None:
    plan = billed_customers()
    draft = change_draft(create_version(plan), rates=[TICKETS | {"unit_amount": "1.50"}, FEE])
    result = run(draft)
    # Acme: 240 -> 120 x 1.50 + 2 x 30 = 240; Beta: 20 -> 15 + 30 x 21/30 (21.00) + 30 = 66.
    assert [(each.customer.code, each.whole.then, each.whole.now) for each in result.customers] == [
        ("acme", Decimal(240), Decimal(240)),
        ("beta", Decimal(20), Decimal(66)),
    ]
    assert [each.customer.code for each in result.dearer] == ["beta"]
    worst = result.dearer[0].worst_month
    assert worst is not None
    assert (worst[0], worst[1].difference) == (date(2026, 10, 1), Decimal(30))
    assert result.dearer[0].whole.percent == Decimal("230.0")
    assert [(month, each.then, each.now) for month, each in result.months.items()] == [
        (date(2026, 9, 1), Decimal(20), Decimal(66)),
        (date(2026, 10, 1), Decimal(240), Decimal(240)),
    ]


def test_one_customer_can_be_chosen() -> None:
    result = run(billed_customers(), customers=["beta"])
    assert [each.customer.code for each in result.customers] == ["beta"]


def test_another_plan_takes_the_place_of_those_that_bill_its_meters() -> None:
    billed_customers()
    other = create_plan(
        code="other",
        name="Other",
        currency="USD",
        billing_period="quarterly",
        rates=[TICKETS | {"unit_amount": "1"}],
    )
    assert (run(other).whole.then, run(other).whole.now) == (Decimal(260), Decimal(130))


def test_usage_that_cannot_be_priced_is_named_and_left_out_of_both_sums() -> None:
    plan = billed_customers()
    steps = {
        "kind": "usage", "meter": "tickets_resolved", "model": "stairstep",
        "tiers": [{"up_to": "100", "flat_amount": "50"}],
    }  # fmt: skip
    result = run(change_draft(create_version(plan), rates=[steps]))
    assert [customer.code for customer, _ in result.failures] == ["acme"]
    assert (result.whole.then, result.whole.now) == (Decimal(20), Decimal(100))


def test_nothing_is_written() -> None:
    plan = billed_customers()
    draft = change_draft(create_version(plan), rates=[TICKETS, FEE])

    def counts() -> dict[str, int]:
        return {model.__name__: model._base_manager.count() for model in apps.get_models()}

    before = counts(), list(Invoice.objects.values())
    run(draft)
    assert (counts(), list(Invoice.objects.values())) == before


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_to_write_during_a_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = billed_customers()

    def write(*_: object, **__: object) -> None:
        Plan.objects.update(description="changed")

    monkeypatch.setattr("billing.simulating.price_periods", write)
    with pytest.raises(DatabaseError, match="read-only"), transaction.atomic():
        run(plan)
    assert not Plan.objects.filter(description="changed").exists()


def test_a_month_is_measured_by_the_same_number_of_queries_however_many_customers() -> None:
    plan = billed_customers()
    with CaptureQueriesContext(connection) as few:
        run(plan)
    for n in range(20):
        make_subscription(make_customer(f"c{n}"), plan, start_on=date(2026, 9, 1))
    for month in (9, 10):
        close_period(Month(2026, month), now=datetime(2026, 11, 21, tzinfo=UTC), grace_days=0)
    with CaptureQueriesContext(connection) as many:
        run(plan)
    assert len(many) <= len(few) + 2
