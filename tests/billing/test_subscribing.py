from datetime import date

import pytest
from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from billing.closing import close_period
from billing.ending import end_subscription
from billing.errors import CurrencyMismatch, InvalidDates, PlanNotActive, SubscriptionOverlap
from billing.models import MeterCoverage, Subscription
from billing.months import Month
from billing.pricing import create_plan
from billing.subscribing import subscribe
from tests.factories import NOW, TICKETS, make_customer, make_meter, make_plan, make_subscription

pytestmark = pytest.mark.django_db


def test_two_plans_that_bill_the_same_meter_never_share_a_day() -> None:
    first = make_subscription()
    other = make_plan(TICKETS, code="other")
    with pytest.raises(SubscriptionOverlap, match="Support Outcome Plan from 2026-10-01 with no end"):
        subscribe(first.customer, plan=other, start_on=date(2026, 12, 1))
    assert Subscription.objects.get() == first
    end_subscription(first, end_on=date(2026, 12, 1))
    following = subscribe(first.customer, plan=other, start_on=date(2026, 12, 1))
    assert following.start_on == date(2026, 12, 1)


def test_the_database_alone_refuses_a_meter_covered_twice_on_one_day() -> None:
    first = make_subscription()
    second = Subscription.objects.create(
        customer=first.customer, plan=first.plan, start_on=date(2027, 1, 1), timezone="UTC"
    )
    covered = MeterCoverage.objects.get()
    with pytest.raises(IntegrityError, match="metercoverage_never_twice"), transaction.atomic():
        MeterCoverage.objects.create(
            subscription=second,
            customer=covered.customer,
            meter=covered.meter,
            during=DateRange(date(2027, 1, 1), None),
        )


def test_plans_for_different_meters_run_side_by_side() -> None:
    first = make_subscription()
    make_meter("calls")
    calls = make_plan(TICKETS | {"meter": "calls"}, code="calls")
    subscribe(first.customer, plan=calls, start_on=date(2026, 10, 1))
    assert Subscription.objects.count() == 2


def test_the_same_plan_is_not_assigned_twice_for_the_same_days_even_without_meters() -> None:
    fee = make_plan(
        {"kind": "subscription", "label": "Base", "amount": "10", "timing": "in_arrears"}, code="f"
    )
    customer = make_customer()
    subscribe(customer, plan=fee, start_on=date(2026, 10, 1), end_on=date(2026, 11, 1))
    with pytest.raises(SubscriptionOverlap):
        subscribe(customer, plan=fee, start_on=date(2026, 10, 31))
    subscribe(customer, plan=fee, start_on=date(2026, 11, 1))


def test_only_an_active_plan_in_the_customers_currency_is_assigned() -> None:
    make_meter()
    draft = create_plan(code="d", name="D", currency="USD", billing_period="monthly", rates=[TICKETS])
    with pytest.raises(PlanNotActive):
        subscribe(make_customer(), plan=draft, start_on=date(2026, 10, 1))
    with pytest.raises(CurrencyMismatch, match="EUR"):
        subscribe(make_customer("eu", currency="EUR"), plan=make_plan(), start_on=date(2026, 10, 1))
    assert not Subscription.objects.exists()


@pytest.mark.parametrize("end_on", [date(2026, 10, 1), date(2026, 9, 1)])
def test_an_end_that_is_not_after_the_start_is_refused(end_on: date) -> None:
    make_meter()
    with pytest.raises(InvalidDates):
        subscribe(make_customer(), plan=make_plan(), start_on=date(2026, 10, 1), end_on=end_on)


def test_days_that_are_invoiced_cannot_be_taken_back() -> None:
    subscription = make_subscription()
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    with pytest.raises(InvalidDates, match="2026-11-01"):
        end_subscription(subscription, end_on=date(2026, 10, 20))
    assert end_subscription(subscription, end_on=date(2026, 11, 1)).end_on == date(2026, 11, 1)
