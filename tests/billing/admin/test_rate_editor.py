"""The price editor: everything a rate can be is written and changed on the page, and rated while it is written."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.admin.rate_preview import preview
from billing.formatting import money
from billing.models import Plan, Rate
from billing.pricing import create_plan
from billing.rating import UsageRate, parse_rate, rate, round_amount
from billing.terms import read_rates
from tests.billing.rating.random_plans import MODELS, random_rate
from tests.factories import make_meter, make_plan
from tests.forms import form_of
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db

NO_LIMITS = {"minimum_amount": None, "maximum_amount": None}


@pytest.fixture
def staff() -> Client:
    return sign_in()


@pytest.fixture
def plan() -> Plan:
    make_meter("m", label="Tokens", unit="token", dimensions=["region", "kind"])
    return create_plan(code="p", name="Plan", currency="USD", billing_period="monthly", rates=[])


def write(staff: Client, plan: Plan, fields: dict[str, Any], kind: str = "usage") -> Any:
    return staff.post(f"{reverse('admin:billing_plan_rate_add', args=[plan.pk])}?kind={kind}", fields)


def usage(plan: Plan, **fields: Any) -> dict[str, Any]:
    from metering.models import Meter

    return {"meter": Meter.objects.get(code="m").pk, "model": "per_unit"} | fields


def look(staff: Client, plan: Plan, fields: dict[str, Any], kind: str = "usage") -> Any:
    return staff.post(f"{reverse('admin:billing_plan_rate_preview', args=[plan.pk])}?kind={kind}", fields)


def rest_last(terms: dict[str, Any]) -> dict[str, Any]:
    return terms | {"rows": sorted(terms.get("rows", []), key=lambda row: not row["match"])}


def test_every_rate_the_api_takes_stands_in_the_editor_and_is_saved_as_it_was(
    staff: Client, plan: Plan
) -> None:
    random = Random(4711)
    models = set()
    for _ in range(30):
        stored = create_plan(
            code=f"p-{len(Plan.objects.all())}", name="P", currency="USD", billing_period="monthly",
            rates=[random_rate(random)],
        ).rates.get()  # fmt: skip
        page = reverse("admin:billing_plan_rate", args=[stored.plan_id, stored.pk])
        answer = staff.post(page, form_of(staff.get(page), "rate_form"))
        assert answer.status_code == 302, answer.context["form"].errors
        saved = Rate.objects.get(pk=stored.pk).terms
        assert rest_last(saved) == rest_last(stored.terms)
        models.add(stored.terms["model"])
    assert models == set(MODELS)


def test_prices_by_dimensions_are_written_row_by_row(staff: Client, plan: Plan) -> None:
    fields = usage(
        plan, dimension=["region", "kind"], per="1000000", tiers_apply="pooled", row=["0", "7", "rest"],
        **{"row_0_match:region": "eu", "row_0_match:kind": "input", "row_0_unit_amount": "10",
           "row_7_match:region": '""', "row_7_unit_amount": "30", "row_rest_unit_amount": "20"},
    )  # fmt: skip
    assert write(staff, plan, fields).status_code == 302
    assert Rate.objects.get().terms == {
        "kind": "usage", "meter": "m", "model": "per_unit", "per": "1000000", "included_units": "0",
        "minimum_amount": None, "maximum_amount": None, "dimensions": ["region", "kind"],
        "tiers_apply": "pooled", "unmatched": None,
        "rows": [
            {"match": match, "unit_amount": price, "included_units": "0"} | NO_LIMITS
            for match, price in (({"region": "eu", "kind": "input"}, "10"), ({"region": ""}, "30"), ({}, "20"))
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "row", "words"),
    [
        ({"row_0_match:region": "eu", "row_0_unit_amount": "x", "row_rest_unit_amount": "1"}, 0, "decimal number"),
        ({"row_0_match:region": "eu", "row_0_unit_amount": "1"}, 1, "“Unit price” is missing"),
        ({"row_0_unit_amount": "1", "row_rest_unit_amount": "1"}, 0, "for which value"),
    ],
)  # fmt: skip
def test_a_bad_row_of_prices_is_refused_at_the_row(
    staff: Client, plan: Plan, fields: Any, row: int, words: str
) -> None:
    answer = write(staff, plan, usage(plan, dimension=["region"], row=["0", "rest"], **fields))
    assert [words in " ".join(each.errors) for each in answer.context["form"].rows] == [row == 0, row == 1]
    assert not Rate.objects.exists()


def test_fees_take_seats_and_timing(staff: Client, plan: Plan) -> None:
    write(
        staff,
        plan,
        {"label": "Seats", "amount": "30", "timing": "in_arrears", "per_seat": "on"},
        "subscription",
    )
    assert Rate.objects.get().terms == {
        "kind": "subscription", "label": "Seats", "amount": "30", "timing": "in_arrears", "prorated": False,
        "per_seat": True,
    }  # fmt: skip


def test_the_preview_rates_what_is_being_written_and_writes_nothing(staff: Client, plan: Plan) -> None:
    fields = usage(plan, unit_amount="0.05", included_units="1000", preview_quantity="1500")
    answer = look(staff, plan, fields)
    shown = answer.context["preview"]
    assert shown["sentence"] == "First 1,000 tokens are included, then $0.05 per token"
    assert (shown["amount"], shown["on_average"]) == ("$25.00", "$0.0166667 per token on average")
    assert [step.amount for step in shown["working"]] == ["$0.00", "$25.00"]
    assert "$25.00" in text_of(answer)
    assert not Rate.objects.exists()
    assert "“Unit price” is missing" in text_of(look(staff, plan, usage(plan)))


def test_the_curve_goes_through_both_sides_of_a_jump(staff: Client, plan: Plan) -> None:
    fields = usage(
        plan, model="volume", tier_up_to=["100", ""], tier_unit_amount=["2", "1"], tier_percent=["", ""],
        tier_flat_amount=["", ""],
    )  # fmt: skip
    shown = look(staff, plan, fields).context["preview"]
    points = dict(shown["curve"].points)
    assert (points[100], points[150]) == (200, 150)
    assert min(amount for quantity, amount in points.items() if quantity > 100) < 101
    assert [finding.code for finding in shown["findings"]] == ["price_drop"]


def test_one_group_of_values_is_previewed_at_a_time(staff: Client, plan: Plan) -> None:
    fields = usage(
        plan, dimension=["region"], row=["0", "rest"], unit_amount="3", preview_quantity="10",
        **{"row_0_match:region": "eu", "row_0_unit_amount": "2"},
    )  # fmt: skip
    shown = look(staff, plan, fields).context["preview"]
    assert (shown["groups"], shown["amount"]) == (["eu", "everything else"], "$20.00")
    assert [row["amount"] for row in shown["rows"]] == ["$20.00", "$30.00"]
    rest = look(staff, plan, fields | {"preview_group": "everything else"}).context["preview"]
    assert rest["amount"] == "$30.00"


def test_a_percentage_of_each_event_is_previewed_by_events(staff: Client, plan: Plan) -> None:
    fields = usage(plan, model="percentage", percent="2.9", fixed_amount="0.30", free_events="2")
    shown = look(staff, plan, fields | {"preview_quantity": "10", "preview_event": "100"}).context["preview"]
    assert shown["amount"] == "$25.60"  # 8 paying events of $100: 8 x 2.90 + 8 x 0.30


def test_without_scripts_the_page_shows_dimensions_price_and_an_empty_row(staff: Client, plan: Plan) -> None:
    fields = usage(plan, dimension=["region"], row=["0", "rest"], unit_amount="3", _preview="1")
    answer = write(staff, plan, fields | {"row_0_match:region": "eu", "preview_quantity": "10"})
    assert answer.status_code == 200
    assert answer.context["preview"]["amount"] == "$30.00"
    sent = form_of(answer, "rate_form")
    assert sent["row"] == ["0", "1", "rest"]
    assert sent["row_0_match:region"] == ["eu"]
    assert not Rate.objects.exists()


def test_another_meter_shows_its_dimensions_and_keeps_what_was_written(staff: Client, plan: Plan) -> None:
    other = make_meter("calls", dimensions=["channel"])
    answer = write(staff, plan, usage(plan, meter=other.pk, unit_amount="3", _refresh="1"))
    form = answer.context["form"]
    assert (form.dimension_choices, form["unit_amount"].value(), dict(form.errors)) == (["channel"], "3", {})


def test_the_preview_of_a_stored_rate_needs_only_the_right_to_look(plan: Plan) -> None:
    active = make_plan({"kind": "usage", "meter": "m", "model": "per_unit", "unit_amount": "2"}, code="x")
    reader = sign_in("Read only")
    page = reverse("admin:billing_plan_price", args=[active.pk])
    assert "$20.00" in text_of(reader.get(page, {"part": "1", "preview_quantity": "10"}))
    assert look(reader, plan, usage(plan, unit_amount="1")).status_code == 403


def test_any_rate_is_previewed_at_any_quantity(plan: Plan) -> None:
    """What is asked for can be wild: it is answered by `rate`, or a sentence, never by an error."""
    random = Random(8)
    extremes: list[dict[str, Any]] = [
        {"model": "per_unit", "unit_amount": "0.000000000000000001", "per": "1000000000000"},
        {"model": "percentage", "percent": "1", "free_events": "999999999999", "free_amount": "1"},
        {"model": "package", "package_size": "0.000000000000000001", "package_amount": "1"},
        {"model": "stairstep", "tiers": [{"up_to": "999999999999.123456789012345678", "flat_amount": "1"}]},
        {
            "model": "volume",
            "tiers": [{"up_to": "0", "flat_amount": "1"}, {"up_to": None, "unit_amount": "0"}],
        },
        {"model": "dynamic"},
    ]
    rates = [random_rate(random) for _ in range(30)] + [
        {"kind": "usage", "meter": "m", **each} for each in extremes
    ]
    for terms in rates:
        row = read_rates([terms])[0]
        for quantity in ("", "0", "1", "7.5", "999999999999999999", "1e-18", "-4", "x"):
            asked = {
                "preview_quantity": quantity,
                "preview_event": random.choice(("", "0.000000000000000001", "50")),
            }
            shown = preview(row, plan, asked)
            parsed = parse_rate(row.terms)
            assert isinstance(parsed, UsageRate)
            if "amount" in shown:
                exact = rate(parsed, shown["asked"].usage(Decimal(shown["quantity"]))).amount
                assert shown["amount"] == money(round_amount(exact, 2), "USD")
            else:
                assert shown["refused"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("usage", {"unit_amount": "2.00"}),
        ("subscription", {"label": "Base", "amount": "10.00", "timing": "in_advance"}),
        ("one_time", {"label": "Set-up", "amount": "10.00"}),
    ],
)
def test_the_tax_category_of_a_rate_is_chosen_kept_and_taken_back(
    staff: Client, plan: Plan, kind: str, fields: dict[str, Any]
) -> None:
    sent = usage(plan, **fields) if kind == "usage" else fields
    write(staff, plan, sent | {"tax_category": "reduced"}, kind)
    rate_row = Rate.objects.get()
    assert rate_row.tax_category == "reduced"
    page = reverse("admin:billing_plan_rate", args=[plan.pk, rate_row.pk])
    shown = form_of(staff.get(page), "rate_form")
    assert shown["tax_category"] == ["reduced"]
    staff.post(page, shown)
    assert Rate.objects.get().tax_category == "reduced"
    staff.post(page, shown | {"tax_category": ""})
    assert Rate.objects.get().tax_category == ""
    wrong = staff.post(page, shown | {"tax_category": "luxury"})
    assert list(wrong.context["form"].errors) == ["tax_category"]
    assert Rate.objects.get().tax_category == ""


def test_the_only_meter_is_chosen_and_a_missing_choice_is_named(staff: Client, plan: Plan) -> None:
    add = f"{reverse('admin:billing_plan_rate_add', args=[plan.pk])}?kind=usage"
    assert staff.get(add).context["form"]["meter"].value() == usage(plan)["meter"]
    make_meter("calls")
    assert staff.get(add).context["form"]["meter"].value() is None
    assert "Fill in “Meter” to see what a quantity costs." in text_of(look(staff, plan, {}))
