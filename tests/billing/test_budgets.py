"""Budgets, worked by hand: where they stand, what a month comes to at its pace, and alarms that are raised once.

23,700 API calls at $0.002 by the 20th of 30 days   47.40   94.8 % of 50.00
47.40 / 20 x 30                                     71.10   going to exceed 50.00
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.budget_terms import BudgetTerms
from billing.budgeting import check_budgets, save_budget
from billing.budgets import BudgetState, budget_states
from billing.cost_rates import Validity, add_cost_rate
from billing.costing import costs
from billing.errors import InvalidBudget
from billing.mailing import send_notices
from billing.margins import margins
from billing.models import Budget, BudgetAlarm, BudgetPoint, NoticeMail, WebhookMessage
from billing.months import Month
from billing.registering import EndpointTerms, register_endpoint
from customers.models import Customer
from metering.models import Workload
from tests.factories import NOW, event, make_customer, make_meter, make_subscription, send

pytestmark = pytest.mark.django_db
NOVEMBER = Month(2026, 11)


@pytest.fixture
def bot() -> Workload:
    """A support bot whose index, a part of it, made the calls."""
    make_subscription()
    make_meter("api_calls")
    bot = Workload.objects.create(code="bot", name="Support bot")
    Workload.objects.create(code="index", name="Index", parent=bot)
    add_cost_rate(
        {"kind": "usage", "meter": "api_calls", "model": "per_unit", "unit_amount": "0.002"}, Validity()
    )
    add_cost_rate(
        {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "0"}, Validity()
    )
    return bot


def calls(count: int, *, key: str = "calls", **fields: Any) -> None:
    at = {"occurred_at": "2026-11-05T10:00:00Z", "workload": "index"} | fields
    send(event(key, meter="api_calls", value=str(count), **at))


def tickets(count: int, **fields: Any) -> None:
    send(event("tickets", value=str(count), **({"occurred_at": "2026-11-05T10:00:00Z"} | fields)))


def budget(**fields: Any) -> Budget:
    usual: dict[str, Any] = {
        "name": "Bot", "measure": "cost", "currency": "USD", "amount": Decimal("50.00"), "thresholds": (50, 80, 100),
    }  # fmt: skip
    return save_budget(BudgetTerms(**(usual | fields)), by="anna", now=NOW)


def margin_budget(**fields: Any) -> Budget:
    bound = {"measure": "margin", "amount": None, "thresholds": (), "least_percent": Decimal(70)}
    return budget(**(bound | fields))


def state(of: Budget, *, now: datetime = NOW, month: Month = NOVEMBER) -> BudgetState:
    return budget_states([of], month, now=now)[0]


def alarms() -> list[tuple[str, int]]:
    return list(BudgetAlarm.objects.order_by("id").values_list("kind", "threshold"))


def test_the_budget_of_the_story_stands_at_94_8_percent_and_is_going_to_exceed(bot: Workload) -> None:
    calls(23_700)
    found = state(budget(workload=bot))
    assert (found.spent, found.percent, found.forecast) == (
        Fraction("47.40"), Fraction("94.8"), Fraction("71.10"),
    )  # fmt: skip
    assert (found.days, found.days_of_month, found.on) == (20, 30, date(2026, 11, 20))
    assert (found.reached, found.is_exceeded, found.will_exceed) == ([50, 80], False, True)
    assert found.unknown == ()


def test_the_figures_are_those_of_the_pages(bot: Workload) -> None:
    add_cost_rate({"kind": "fixed", "workload": "bot", "amount": "30.00"}, Validity())
    calls(1_000)
    tickets(120)
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    assert costs(start, end).total == 22  # 2.00 of calls, and 20 days of 30.00
    for scope in ({"workload": bot}, {"customer": Customer.objects.get()}):
        assert state(budget(**scope)).spent == 22
    whole = margins(start.date(), end.date(), group_by="customer", now=NOW).whole
    spend = state(budget(measure="spend", customer=Customer.objects.get(), amount=Decimal(480)))
    assert spend.spent == whole.revenue == 240
    assert (spend.percent, spend.forecast) == (50, 360)
    by_plan = state(budget(measure="spend", plan_code="support", amount=Decimal(480)))
    assert by_plan.spent == 240
    for fields in ({"workload": bot}, {"customer": Customer.objects.get()}, {"plan_code": "support"}):
        margin = state(margin_budget(**fields)).margin
        assert margin is not None
        assert margin.cost == 22, fields
        assert margin.revenue == (0 if "workload" in fields else 240)  # no ticket names a workload


def test_unknown_cost_is_said_and_is_not_zero(bot: Workload) -> None:
    make_meter("gpu_seconds")
    calls(23_700)
    send(event("gpu", meter="gpu_seconds", value="9", workload="bot", occurred_at="2026-11-05T10:00:00Z"))
    for scope in ({"workload": bot}, {"customer": Customer.objects.get()}):
        assert state(budget(**scope)).unknown == ("Gpu Seconds: There is no cost rate for this meter.",)
    made = budget(workload=bot, emails=["anna@acme.example"])
    check_budgets(now=NOW, only=made)
    assert "at least $47.40" in BudgetAlarm.objects.filter(kind="threshold")[0].sentence
    assert "Not in these figures, because it is not known: Gpu Seconds" in NoticeMail.objects.get().body


def test_a_fixed_cost_in_another_currency_is_unknown_to_a_customer_too(bot: Workload) -> None:
    add_cost_rate({"kind": "fixed", "workload": "bot", "amount": "30.00"}, Validity(currency="EUR"))
    calls(100)
    found = state(budget(customer=Customer.objects.get()))
    assert found.unknown == ("A fixed cost: Its fixed cost is in EUR, and nothing is converted.",)


def test_each_threshold_is_raised_once_a_month(bot: Workload) -> None:
    budget(workload=bot, emails=["anna@acme.example", "bob@acme.example"], forecast_alarm=False)
    register_endpoint(EndpointTerms("https://hooks.example.com/", ["alert.fired"]), by="anna", now=NOW)
    calls(12_499)  # 24.998
    assert check_budgets(now=NOW) == 0
    calls(1, key="c2")  # 25.00: half
    assert (check_budgets(now=NOW), check_budgets(now=NOW + timedelta(hours=1))) == (1, 0)
    calls(23_700 - 12_500, key="c3")
    assert (check_budgets(now=NOW), check_budgets(now=NOW)) == (1, 0)
    assert alarms() == [("threshold", 50), ("threshold", 80)]
    assert send_notices(now=NOW) == 4
    assert mail.outbox[-1].subject == "Budget alarm: Bot"
    assert (
        "Bot: 80 % of $50.00 reached in November 2026. It stands at $47.40 (94.8 %)." in mail.outbox[-1].body
    )
    assert WebhookMessage.objects.count() == 2


def test_a_new_month_begins_at_nothing_and_raises_again(bot: Workload) -> None:
    budget(workload=bot, thresholds=(80,), forecast_alarm=False)
    calls(23_700)
    assert check_budgets(now=NOW) == 1
    december = datetime(2026, 12, 20, tzinfo=UTC)
    assert check_budgets(now=december) == 0
    later = {"meter": "api_calls", "workload": "bot", "value": "20000", "occurred_at": "2026-12-05T10:00:00Z"}
    send(event("december", **later), now=december)
    assert check_budgets(now=december) == 1
    assert list(BudgetAlarm.objects.order_by("id").values_list("month", flat=True)) == [
        date(2026, 11, 1), date(2026, 12, 1),
    ]  # fmt: skip


def test_a_jump_raises_every_threshold_it_passes_and_mails_once(bot: Workload) -> None:
    budget(workload=bot, emails=["anna@acme.example"])
    calls(30_000)
    assert check_budgets(now=NOW) == 3
    assert alarms() == [
        ("threshold", 50),
        ("threshold", 80),
        ("threshold", 100),
    ]  # exceeded, so nothing is "going to"
    assert "100 % of $50.00 reached" in NoticeMail.objects.get().body


def test_a_month_that_is_going_to_exceed_is_raised_once_and_not_before_the_third_day(bot: Workload) -> None:
    made = budget(workload=bot, thresholds=(100,))
    calls(2_500, occurred_at="2026-11-01T10:00:00Z")  # 5.00
    second, third = (datetime(2026, 11, day, 12, tzinfo=UTC) for day in (2, 3))
    assert state(made, now=second).forecast is None
    assert state(made, now=third).forecast == 50  # exactly the amount does not exceed it
    assert check_budgets(now=third) == 0
    calls(1, key="c2", occurred_at="2026-11-01T10:00:00Z")
    assert (check_budgets(now=third), check_budgets(now=third)) == (1, 0)
    assert alarms() == [("forecast", 0)]
    assert "comes to $50.02 at this pace" in BudgetAlarm.objects.get().sentence


def test_a_margin_below_its_bound_is_raised_and_none_where_nothing_is_billed(bot: Workload) -> None:
    made = margin_budget(customer=Customer.objects.get(), least_percent=Decimal("80.25"))
    calls(23_700)
    assert state(made).percent is None
    assert check_budgets(now=NOW) == 0
    tickets(120)  # 240.00 against 47.40: 80.25 %, which is not below
    assert state(made).percent == Fraction("80.25")
    assert check_budgets(now=NOW) == 0
    calls(1, key="c2")
    assert (check_budgets(now=NOW), check_budgets(now=NOW)) == (1, 0)
    assert (
        BudgetAlarm.objects.get().sentence
        == (
            "Bot: the margin of November 2026 is 80.24 % so far, below 80.25 %."  # 80.2491..., cut and not rounded
        )
    )


def test_what_a_budget_allows_may_be_raised_again_after_it_changed(bot: Workload) -> None:
    made = budget(workload=bot, thresholds=(80,), forecast_alarm=False)
    calls(23_700)
    assert check_budgets(now=NOW) == 1
    terms: dict[str, Any] = {"measure": "cost", "currency": "USD", "workload": bot, "thresholds": (80,)}
    save_budget(
        BudgetTerms(name="Renamed", amount=Decimal(50), forecast_alarm=False, **terms), budget=made, now=NOW
    )
    assert check_budgets(now=NOW) == 0
    save_budget(
        BudgetTerms(name="Less", amount=Decimal(40), forecast_alarm=False, **terms), budget=made, now=NOW
    )
    assert check_budgets(now=NOW) == 1
    assert BudgetAlarm.objects.count() == 2


def test_a_budget_that_is_off_raises_nothing(bot: Workload) -> None:
    made = budget(workload=bot, active=False)
    calls(30_000)
    assert (check_budgets(now=NOW), check_budgets(now=NOW, only=made)) == (0, 0)
    assert BudgetPoint.objects.get().spent == 60  # where it stands is known all the same


def test_a_month_is_looked_at_until_its_second_day_after(bot: Workload) -> None:
    budget(workload=bot, thresholds=(100,), forecast_alarm=False)
    calls(30_000)
    for day, raised in ((3, 0), (2, 1)):
        assert check_budgets(now=datetime(2026, 12, day, 1, tzinfo=UTC)) == raised, day
    assert BudgetAlarm.objects.get().month == date(2026, 11, 1)
    assert sorted(BudgetPoint.objects.values_list("on", flat=True)) == [
        date(2026, 11, 30), date(2026, 12, 2), date(2026, 12, 3),
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_two_checks_at_once_raise_each_alarm_once(bot: Workload) -> None:
    for n in range(10):
        budget(name=f"b{n}", workload=bot, emails=["anna@acme.example"])
    calls(30_000)
    together = threading.Barrier(2)

    def check() -> int:
        together.wait()
        try:
            return check_budgets(now=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as workers:
        raised = [each.result() for each in [workers.submit(check), workers.submit(check)]]
    assert sum(raised) == BudgetAlarm.objects.count() == 30
    assert NoticeMail.objects.count() == 10


def test_many_budgets_take_as_many_queries_as_few(bot: Workload) -> None:
    calls(30_000)
    tickets(3)

    def make(n: int) -> None:
        customer = make_customer(f"c{n}")
        budget(name=f"a{n}", workload=bot, emails=["anna@acme.example"])
        budget(name=f"b{n}", customer=customer)
        budget(name=f"c{n}", measure="spend", customer=customer)
        budget(name=f"d{n}", measure="spend", plan_code="support")
        margin_budget(name=f"e{n}", customer=customer)
        margin_budget(name=f"f{n}", plan_code="support")
        margin_budget(name=f"g{n}", workload=bot)

    def check() -> int:
        BudgetAlarm.objects.all().delete()
        with CaptureQueriesContext(connection) as queries:
            assert check_budgets(now=NOW) > 0
        return len(queries)

    make(0)
    few = check()
    for n in range(1, 6):
        make(n)
    assert check() == few


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": " "}, "name"),
        ({"measure": "profit"}, "measure"),
        ({"workload": None}, "workload"),
        ({"workload": None, "plan_code": "support"}, "plan_code"),
        ({"measure": "spend"}, "workload"),
        ({"amount": None}, "amount"),
        ({"amount": Decimal(0)}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("0.001")}, "amount"),
        ({"amount": Decimal("1e30")}, "amount"),
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (0,)}, "thresholds"),
        ({"thresholds": range(1, 12)}, "thresholds"),
        ({"least_percent": Decimal(5)}, "least_percent"),
        ({"emails": ["anna"]}, "emails"),
        ({"currency": "EUR"}, "currency"),
        ({"currency": "XXY"}, "currency"),
        ({"measure": "margin", "amount": None, "thresholds": ()}, "least_percent"),
        (
            {"measure": "margin", "amount": None, "thresholds": (), "least_percent": Decimal(101)},
            "least_percent",
        ),
        ({"measure": "margin", "thresholds": (), "least_percent": Decimal(50)}, "amount"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(bot: Workload, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidBudget) as refused:
        budget(**({"workload": bot} | fields))
    assert wrong in refused.value.fields
    assert not Budget.objects.exists()


def test_the_currency_must_be_the_customers_and_the_plans(bot: Workload) -> None:
    acme = Customer.objects.get()
    for scope in ({"customer": acme}, {"plan_code": "support"}):
        with pytest.raises(InvalidBudget, match="USD"):
            budget(measure="spend", currency="EUR", **scope)
    with pytest.raises(InvalidBudget, match="no plan"):
        budget(measure="spend", plan_code="other")


def test_the_database_refuses_two_alarms_of_one_threshold_and_a_budget_of_two_things(bot: Workload) -> None:
    made = budget(workload=bot)
    same: dict[str, Any] = {"budget": made, "revision": 0, "month": date(2026, 11, 1), "kind": "threshold"}
    BudgetAlarm.objects.create(**same, threshold=80, raised_at=NOW)
    with pytest.raises(DatabaseError, match="budgetalarm_once"), transaction.atomic():
        BudgetAlarm.objects.create(**same, threshold=80, raised_at=NOW)
    with pytest.raises(DatabaseError, match="budget_is_for_one_thing"), transaction.atomic():
        Budget.objects.update(plan_code="support")
