"""The page of quality, its file, and the forecast of the running period."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
import time_machine
from django.urls import reverse

from billing.forecasting import forecasts
from metering.models import Meter
from tests.factories import event, make_customer, make_meter, make_subscription, send
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
    assert "There is no customer with the code" in text_of(staff.get(reverse(PAGE), {"customer": "nobody"}))
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
