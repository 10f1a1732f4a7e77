"""Budgets in the admin: written at their fields, shown with bar, forecast, days and alarms."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.budgeting import check_budgets
from billing.models import Budget
from customers.models import Customer
from metering.models import Workload
from tests.billing.test_budgets import bot, budget, calls, margin_budget, tickets
from tests.billing.test_collecting import bill
from tests.factories import NOW, event, make_meter, send
from tests.staff import messages_of, sign_in, text_of

__all__ = ["bot"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _on_the_day_of_the_story() -> Iterator[None]:
    cache.clear()
    with time_machine.travel(NOW, tick=False):
        yield
    cache.clear()


@pytest.fixture
def clerk() -> Client:
    return sign_in("Billing clerk")


def page(name: str, *arguments: Any) -> str:
    return reverse(f"admin:billing_budget_{name}", args=arguments)


def form(bot: Workload, **fields: Any) -> dict[str, Any]:
    return {
        "name": "Bot", "measure": "cost", "workload": bot.pk, "currency": "USD", "amount": "50.00",
        "thresholds": "50, 80 %, 100", "forecast_alarm": "on", "emails": "anna@acme.example\nbob@acme.example",
        "active": "on",
    } | fields  # fmt: skip


def test_a_budget_is_written_looked_at_at_once_and_shown(clerk: Client, bot: Workload) -> None:
    calls(23_700)
    added = clerk.post(page("add"), form(bot), follow=True)
    assert ">Bot</a>” was added successfully." in messages_of(added)
    made = Budget.objects.get()
    assert (made.thresholds, made.emails) == ([50, 80, 100], ["anna@acme.example", "bob@acme.example"])
    assert (made.made_by, made.alarms.count()) == ("billing-clerk", 3)
    listed = text_of(clerk.get(page("changelist")))
    for told in ("Support bot: cost", "Going to exceed", "$47.40 of $50.00 (94.8 %)", "$71.10"):
        assert told in listed, told
    shown = clerk.get(page("change", made.pk))
    text = text_of(shown)
    assert "80 % of $50.00 reached in November 2026" in text
    assert "is said from day 3 on" in text
    assert shown.context["adminform"].form["amount"].value() == "50.00"
    assert [value for _, value in shown.context["figures"]] == ["94.8 %", "$47.40", "$71.10", "$50.00"]
    assert clerk.get(shown.context["behind"]).status_code == 200
    budget_line, pace, bars = json.loads(shown.context["chart"])["datasets"]
    assert bars["data"][3:6] == [0, 47.4, 47.4]
    assert (bars["data"][19], bars["data"][20]) == (47.4, None)
    assert (pace["data"][18], pace["data"][19], round(pace["data"][29], 6)) == (None, 47.4, 71.1)
    assert set(budget_line["data"]) == {50}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": ""}, "name"),
        ({"amount": ""}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "abc"}, "amount"),
        ({"thresholds": "many"}, "thresholds"),
        ({"thresholds": ""}, "thresholds"),
        ({"thresholds": "0"}, "thresholds"),
        ({"emails": "anna"}, "emails"),
        ({"workload": ""}, "workload"),
        ({"plan_code": "support"}, "workload"),
        ({"measure": "spend"}, "workload"),
        ({"currency": "EUR"}, "currency"),
        ({"measure": "margin"}, "amount"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(
    clerk: Client, bot: Workload, fields: dict[str, Any], wrong: str
) -> None:
    refused = clerk.post(page("add"), form(bot, **fields))
    assert wrong in refused.context["adminform"].form.errors
    assert not Budget.objects.exists()


def test_a_margin_is_shown_with_what_is_billed_and_what_it_cost(clerk: Client, bot: Workload) -> None:
    calls(23_700)
    tickets(120)
    made = margin_budget(customer=Customer.objects.get(), least_percent=Decimal("80.5"))
    check_budgets(now=NOW)
    shown = clerk.get(page("change", made.pk))
    assert shown.context["badge"] == ("over", "Margin too low")
    assert [value for _, value in shown.context["figures"]] == ["80.2 %", "$240.00", "$47.40", "80.5 %"]


def test_unknown_cost_is_said_on_list_and_page(clerk: Client, bot: Workload) -> None:
    make_meter("gpu_seconds")
    calls(100)
    send(event("gpu", meter="gpu_seconds", value="9", workload="bot", occurred_at="2026-11-05T10:00:00Z"))
    made = budget(workload=bot)
    check_budgets(now=NOW)
    listed = text_of(clerk.get(page("changelist")))
    assert "Some cost is unknown" in listed
    assert "at least $0.20 of $50.00" in listed
    assert "Gpu Seconds: There is no cost rate" in text_of(clerk.get(page("change", made.pk)))


def test_looking_now_is_a_right_of_its_own_and_the_list_costs_the_same(clerk: Client, bot: Workload) -> None:
    made = budget(workload=bot)
    calls(30_000)
    look = page("look", made.pk)
    assert sign_in("Read only").post(look).status_code == 403
    assert clerk.get(look).status_code == 404
    assert "3 new alarms" in messages_of(clerk.post(look, follow=True))

    def queries() -> int:
        with CaptureQueriesContext(connection) as made:
            clerk.get(page("changelist"))
        return len(made)

    few = queries()
    for n in range(6):
        budget(name=f"b{n}", workload=bot)
    check_budgets(now=NOW)
    assert queries() == few


def test_the_dashboard_names_budgets_that_are_exceeded_or_going_to_be(clerk: Client, bot: Workload) -> None:
    bill("240.00", code="other")
    budget(workload=bot, name="Bot of November")
    budget(workload=bot, name="Plenty", amount=Decimal(5000))
    index = reverse("admin:index")
    assert "Bot of November" not in text_of(clerk.get(index))
    calls(23_700)
    check_budgets(now=NOW)
    shown = text_of(clerk.get(index))
    assert "Bot of November</a>: going to exceed." in shown
    assert "Plenty" not in shown
    with time_machine.travel(NOW + timedelta(days=30), tick=False):
        assert "Bot of November" not in text_of(clerk.get(index))


def test_a_budget_is_deleted_with_its_alarms(clerk: Client, bot: Workload) -> None:
    made = budget(workload=bot)
    calls(30_000)
    check_budgets(now=NOW)
    clerk.post(page("delete", made.pk), {"post": "yes"})
    assert not Budget.objects.exists()


def test_the_file_has_the_budgets_of_the_list_and_runs_no_formula(clerk: Client, bot: Workload) -> None:
    calls(23_700)
    budget(workload=bot, name="=1+1")
    budget(workload=bot, name="Off", active=False)
    check_budgets(now=NOW)
    answer = clerk.get(page("export"), {"active__exact": "1"})
    head, *rows = csv.reader(answer.getvalue().decode().splitlines())
    assert len(rows) == 1
    row = dict(zip(head, rows[0], strict=True))
    assert (row["name"], row["workload"], row["currency"], row["amount"]) == ("'=1+1", "bot", "USD", "50")
    assert (row["state"], row["spent"], row["forecast"], row["percent"]) == (
        "Going to exceed",
        "47.4",
        "71.1",
        "94.8",
    )
    assert (row["alarms_this_month"], row["checked_at"]) == ("3", "2026-11-20T12:00:00Z")
    assert len(list(csv.reader(clerk.get(page("export")).getvalue().decode().splitlines()))) == 3
