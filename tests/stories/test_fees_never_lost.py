"""Fees that a void invoice or a planned change of plan once left on no invoice, worked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from billing.auditing import audit
from billing.changing import change_plan, change_quantity
from billing.models import Invoice
from billing.verification import invoices_to_verify, verify
from billing.voiding import void_invoice
from tests.factories import TICKETS, make_customer, make_meter, make_plan, make_subscription
from tests.stories.test_subscription_life import at, by_anna, close, fee, printed, two_plans

pytestmark = pytest.mark.django_db
JUNE = date(2026, 6, 1)


@pytest.fixture(autouse=True)
def _everything_adds_up() -> Iterator[None]:
    yield
    assert verify(invoices_to_verify()).differences == []
    assert [answer.named for answer in audit() if answer.differences] == []


def test_seats_changed_before_a_planned_change_of_plan_are_charged_for_their_own_month() -> None:
    make_meter()
    small = make_plan(fee("10.00", per_seat=True), TICKETS, code="small", name="Small")
    large = make_plan(fee("20.00", per_seat=True), TICKETS, code="large", name="Large")
    seats = make_subscription(make_customer(), small, start_on=JUNE, quantity=5)
    close(5, at(6, 1))
    change_quantity(seats, 8, when=date(2026, 6, 16), author=by_anna(at(6, 16)))
    change_plan(seats, to=large, when=date(2026, 8, 1), author=by_anna(at(6, 20)))
    close(6, at(7, 1))
    # Three seats more for 15 of June's 30 days are 15.00, then 8 seats of July.
    assert printed()[1:] == [
        [("Base: seats changed", "15.00"), ("Base", "80.00"), ("Tickets Resolved", "0.00")]
    ]
    close(7, at(8, 1))
    assert printed()[2:] == [[("Tickets Resolved", "0.00")], [("Base", "160.00")]]


def test_a_fee_at_the_start_whose_invoice_is_void_is_charged_again_also_when_its_month_is_over() -> None:
    two_plans()
    close(5, at(6, 1))
    close(6, at(7, 1))
    assert printed() == [[("Base", "100.00")], [("Base", "100.00"), ("Tickets Resolved", "0.00")]]
    void_invoice(Invoice.objects.get(kind="at_start"), reason="wrong address", by="anna", now=at(7, 2))
    close(5, at(7, 3))
    close(6, at(7, 3))
    close(7, at(8, 1))
    live = printed(status__in=("issued", "paid"))
    assert sorted(amount for lines in live for name, amount in lines if name == "Base") == ["100.00"] * 3
