"""The page of quality, its file, and the forecast of the running period."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.closing import close_period
from billing.forecasting import WholeForecast, forecast_of_all, forecasts
from billing.months import Month
from customers.models import Customer
from metering.models import Meter
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send
from tests.metering.test_quality import sent
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db
PAGE = "admin:billing_outcome_quality"
NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)


@time_machine.travel(NOW, tick=False)
def test_the_page_says_the_rates_and_the_file_has_every_month_and_group() -> None:
    sent()
    staff = sign_in("Read only")
    page = text_of(staff.get(reverse(PAGE), {"group_by": "dimension:kind"}))
    assert "66.7 %" in page  # 4 settled of 6 that are decided
    assert "20.0 %" in page  # 1 of 5 reversed
    answer = staff.get(reverse(PAGE), {"group_by": "dimension:kind", "format": "csv"})
    rows = list(csv.reader(answer.content.decode().splitlines()))
    assert [row[:5] for row in rows[1:]] == [
        ["month", "2026-09", "4", "4", "3"], ["month", "2026-10", "3", "3", "1"],
        ["group", "question", "5", "5", "3"], ["group", "refund", "2", "2", "1"],
        ["all", "", "7", "7", "4"],
    ]  # fmt: skip
    by_customer = staff.get(reverse(PAGE), {"group_by": "customer"}).context["rows"]
    assert [row["name"] for row in by_customer] == ["Acme"]  # as people know it; files have the code


@time_machine.travel(NOW, tick=False)
def test_what_names_no_workload_or_dimension_is_called_so_and_a_single_month_is_seen() -> None:
    """Chart.js as the admin sets it draws no points: of one month there would be nothing to see."""
    make_meter(dimensions=["kind"], once_per_subject="period")
    make_customer()
    send(event("evt-1", subject="ticket-1", occurred_at="2026-10-03T10:00:00Z"))
    staff = sign_in("Read only")
    page = staff.get(reverse(PAGE))
    assert [row["name"] for row in page.context["rows"]] == ["No workload"]
    by_kind = staff.get(reverse(PAGE), {"group_by": "dimension:kind"})
    assert [row["name"] for row in by_kind.context["rows"]] == ["Not given"]
    lines = json.loads(page.context["rates"])["datasets"]
    assert [len([each for each in line["data"] if each is not None]) for line in lines] == [1, 1]
    assert {line["pointStyle"] for line in lines} == {"circle"}


@time_machine.travel(NOW, tick=False)
def test_attempts_are_those_of_the_meter_unless_others_are_asked_for() -> None:
    meter = sent(attempts_meter=make_meter("conversations"))
    staff = sign_in("Read only")
    assert "No events of Conversations" in text_of(staff.get(reverse(PAGE)))
    send(*(event(f"a{n}", meter="conversations", occurred_at="2026-09-05T09:00:00Z") for n in range(9)))
    assert "4 settled of 9 events of Conversations" in text_of(staff.get(reverse(PAGE)))
    asked = {"meter": meter.code, "group_by": "workload", "attempts": "-"}
    assert "4 settled of 7 attempted" in text_of(staff.get(reverse(PAGE), asked))
    asked["attempts"] = meter.code
    assert "4 settled of 7 events of Tickets Resolved" in text_of(staff.get(reverse(PAGE), asked))


@time_machine.travel(NOW, tick=False)
def test_what_cannot_be_asked_is_said_at_its_field() -> None:
    staff = sign_in()
    assert "No meter counts outcomes yet" in text_of(staff.get(reverse(PAGE)))
    sent()
    assert "There is no customer with the name or code" in text_of(
        staff.get(reverse(PAGE), {"customer": "nobody"})
    )
    assert "Null characters are not allowed" in text_of(staff.get(reverse(PAGE), {"customer": "a\x00"}))
    assert "Select a valid choice" in text_of(staff.get(reverse(PAGE), {"group_by": "e.id"}))


def test_the_running_period_comes_to_what_settled_and_what_past_reversals_leave_of_the_pending() -> None:
    """Of 4 decided tickets 1 was reversed; 2 settled, 4 pending: 2 to 6, expected 2 + 4 x 3/4 = 5, at $2.00."""
    make_meter(verification_hours=Decimal(24))
    customer = make_customer(email="a@acme.example")
    make_subscription(customer)
    send(
        *(event(f"s{n}", subject=f"s{n}", occurred_at="2026-09-05T10:00:00Z") for n in range(2)),
        *(event(f"o{n}", subject=f"o{n}", occurred_at="2026-10-05T10:00:00Z") for n in range(2)),
        *(event(f"p{n}", subject=f"p{n}", occurred_at="2026-10-20T10:00:00Z") for n in range(4)),
        event("b", occurred_at="2026-09-05T11:00:00Z", reverses={"key": "s0"}),
    )
    (found,) = forecasts(customer, list(Meter.objects.all()), now=NOW)
    assert (found.least, found.expected, found.most) == (2, 5, 6)
    assert found.reversal_rate == Fraction(1, 4)
    assert found.amounts == (Decimal("4.00"), Decimal("10.00"), Decimal("12.00"))
    with time_machine.travel(NOW, tick=False):
        page = text_of(sign_in().get(reverse("admin:customers_customer_change", args=[customer.pk])))
    assert "Outcomes of the running period" in page
    assert "$10.00" in page


def test_the_forecast_of_all_adds_up_those_of_the_customers_in_as_many_queries_for_many_as_for_one() -> None:
    """Acme: 2 settled, 4 pending, 1 of 4 reversed before: 2, 5, 6. Beta without a past of its own has 2 pending, and
    the share of all, 1/4: 0, 1.5, 2. At $2.00; Euro's single one in EUR; by dimension nobody knows the price."""
    meter = make_meter(verification_hours=Decimal(24), dimensions=["kind"])
    make_subscription(make_customer())
    send(
        *(event(f"s{n}", subject=f"s{n}", occurred_at="2026-09-05T10:00:00Z") for n in range(2)),
        *(event(f"o{n}", subject=f"o{n}", occurred_at="2026-10-05T10:00:00Z") for n in range(2)),
        *(event(f"p{n}", subject=f"p{n}", occurred_at="2026-10-20T10:00:00Z") for n in range(4)),
        event("b", occurred_at="2026-09-05T11:00:00Z", reverses={"key": "s0"}),
    )

    def cost() -> tuple[int, list[WholeForecast]]:
        with CaptureQueriesContext(connection) as queries:
            found = forecast_of_all(now=NOW)
        return len(queries), found

    cost()
    queries_of_one, (one,) = cost()
    assert (one.customers, one.least, one.expected, one.most) == (1, 2, 5, 6)
    make_subscription(make_customer("beta"))
    send(*(event(f"q{n}", customer="beta", occurred_at="2026-10-20T10:00:00Z") for n in range(2)))
    queries, (two,) = cost()
    assert queries == queries_of_one
    assert (two.customers, two.least, two.expected, two.most) == (2, 2, Decimal("6.5"), 8)
    assert two.amounts == {"USD": (Decimal("4.00"), Decimal("13.00"), Decimal("16.00"))}

    euro = make_plan(code="euro", currency="EUR")
    make_subscription(make_customer("euro", currency="EUR"), euro)
    rows = [{"match": {}, "unit_amount": "3"}]
    by_kind = TICKETS | {"dimensions": ["kind"], "rows": rows}
    del by_kind["unit_amount"]
    make_subscription(make_customer("kinds"), make_plan(by_kind, code="kinds"))
    send(
        event("e", customer="euro", occurred_at="2026-10-05T10:00:00Z"),
        event("k", customer="kinds", occurred_at="2026-10-05T10:00:00Z"),
    )
    (whole,) = forecast_of_all(now=NOW)
    assert (whole.meter, whole.customers, whole.unpriced) == (meter, 4, 1)
    assert (whole.least, whole.most) == (4, 10)
    assert whole.amounts["EUR"] == (Decimal("2.00"), Decimal("2.00"), Decimal("2.00"))
    # Of all, 1 of 6 was reversed now: Beta's 2 become 1.67 at $2.00.
    assert whole.amounts["USD"] == (Decimal("4.00"), Decimal("13.33"), Decimal("16.00"))
    each = [forecasts(customer, [meter], now=NOW)[0] for customer in Customer.objects.all()]
    for name in ("least", "expected", "most"):
        assert sum(getattr(one, name) for one in each) == getattr(whole, name)


@time_machine.travel(NOW, tick=False)
def test_the_page_of_the_forecast_is_what_the_dashboard_fetches() -> None:
    cache.clear()
    staff = sign_in("Read only")
    page = reverse("admin:billing_outcome_forecast")
    assert "No outcomes are billed now" in text_of(staff.get(page))
    make_meter(verification_hours=Decimal(24))
    make_subscription(make_customer(), start_on=date(2026, 9, 1))
    send(
        event("s", occurred_at="2026-09-05T10:00:00Z"),
        *(event(f"o{n}", occurred_at="2026-10-05T10:00:00Z") for n in range(3)),
    )
    cache.clear()  # five minutes later
    shown = text_of(staff.get(page))
    assert 'id="forecast"' in shown
    assert "$6.00" in shown
    assert "1 customer<" in shown
    close_period(Month(2026, 9), now=NOW, grace_days=0)
    dashboard = text_of(staff.get(reverse("admin:index")))
    assert f'data-live-from="{page}"' in dashboard
