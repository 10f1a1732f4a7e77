"""The overview: usage and amount so far, from the function that makes the invoice."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.agreed_changes import Author
from billing.changing import cancel, change_quantity, pause
from billing.closing import close_period
from billing.collecting import record_payment
from billing.ending import end_subscription
from billing.models import Invoice, LimitSetter, Plan, Subscription
from billing.months import Month
from billing.overriding import read_overrides
from billing.portal.chart import usage_chart
from billing.previewing import preview_invoice
from billing.restricting import set_limit
from billing.subscribing import subscribe
from customers.models import BillTo, Customer
from metering.models import Meter
from metering.periods import Period
from tests.billing.money import credit, give
from tests.billing.portal.conftest import MID_NOVEMBER, sign_in_again
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, send, send_tickets

HOME = "/portal/"
FEE = {"kind": "subscription", "label": "Platform fee", "amount": "49.00", "timing": "in_arrears"}
NOVEMBER = "2026-11-03T10:00:00Z"


def home(client: Client, **query: str) -> str:
    answer = client.get(HOME, query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_usage_so_far_costs_what_the_preview_says(anna: Client, acme: Customer) -> None:
    send_tickets(43, occurred_at=NOVEMBER)
    text = home(anna)
    assert "43 tickets × $2.00 = $86.00" in text
    assert preview_invoice(Subscription.objects.get(), now=MID_NOVEMBER).total == Decimal(86)
    assert "So far in 1–30 November 2026" in text
    assert "As of 20 November 2026, 13:00, Europe/Berlin time" in text


def test_an_amount_so_far_is_no_forecast(anna: Client, acme: Customer) -> None:
    send_tickets(10, occurred_at=NOVEMBER)
    text = home(anna).lower()
    for word in ("forecast", "estimate", "expected", "projected"):
        assert word not in text


def test_looking_at_the_overview_writes_no_invoice(anna: Client, acme: Customer) -> None:
    send_tickets(10, occurred_at=NOVEMBER)
    home(anna)
    assert not Invoice.objects.exists()


def test_no_usage_is_zero_and_says_so(anna: Client, acme: Customer) -> None:
    Subscription.objects.update(start_on=date(2026, 11, 1))
    text = home(anna)
    assert "$0.00" in text
    assert "Nothing used since 1 November 2026." in text
    assert "Your first invoice will stand here" in text


def test_the_plan_is_said_in_plain_words(anna: Client) -> None:
    text = home(anna)
    assert "Support Outcome Plan" in text
    assert "$2.00 per ticket" in text
    assert "Billed monthly in USD, since 1 October 2026." in text


def test_prices_are_those_agreed_with_the_customer(anna: Client, acme: Customer) -> None:
    subscription = Subscription.objects.get()
    overrides = read_overrides(subscription.plan, [{"rate": 0, "terms": TICKETS | {"unit_amount": "1.80"}}])
    Subscription.objects.update(overrides=overrides)
    subscribe(
        acme,
        plan=make_plan(FEE, code="fee", name="Fee", minimum_amount=Decimal(60)),
        start_on=date(2026, 11, 1),
    )
    send_tickets(10, occurred_at=NOVEMBER)
    text = home(anna)
    assert "10 tickets × $1.80 = $18.00" in text
    assert "<dd>$1.80 per ticket</dd>" in text
    assert "$2.00" not in text
    assert "<dd>$49.00 per month, in arrears, by days for a part of a month</dd>" in text
    assert "<dd>At least $60.00 of usage and fees per invoice</dd>" in text


def test_a_customer_without_a_plan_is_told_so(plan: Plan, sign_in: Callable[[Customer], Client]) -> None:
    assert "No plan at the moment" in home(sign_in(make_customer("planless")))


def test_a_plan_that_begins_tomorrow_here_does_not_run_yet(
    plan: Plan, sign_in: Callable[[Customer], Client]
) -> None:
    auckland = make_customer("kiwi", timezone="Pacific/Auckland")
    subscribe(auckland, plan=plan, start_on=date(2026, 11, 21))
    client = sign_in(auckland)
    with time_machine.travel(datetime(2026, 11, 20, 10, 59, tzinfo=UTC), tick=False):
        assert "No plan at the moment" in home(client)
    with time_machine.travel(datetime(2026, 11, 20, 11, 0, tzinfo=UTC), tick=False):
        assert "So far in 21–30 November 2026" in home(client)


def test_a_plan_that_ended_runs_no_more(anna: Client, acme: Customer) -> None:
    end_subscription(Subscription.objects.get(), end_on=date(2026, 11, 20))
    assert "No plan at the moment" in home(anna)


def test_usage_that_cannot_be_priced_is_said_without_internal_words(anna: Client, acme: Customer) -> None:
    stairs = {
        "kind": "usage",
        "meter": "seats",
        "model": "stairstep",
        "tiers": [{"up_to": "5", "flat_amount": "10"}],
    }
    make_meter("seats", unit="seat")
    subscribe(acme, plan=make_plan(stairs, code="seats", name="Seats"), start_on=date(2026, 10, 1))
    send_tickets(6, first=500, occurred_at=NOVEMBER, meter="seats")
    text = home(anna)
    assert "The amount cannot be shown at the moment." in text
    assert "beyond the last step" not in text
    assert "0 tickets × $2.00 = $0.00" in text, "the other plan is still shown"


def test_a_period_that_is_over_is_shown_until_its_invoice_is_issued(anna: Client, acme: Customer) -> None:
    send_tickets(120)
    text = home(anna)
    assert "1–31 October 2026: invoice being prepared" in text
    assert "$240.00 so far" in text
    close_period(Month(2026, 10), now=MID_NOVEMBER, grace_days=99)
    assert "invoice being prepared" in home(anna), "a draft is no invoice yet"
    close_period(Month(2026, 10), now=MID_NOVEMBER, grace_days=0)
    text = home(anna)
    assert "being prepared" not in text
    assert "INV-2026-000001" in text


def test_the_last_period_of_a_plan_that_ended_is_shown_too(anna: Client, acme: Customer) -> None:
    send_tickets(3)
    end_subscription(Subscription.objects.get(), end_on=date(2026, 10, 16))
    assert "1–15 October 2026: invoice being prepared" in home(anna)


def test_the_chart_has_a_bar_for_each_local_day(acme: Customer) -> None:
    # 23:30 UTC on 2 November is 00:30 on 3 November in Berlin.
    send_tickets(2, occurred_at="2026-11-02T22:30:00Z")
    send_tickets(5, first=100, occurred_at="2026-11-02T23:30:00Z")
    chart = usage_chart(
        Meter.objects.get(),
        customer_id=acme.pk,
        during=Period(date(2026, 11, 1), date(2026, 12, 1), "Europe/Berlin"),
        now=MID_NOVEMBER,
    )
    assert len(chart.bars) == 30
    assert [(bar.label, bar.value) for bar in chart.bars[:4]] == [
        ("1 November 2026", "0 tickets"),
        ("2 November 2026", "2 tickets"),
        ("3 November 2026", "5 tickets"),
        ("4 November 2026", "0 tickets"),
    ]
    # The scale ends at 6: five sixths and two sixths of the height.
    assert (chart.top, chart.middle) == ("6", "3")
    assert (chart.bars[2].height, chart.bars[2].y) == ("83.333%", "16.667%")
    assert chart.bars[1].height == "33.333%"
    assert [bar.label for bar in chart.bars if bar.is_now] == ["20 November 2026"]
    assert len([bar for bar in chart.bars if bar.is_ahead]) == 10
    assert chart.summary == "7 tickets since 1 November 2026; most on 3 November 2026: 5 tickets."


@pytest.mark.parametrize(
    ("start", "end", "each", "bars"),
    [
        (date(2026, 11, 1), date(2026, 12, 1), "day", 30),
        (date(2026, 10, 1), date(2027, 1, 1), "week", 14),
        (date(2026, 1, 1), date(2027, 1, 1), "month", 12),
    ],
)
def test_longer_periods_have_longer_bars(
    acme: Customer, start: date, end: date, each: str, bars: int
) -> None:
    chart = usage_chart(
        Meter.objects.get(), customer_id=acme.pk, during=Period(start, end, "UTC"), now=MID_NOVEMBER
    )
    assert (chart.each, len(chart.bars)) == (each, bars)


def test_outcomes_that_settle_tomorrow_are_in_the_table_whose_sum_they_are_in(
    db: None, sign_in: Callable[[Customer], Client]
) -> None:
    make_meter(verification_hours=24)
    acme = make_customer()
    subscribe(acme, plan=make_plan(), start_on=date(2026, 10, 1))
    send_tickets(5, occurred_at=NOVEMBER)
    send_tickets(2, first=100, occurred_at="2026-11-20T11:00:00Z")
    text = home(sign_in(acme))
    table = text[text.index("<details>") : text.index("</details>")]
    assert re.findall(r"(\d+) tickets?</td>", table)[-2:] == ["2", "7"], "tomorrow, and the sum"
    assert "21 November 2026: 2 tickets</title>" in text
    assert "stand on the day on which they become final" in text


def test_the_invoice_before_stands_beside_what_is_so_far(anna: Client, october: Invoice) -> None:
    text = " ".join(home(anna).split())
    assert "The invoice before: $240.00 for 1–31 October 2026" in text


def test_the_table_behind_the_chart_lists_the_days_so_far(anna: Client) -> None:
    send_tickets(5, occurred_at=NOVEMBER)
    text = home(anna)
    table = text[text.index("<details>") : text.index("</details>")]
    assert table.count('<th scope="row">') == 20 + 1  # days until today, and the sum
    assert "21 November 2026" not in table


def test_a_second_meter_is_chosen_by_its_link(anna: Client, acme: Customer) -> None:
    make_meter("calls", label="API Calls", unit="call")
    rate: dict[str, Any] = {"kind": "usage", "meter": "calls", "model": "per_unit", "unit_amount": "0.01"}
    subscribe(acme, plan=make_plan(rate, code="calls", name="Calls"), start_on=date(2026, 11, 1))
    assert "Tickets Resolved</bdi> per day" in home(anna)
    assert "API Calls</bdi> per day" in home(anna, meter="calls")


def test_names_are_escaped(plan: Plan, sign_in: Callable[[Customer], Client]) -> None:
    customer = make_customer("evil", name="<script>alert(1)</script>")
    Meter.objects.update(label="<b>bold</b>")
    subscribe(customer, plan=plan, start_on=date(2026, 10, 1))
    text = home(sign_in(customer))
    assert "<script>" not in text
    assert "<b>bold" not in text


def test_the_overview_asks_the_database_as_often_for_many_events_as_for_few(
    anna: Client, acme: Customer
) -> None:
    send_tickets(1, occurred_at=NOVEMBER)
    with CaptureQueriesContext(connection) as few:
        home(anna)
    send_tickets(300, first=1000, occurred_at=NOVEMBER)
    with CaptureQueriesContext(connection) as many:
        home(anna)
    assert len(many) == len(few) <= 27


def test_more_plans_ask_the_database_no_oftener(anna: Client, acme: Customer) -> None:
    subscribe(acme, plan=make_plan(FEE, code="first", name="first"), start_on=date(2026, 10, 1))
    with CaptureQueriesContext(connection) as one:
        home(anna)
    for code in ("second", "third"):
        subscribe(acme, plan=make_plan(FEE, code=code, name=code), start_on=date(2026, 10, 1))
    with CaptureQueriesContext(connection) as four:
        assert home(anna).count("So far in 1–30 November 2026") == 4
    assert len(four) == len(one)


def test_more_of_everything_asks_the_database_no_oftener(anna: Client, acme: Customer) -> None:
    """Plans, meters, outcome meters, limits in money and in units, children, credits, coupons, invoices, disputes."""
    _more_of_everything(acme, 1)
    with CaptureQueriesContext(connection) as one:
        home(anna)
    for n in (2, 3):
        _more_of_everything(acme, n)
    with CaptureQueriesContext(connection) as three:
        text = home(anna)
    assert text.count("So far in 1–30 November 2026") == 1 + 3 * 2
    assert (text.count("% used") or text.count("%).")) >= 6
    assert [text.count(f"Child {n}") > 0 for n in (1, 2, 3)] == [True] * 3
    assert len(three) == len(one) <= 50


def _more_of_everything(acme: Customer, n: int) -> None:
    calls = make_meter(f"calls{n}", label=f"Calls {n}", unit="call")
    solved = make_meter(f"solved{n}", label=f"Solved {n}", once_per_subject="ever", verification_hours=24)
    rates: list[dict[str, Any]] = [
        {"kind": "usage", "meter": meter.code, "model": "per_unit", "unit_amount": "0.5"}
        for meter in (calls, solved)
    ]
    plan = make_plan(*rates, FEE, code=f"more{n}", name=f"More {n}")
    subscribe(acme, plan=plan, start_on=date(2026, 10, 1))
    subscribe(acme, plan=make_plan(FEE, code=f"fee{n}", name=f"Fee {n}"), start_on=date(2026, 10, 1))
    child = make_customer(f"child{n}", name=f"Child {n}", parent=acme, bill_to=BillTo.PARENT)
    subscribe(child, plan=plan, start_on=date(2026, 11, 1))
    for customer in ("acme", child.code):
        for meter in (calls, solved):
            for day in (2, 12):
                at = f"2026-11-{day:02}T10:00:00Z"
                key = f"{customer}-{meter.code}-{day}"
                send(event(key, meter=meter.code, customer=customer, occurred_at=at, subject=key))
    set_limit(acme, calls, set_by=LimitSetter.STAFF, quantity=Decimal(2), amount=None)
    set_limit(acme, solved, set_by=LimitSetter.STAFF, quantity=None, amount=Decimal(1))
    credit(acme, "5", name=f"Credit {n}")
    give(acme, "1", code=f"coupon{n}", name=f"Coupon {n}")


def test_a_credit_that_one_plan_uses_is_not_shown_on_the_other(anna: Client, acme: Customer) -> None:
    subscribe(acme, plan=make_plan(FEE, code="second", name="Second"), start_on=date(2026, 11, 1))
    credit(acme, "100")
    send_tickets(40, occurred_at=NOVEMBER)
    # $100.00 pay the tickets of $80.00 and $20.00 of the fee of $49.00.
    text = home(anna)
    assert text.count("Credit: 100 credit") == 2
    assert "-$80.00" in text
    assert "-$20.00" in text
    assert "$29.00" in text


def test_what_is_to_pay_stands_first_with_its_day_and_the_way(
    anna: Client, acme: Customer, october: Invoice, settings: Any
) -> None:
    settings.ISSUER = {"name": "Us", "payment": "IBAN DE00 1234\nBIC TESTDEFF"}
    text = " ".join(home(anna).split())
    assert text.index("$240.00") < text.index("So far in")
    assert "One invoice, due by 4 December 2026." in text
    assert "IBAN DE00 1234" in text
    assert "overdue" not in text
    with time_machine.travel(datetime(2026, 12, 24, 12, 0, tzinfo=UTC), tick=False):
        text = " ".join(home(sign_in_again(acme)).split())
    assert "It is overdue: it was due by 4 December 2026." in text
    assert '<span class="badge overdue">Overdue</span>' in text


def test_nothing_to_pay_is_said(anna: Client, october: Invoice) -> None:
    record_payment(october, amount=Decimal(240), received_on=date(2026, 11, 20), by="clerk", now=MID_NOVEMBER)
    text = " ".join(home(anna).split())
    assert '<p class="amount number">$0.00</p> <p class="quiet">Nothing is due at the moment.</p>' in text


def test_seats_a_pause_and_a_planned_end_are_said_in_words(anna: Client, acme: Customer) -> None:
    subscription = Subscription.objects.get(customer=acme)
    author = Author(MID_NOVEMBER, "anna")
    change_quantity(subscription, 3, when="now", author=author)
    pause(subscription, when="now", until=date(2026, 11, 25), author=author)
    cancel(subscription, when="period_end", author=author)
    text = home(anna)
    assert "3 seats." in text
    assert "Paused: no fixed fees until 25 November 2026." in text
    assert "It ends before 1 December 2026." in text
    assert "drawn up from 1 December 2026 on" in text
