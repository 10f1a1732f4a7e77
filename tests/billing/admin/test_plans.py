"""Staff write a plan, its rates, try prices out, activate it, and make the next version."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Plan, PlanStatus, Rate
from billing.pricing import create_plan
from tests.factories import TICKETS, make_meter, make_plan, make_subscription
from tests.staff import messages_of, sign_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return sign_in()


@pytest.fixture
def draft() -> Plan:
    make_meter()
    return create_plan(code="support", name="Support", currency="USD", billing_period="monthly", rates=[])


def rates_page(plan: Plan, kind: str = "usage") -> str:
    return f"{reverse('admin:billing_plan_rate_add', args=[plan.pk])}?kind={kind}"


def rate(**fields: Any) -> dict[str, Any]:
    from metering.models import Meter

    return {"meter": Meter.objects.get(code="tickets_resolved").pk, "model": "per_unit", "label": ""} | fields


def test_a_new_plan_is_a_draft_and_leads_to_its_first_rate(staff: Client) -> None:
    fields = {"name": "Support Outcome Plan", "code": "", "billing_period": "monthly", "currency": "USD"}
    fields |= {"tax_category": "standard", "dispute_days": "30"}
    answer = staff.post(reverse("admin:billing_plan_add"), fields, follow=True)
    plan = Plan.objects.get()
    assert (plan.code, plan.version, plan.status) == ("support_outcome_plan", 1, PlanStatus.DRAFT)
    assert "Now add a usage-based rate" in messages_of(answer)
    assert "would bill nothing" in text_of(answer)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"currency": "XXX"}, "currency"), ({"name": ""}, "name"), ({"code": "support"}, "code")],
)
def test_a_bad_plan_is_refused_at_the_field(staff: Client, draft: Plan, changes: Any, field: str) -> None:
    fields = {"name": "Second", "code": "", "billing_period": "monthly", "currency": "USD"} | changes
    answer = staff.post(reverse("admin:billing_plan_add"), fields)
    assert field in answer.context["adminform"].form.errors
    assert Plan.objects.count() == 1


def test_a_price_of_two_dollars_is_written_as_the_rating_core_reads_it(staff: Client, draft: Plan) -> None:
    answer = staff.post(rates_page(draft), rate(unit_amount="2.00"), follow=True)
    assert Rate.objects.get().terms == TICKETS | {
        "included_units": "0",
        "minimum_amount": None,
        "maximum_amount": None,
    }
    assert "Tickets Resolved: $2.00 per ticket." in messages_of(answer)


def test_tiers_are_written_from_their_table(staff: Client, draft: Plan) -> None:
    fields = rate(
        model="graduated",
        included_units="10",
        tier_up_to=["100", "", ""],
        tier_unit_amount=["2", "1", ""],
        tier_percent=["", "", ""],
        tier_flat_amount=["", "5", ""],
    )
    staff.post(rates_page(draft), fields)
    terms = Rate.objects.get().terms
    assert terms["tiers"] == [
        {"up_to": "100", "unit_amount": "2", "flat_amount": "0"},
        {"up_to": None, "unit_amount": "1", "flat_amount": "5"},
    ]
    assert terms["included_units"] == "10"


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"unit_amount": ""}, "unit_amount", "“Unit price” is missing"),
        ({"unit_amount": "-2"}, "unit_amount", "cannot be negative"),
        ({"unit_amount": "2,50"}, "unit_amount", "decimal number such as 12.50"),
        ({"unit_amount": "NaN"}, "unit_amount", "decimal number"),
        ({"unit_amount": "1", "minimum_amount": "9", "maximum_amount": "3"}, "minimum_amount", "above"),
        ({"unit_amount": "1", "per": "3"}, "per", "such as 1, 100"),
        ({"model": "magic", "unit_amount": "1"}, "model", "valid choice"),
        ({"meter": "", "unit_amount": "1"}, "meter", "required"),
        ({"model": "package", "package_size": "0", "package_amount": "1"}, "package_size", "above 0"),
    ],
)
def test_a_bad_rate_is_refused_at_the_field(
    staff: Client, draft: Plan, fields: Any, field: str, words: str
) -> None:
    answer = staff.post(rates_page(draft), rate(**fields))
    assert words in str(answer.context["form"].errors[field])
    assert not Rate.objects.exists()


def test_a_bad_tier_is_refused_at_its_row(staff: Client, draft: Plan) -> None:
    fields = rate(
        model="volume",
        tier_up_to=["100", "50", ""],
        tier_unit_amount=["2", "1", "1"],
        tier_percent=["", "", ""],
        tier_flat_amount=["", "", ""],
    )
    answer = staff.post(rates_page(draft), fields)
    rows = answer.context["form"].tiers
    assert [bool(row.errors) for row in rows] == [False, True, False]
    assert "“Up to” 50 is below" in rows[1].errors[0]
    assert not Rate.objects.exists()


def test_fees_are_written_from_their_own_forms(staff: Client, draft: Plan) -> None:
    monthly = {"label": "Pro Plan", "amount": "199.00", "timing": "in_arrears", "prorated": "on"}
    staff.post(rates_page(draft, "subscription"), monthly)
    staff.post(rates_page(draft, "one_time"), {"label": "Set-up", "amount": "500"})
    assert [row.terms for row in Rate.objects.order_by("position")] == [
        {
            "kind": "subscription",
            "label": "Pro Plan",
            "amount": "199.00",
            "timing": "in_arrears",
            "prorated": True,
        },
        {"kind": "one_time", "label": "Set-up", "amount": "500"},
    ]


def test_a_rate_is_changed_in_its_place_and_removed(staff: Client, draft: Plan) -> None:
    staff.post(rates_page(draft), rate(unit_amount="2"))
    staff.post(rates_page(draft, "one_time"), {"label": "Set-up", "amount": "500"})
    first = draft.rates.first()
    assert first is not None
    page = reverse("admin:billing_plan_rate", args=[draft.pk, first.pk])
    assert staff.get(page).context["form"]["unit_amount"].value() == "2"
    staff.post(page, rate(unit_amount="3"))
    assert [row.terms.get("unit_amount") for row in draft.rates.all()] == ["3", None]
    staff.post(reverse("admin:billing_plan_rate_remove", args=[draft.pk, first.pk]))
    assert [row.kind for row in draft.rates.all()] == ["one_time"]


def test_the_price_preview_explains_the_amount(staff: Client) -> None:
    make_meter()
    plan = make_plan()
    row = plan.rates.get()
    page = reverse("admin:billing_plan_price", args=[plan.pk])
    shown = staff.get(page, {"rate": row.pk, "preview_quantity": "120"}).context["preview"]
    assert (shown["sentence"], shown["amount"]) == ("$2.00 per ticket", "$240.00")
    assert [step.sentence for step in shown["working"]] == ["120 tickets × $2.00 = $240.00"]
    # what is no quantity falls back to the middle of the slider
    assert (
        staff.get(page, {"rate": row.pk, "preview_quantity": "many"}).context["preview"]["quantity"] == "100"
    )


def test_activation_says_what_freezes_and_then_freezes_it(staff: Client) -> None:
    make_meter()
    plan = create_plan(code="s", name="Support", currency="USD", billing_period="monthly", rates=[TICKETS])
    page = reverse("admin:billing_plan_activate", args=[plan.pk])
    assert "These freeze for good" in text_of(staff.get(page))
    plan.refresh_from_db()
    assert plan.status == PlanStatus.DRAFT
    answer = staff.post(page, follow=True)
    plan.refresh_from_db()
    assert plan.status == PlanStatus.ACTIVE
    assert "assign it to a customer" in messages_of(answer)
    assert "this version is read-only" in text_of(answer)


def test_a_plan_without_rates_is_not_activated(staff: Client, draft: Plan) -> None:
    answer = staff.post(reverse("admin:billing_plan_activate", args=[draft.pk]), follow=True)
    assert "would bill nothing" in messages_of(answer)
    draft.refresh_from_db()
    assert draft.status == PlanStatus.DRAFT


def test_an_active_plan_refuses_every_change_and_says_so(staff: Client) -> None:
    make_meter()
    plan = make_plan()
    row = plan.rates.get()
    change = reverse("admin:billing_plan_change", args=[plan.pk])
    assert staff.post(change, {"name": "Other"}).status_code == 403
    for page in (
        rates_page(plan),
        reverse("admin:billing_plan_rate", args=[plan.pk, row.pk]),
        reverse("admin:billing_plan_rate_remove", args=[plan.pk, row.pk]),
        reverse("admin:billing_plan_discard", args=[plan.pk]),
    ):
        refused = messages_of(staff.post(page, rate(unit_amount="9"), follow=True))
        assert "is active" in refused or "in use and frozen" in refused
    plan.refresh_from_db()
    assert (plan.name, plan.rates.get().terms["unit_amount"]) == ("Support Outcome Plan", "2.00")


def test_a_new_version_is_a_draft_with_the_same_rates(staff: Client) -> None:
    make_meter()
    plan = make_plan()
    page = reverse("admin:billing_plan_version", args=[plan.pk])
    staff.post(page)
    copy = Plan.objects.get(version=2)
    assert (copy.status, copy.rates.get().terms) == (PlanStatus.DRAFT, plan.rates.get().terms)
    assert "a draft already" in messages_of(staff.post(page, follow=True))
    assert Plan.objects.count() == 2
    staff.post(reverse("admin:billing_plan_discard", args=[copy.pk]))
    assert list(Plan.objects.values_list("version", flat=True)) == [1]


def test_the_list_says_prices_in_words_without_a_query_per_plan(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    make_subscription()
    for n in range(20):
        make_plan(code=f"plan-{n}")
    with django_assert_max_num_queries(12):
        page = text_of(staff.get(reverse("admin:billing_plan_changelist")))
    assert page.count("Tickets Resolved: $2.00 per ticket") == 21


def test_the_plans_page_says_who_did_what(staff: Client, draft: Plan) -> None:
    staff.post(rates_page(draft), rate(unit_amount="2.00"))
    staff.post(reverse("admin:billing_plan_activate", args=[draft.pk]))
    log = staff.get(reverse("admin:billing_plan_change", args=[draft.pk])).context["log"]
    assert [(entry.user.username, entry.get_change_message()) for entry in log] == [
        ("root", "Activated."),
        ("root", "Rate added. Tickets Resolved: $2.00 per ticket."),
    ]


def test_a_total_that_falls_is_activated_only_when_it_is_meant_so(staff: Client, draft: Plan) -> None:
    fields = rate(
        model="volume",
        tier_up_to=["100", ""],
        tier_unit_amount=["2", "1"],
        tier_percent=["", ""],
        tier_flat_amount=["", ""],
    )
    staff.post(rates_page(draft), fields)
    page = reverse("admin:billing_plan_activate", args=[draft.pk])
    assert "It is meant so:" in text_of(staff.get(page))
    staff.post(page)
    draft.refresh_from_db()
    assert draft.status == PlanStatus.DRAFT
    assert "Say why" in messages_of(staff.post(page, {"accept": ["price_drop"]}, follow=True))
    draft.refresh_from_db()
    assert draft.status == PlanStatus.DRAFT
    staff.post(page, {"accept": ["price_drop"], "reason": "As in the contract with Acme."})
    draft.refresh_from_db()
    assert draft.status == PlanStatus.ACTIVE
    log = staff.get(reverse("admin:billing_plan_change", args=[draft.pk])).context["log"]
    assert log[0].get_change_message() == "Activated. Meant so (price_drop): As in the contract with Acme."


def test_terms_for_the_whole_invoice_are_checked_at_their_fields(staff: Client) -> None:
    fields = {
        "name": "Year",
        "code": "",
        "billing_period": "yearly",
        "currency": "USD",
        "usage_period": "monthly",
        "tax_category": "standard",
        "dispute_days": "30",
    }
    bad = staff.post(
        reverse("admin:billing_plan_add"), fields | {"usage_period": "weekly", "minimum_amount": "-1"}
    )
    assert {"usage_period", "minimum_amount"} <= set(bad.context["adminform"].form.errors)
    staff.post(reverse("admin:billing_plan_add"), fields | {"minimum_amount": "50"})
    plan = Plan.objects.get()
    assert (plan.usage_period, str(plan.minimum_amount)) == ("monthly", "50")


def test_the_price_preview_of_a_custom_unit_is_in_the_currency(staff: Client) -> None:
    make_meter()
    plan = make_plan(custom_unit="credit", custom_unit_value=Decimal("0.01"))
    page = reverse("admin:billing_plan_price", args=[plan.pk])
    shown = staff.get(page, {"rate": plan.rates.get().pk, "preview_quantity": "120"}).context["preview"]
    assert shown["amount"] == "$2.40"  # 120 tickets at 2 credits of $0.01
