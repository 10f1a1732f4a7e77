"""Staff compare versions, move customers, and see what past usage would have cost."""

from __future__ import annotations

import pytest
from django.urls import reverse

from billing.closing import close_period
from billing.models import Plan, Subscription
from billing.months import Month
from billing.pricing import activate_plan, change_draft, create_version
from tests.factories import (
    NOW,
    TICKETS,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send_tickets,
)
from tests.staff import messages_of, sign_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def second(time_machine: object) -> Plan:
    """Version 2 at $2.50, active; Acme has version 1 and 120 tickets on October's invoice."""
    time_machine.move_to(NOW, tick=False)  # type: ignore[attr-defined]
    make_meter()
    first = make_plan()
    make_subscription(make_customer(), first)
    send_tickets(120)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    draft = change_draft(create_version(first), rates=[TICKETS | {"unit_amount": "2.50"}])
    return activate_plan(draft, now=NOW)


def test_the_effect_is_shown_and_only_the_chosen_move(second: Plan) -> None:
    staff = sign_in()
    page = reverse("admin:billing_plan_moves", args=[second.pk])
    shown = text_of(staff.get(page))
    for words in ("$2.00 per ticket", "$2.50 per ticket", "$240.00", "$300.00", "$60.00", "1 Dec 2026"):
        assert words in shown
    assert "Nobody was chosen" in messages_of(staff.post(page, {"on": ""}, follow=True))
    assert Subscription.objects.count() == 1
    chosen = {"on": "2026-12-05", "subscription": Subscription.objects.get().pk}
    assert "1 customer moves to version 2" in messages_of(staff.post(page, chosen, follow=True))
    assert Subscription.objects.get(plan=second).start_on.isoformat() == "2026-12-05"


def test_a_day_that_is_none_moves_nobody(second: Plan) -> None:
    chosen = {"on": "soon", "subscription": Subscription.objects.get().pk}
    answer = sign_in().post(reverse("admin:billing_plan_moves", args=[second.pk]), chosen)
    assert "not a date" in messages_of(answer)
    assert Subscription.objects.count() == 1


def test_what_if_shows_both_sums_and_gives_them_as_csv(second: Plan) -> None:
    staff = sign_in()
    page = reverse("admin:billing_plan_what_if", args=[second.pk])
    shown = text_of(staff.get(page))
    for words in ("$240.00", "$300.00", "+25.0 %", "+$60.00", "October 2026: +$60.00", "month by month"):
        assert words in shown
    rows = staff.get(page, {"format": "csv"}).content.decode().splitlines()
    assert rows[1] == "acme,Acme,2026-10,USD,240.00,300.00,60.00"


def test_who_may_only_read_moves_nobody(second: Plan) -> None:
    staff = sign_in("Read only")
    page = reverse("admin:billing_plan_moves", args=[second.pk])
    assert staff.get(page).status_code == 200
    assert staff.post(page, {"subscription": Subscription.objects.get().pk}).status_code == 403
    assert Subscription.objects.count() == 1


def test_what_if_tells_dearer_from_cheaper_and_finds_customers_by_name(second: Plan) -> None:
    make_customer("globex", name="Globex Travel")
    staff = sign_in()
    page = reverse("admin:billing_plan_what_if", args=[second.pk])
    context = staff.get(page, {"show": "dearer"}).context
    assert (context["counts"], [row["customer"].code for row in context["rows"]]) == (
        {"dearer": 1, "cheaper": 0, "same": 0, "all": 1},
        ["acme"],
    )
    assert [(each["customer"].code, each["width"]) for each in context["shocks"]] == [("acme", "100.0")]
    assert staff.get(page, {"show": "cheaper"}).context["rows"] == []
    assert staff.get(page, {"customers": "acm"}).context["counts"]["all"] == 1
    assert "Nothing to compare with" in text_of(staff.get(page, {"customers": "travel"}))
    assert "No customer matches" in text_of(staff.get(page, {"customers": "nobody"}))


def test_a_long_run_is_asked_for_before_it_begins(second: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.admin.what_if.AT_ONCE", 0)
    staff = sign_in()
    page = reverse("admin:billing_plan_what_if", args=[second.pk])
    assert "1 invoices would be priced again" in text_of(staff.get(page))
    assert staff.get(page, {"run": "1"}).context["counts"]["all"] == 1


def test_the_effect_of_another_day_is_shown_before_anybody_moves(second: Plan) -> None:
    staff = sign_in()
    page = reverse("admin:billing_plan_moves", args=[second.pk])
    shown = staff.get(page, {"on": "2026-12-05"})
    assert "5 Dec 2026" in text_of(shown)
    assert shown.context["sums"] == {"before": "$240.00", "after": "$300.00", "difference": "+$60.00"}
    assert "No customer with another version" in text_of(staff.get(page, {"q": "globex"}))
    assert Subscription.objects.count() == 1
