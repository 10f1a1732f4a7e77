"""Staff write the examples that guard a plan, and see on activation which fail and why."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Plan, PlanExample, PlanStatus
from billing.pricing import create_plan
from tests.factories import TICKETS, make_meter, make_plan
from tests.forms import form_of
from tests.staff import messages_of, sign_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return sign_in()


@pytest.fixture
def draft() -> Plan:
    make_meter()
    return create_plan(
        code="support", name="Support", currency="USD", billing_period="monthly", rates=[TICKETS]
    )


def example(**fields: Any) -> dict[str, Any]:
    return {
        "name": "Busy month", "quantity": "", "usage_meter": ["tickets_resolved", ""], "usage_quantity": ["150", ""],
        "expected_amount": "300.00",
    } | fields  # fmt: skip


def add_page(plan: Plan) -> str:
    return reverse("admin:billing_plan_example_add", args=[plan.pk])


def test_the_first_example_is_offered_ready_made(staff: Client, draft: Plan) -> None:
    shown = staff.get(reverse("admin:billing_plan_change", args=[draft.pk]))
    assert "?first=1" in text_of(shown)
    page = f"{add_page(draft)}?first=1"
    staff.post(page, form_of(staff.get(page), "example_form"))
    stored = PlanExample.objects.get()
    assert (stored.usage, stored.expected_amount) == ([{"meter": "tickets_resolved", "quantity": "120"}], 240)


def test_an_example_is_added_changed_and_removed(staff: Client, draft: Plan) -> None:
    staff.post(add_page(draft), example())
    stored = PlanExample.objects.get()
    assert (stored.name, stored.seats, stored.expected_amount) == ("Busy month", 1, 300)
    page = reverse("admin:billing_plan_example", args=[draft.pk, stored.pk])
    sent = form_of(staff.get(page), "example_form")
    staff.post(page, sent | {"expected_amount": "310"})
    assert PlanExample.objects.get(pk=stored.pk).expected_amount == 310
    shown = text_of(staff.get(reverse("admin:billing_plan_change", args=[draft.pk])))
    assert "$310.00" in shown
    assert "An example fails: correct it" in shown
    staff.post(reverse("admin:billing_plan_example_remove", args=[draft.pk, stored.pk]))
    assert not PlanExample.objects.exists()


def test_working_it_out_takes_the_amount_and_writes_nothing(staff: Client, draft: Plan) -> None:
    answer = staff.post(add_page(draft), example(expected_amount="", _work="1"))
    assert answer.context["form"]["expected_amount"].value() == "300.00"
    assert (answer.context["worked"].passes, answer.context["total"]) == (True, "$300.00")
    wrong = staff.post(add_page(draft), example(expected_amount="299", _work="1"))
    assert "It comes to 300.00, not to 299" in text_of(wrong)
    assert not PlanExample.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "name of 1 to 200 characters"),
        ({"quantity": "many"}, "number of seats"),
        ({"expected_amount": ""}, "let it be worked out"),
        ({"expected_amount": "lots"}, "decimal number"),
        ({"usage_meter": ["", ""]}, "meter is missing"),
        ({"usage_quantity": ["x", ""]}, "decimal number"),
    ],
)
def test_a_bad_example_is_refused_where_it_is_wrong(
    staff: Client, draft: Plan, fields: Any, words: str
) -> None:
    answer = staff.post(add_page(draft), example(**fields))
    assert answer.status_code == 200
    assert words in text_of(answer)
    assert not PlanExample.objects.exists()


def test_two_examples_never_have_one_name(staff: Client, draft: Plan) -> None:
    staff.post(add_page(draft), example())
    assert "There is an example “Busy month” already." in text_of(staff.post(add_page(draft), example()))
    assert PlanExample.objects.count() == 1


def test_activation_shows_which_example_fails_with_both_amounts_and_its_working(
    staff: Client, draft: Plan
) -> None:
    staff.post(add_page(draft), example(expected_amount="310"))
    page = reverse("admin:billing_plan_activate", args=[draft.pk])
    shown = text_of(staff.get(page))
    for words in ("must come to $310.00, comes to $300.00", "150 tickets × $2.00", "disabled"):
        assert words in shown
    assert "fails" in messages_of(staff.post(page, follow=True))
    draft.refresh_from_db()
    assert draft.status == PlanStatus.DRAFT


def test_examples_of_an_active_plan_stay(staff: Client) -> None:
    make_meter()
    plan = make_plan()
    assert "its examples stay" in messages_of(staff.post(add_page(plan), example(), follow=True))
    assert not PlanExample.objects.exists()
