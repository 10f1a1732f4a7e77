"""Pages of cost and margin: what they say, where their numbers lead, and what staff write there."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from billing.admin.cost_words import MONTHS_OFFERED
from billing.closing import close_period
from billing.cost_rates import Validity, add_cost_rate
from billing.costing import costs
from billing.models import CostRate, Invoice, Plan
from billing.months import Month
from billing.price_lists import read_price_list
from billing.pricing import create_version
from metering.models import Meter, Workload, WorkloadName, WorkloadRule
from tests.billing.test_costing import NOVEMBER, OCTOBER
from tests.factories import NOW, event, make_meter, make_subscription, send
from tests.staff import messages_of, sign_in, text_of

pytestmark = pytest.mark.django_db

SPEND, MARGINS = "admin:billing_costs_spend", "admin:billing_costs_margins"
LIST = "admin:metering_workload_changelist"


@pytest.fixture(autouse=True)
def story() -> Iterator[None]:
    """Two tickets at $2.00: one with calls for $1.00, one for $3.00; tokens without a cost rate."""
    with time_machine.travel(NOW, tick=False):
        make_subscription()
        make_meter("api_calls", unit="call", dimensions=["region", "model"])
        make_meter("llm_tokens", type="sum", unit="token", dimensions=["type"])
        Workload.objects.create(code="bot", name="Support bot", owner="Ada")
        add_cost_rate(
            {"meter": "api_calls", "model": "per_unit", "unit_amount": "0.01"}, Validity(label="Jan")
        )
        send(
            event("a", subject="good"),
            event("b", subject="bad"),
            event(
                "c",
                subject="good",
                meter="api_calls",
                value="100",
                workload="bot",
                dimensions={"region": "eu"},
            ),
            event("d", subject="bad", meter="api_calls", value="300", workload="old_bot"),
            event("e", meter="llm_tokens", value="5000", workload="bot"),
        )
        close_period(Month(2026, 10), now=NOW, grace_days=0)
        yield


def get(client: Client, name: str, *arguments: Any, **parameters: str) -> Any:
    answer = client.get(reverse(name, args=arguments), parameters)
    assert answer.status_code == 200
    return answer


def test_the_list_shows_spend_of_months_and_what_is_unassigned_or_unknown() -> None:
    page = text_of(get(sign_in("Read only"), LIST))
    assert "$0.00" in page  # November
    assert "$1.00" in page  # October of the bot
    assert "old_bot" in page
    assert "There is no cost rate for this meter." not in page  # nothing was used this month
    assert "Assign</button>" not in page  # somebody who only reads


def test_a_name_is_assigned_by_one_click_with_its_past() -> None:
    clerk, name, bot = (
        sign_in("Billing clerk"),
        WorkloadName.objects.get(name="old_bot"),
        Workload.objects.get(),
    )
    url = reverse("admin:billing_costs_name", args=[name.pk])
    for wrong in ("", "x", "9" * 18, "9" * 40):
        assert "Choose the workload" in messages_of(clerk.post(url, {"workload": wrong}, follow=True))
    assert costs(OCTOBER, NOVEMBER, group_by=["workload"]).unassigned == 3
    clerk.post(url, {"workload": bot.pk})
    found = costs(OCTOBER, NOVEMBER, group_by=["workload"])
    assert (found.unassigned, found.groups["bot",].cost) == (0, 4)


def test_spend_by_anything_with_each_number_leading_on() -> None:
    staff = sign_in("Read only")
    page = get(staff, SPEND, time="2026-10", group_by="workload")
    assert "$4.00" in text_of(page)
    assert "There is no cost rate for this meter." in text_of(page)
    links = [
        link.replace("&amp;", "&")
        for link in re.findall(r'href="(\?[^"]*workload=[^"]*)"', page.content.decode())
    ]
    assert len(links) == 2  # the bot, and what is unassigned
    below = [text_of(staff.get(reverse(SPEND) + link)) for link in links]
    assert ["$3.00" in each for each in below] == [False, True]
    for name in ("meter", "customer", "subject", "day", "month", "region", "nonsense", "\x00"):
        assert "$4.00" in text_of(get(staff, SPEND, time="2026-10", group_by=name))
    rows = list(csv.reader(io.StringIO(b"".join(
        get(staff, SPEND, time="2026-10", group_by="region", format="csv").streaming_content).decode())))  # fmt: skip
    assert rows == [
        ["region", "quantity", "cost", "currency"],
        ["eu", "100", "1", "USD"],
        ["", "", "3", "USD"],
    ]


def test_the_time_before_is_as_long_as_the_time_so_far() -> None:
    """On 20 November, 1-20 November is compared with 1-20 October."""
    late = event("f", meter="api_calls", value="900", occurred_at="2026-10-21T00:00:00Z")
    send(late, event("g", meter="api_calls", value="200", occurred_at="2026-11-02T00:00:00Z"))
    staff = sign_in("Read only")
    page = text_of(get(staff, SPEND, time="2026-11"))
    assert "against $4.00 in the time before" in page
    assert "-50 %" in page
    for time in ("quarter", "year", "2025-01", "x"):
        get(staff, SPEND, time=time)


def test_a_month_of_a_workload_reads_like_an_invoice() -> None:
    bot = Workload.objects.get()
    add_cost_rate({"kind": "fixed", "workload": "bot", "amount": "31"}, Validity(label="Reserved"))
    page = text_of(get(sign_in("Read only"), "admin:billing_costs_statement", bot.pk, "2026-10"))
    for words in (
        "Api Calls",
        "100 calls",
        "$0.01 per call",
        "$1.00",
        "Fixed cost",
        "$31.00",
        "$32.00",
        "Acme",
    ):
        assert words in page, words
    staff = sign_in()
    at, months = reverse("admin:billing_costs_statement", args=[bot.pk, "2026-10"]), 1
    while at := staff.get(at).context["earlier"]:
        months += 1
    assert months == MONTHS_OFFERED - 1  # November runs: each month before leads to one that is there
    answer = staff.get(reverse("admin:billing_costs_statement", args=[bot.pk, "2026-13"]))
    assert answer.status_code == 404


def test_margins_put_who_loses_money_first_down_to_the_ticket() -> None:
    staff = sign_in("Read only")
    page = text_of(get(staff, MARGINS, time="2026-10", group_by="subject"))
    assert page.index(">bad<") < page.index(">good<")
    assert "-$1.00" in page
    assert "-50 %" in page
    for name in ("customer", "plan", "meter", "workload", "invoice", "line", "month", "x"):
        whole = text_of(get(staff, MARGINS, time="2026-10", group_by=name))
        assert "$4.00" in whole
        assert ">0 %" in whole or "0 %" in whole
    line = text_of(get(staff, MARGINS, time="2026-10", group_by="line"))
    assert "Acme, Support Outcome Plan, from 1 October 2026" in line
    found = get(staff, MARGINS, time="2026-10", group_by="subject", format="csv")
    rows = list(csv.reader(io.StringIO(b"".join(found.streaming_content).decode())))
    assert rows[1] == ["acme", "bad", "2", "3", "-1", "-50", "USD"]


def test_an_invoice_shows_its_margin_by_line_and_a_plan_its_break_even() -> None:
    staff = sign_in("Read only")
    invoice = Invoice.objects.get()
    assert reverse("admin:billing_costs_invoice", args=[invoice.pk]) in text_of(
        get(staff, "admin:billing_invoice_change", invoice.pk)
    )
    page = text_of(get(staff, "admin:billing_costs_invoice", invoice.pk))
    assert "Tickets Resolved" in page
    assert page.count("$4.00") >= 4  # revenue and cost of the line and of the whole
    plan = Invoice.objects.get().subscription.plan
    page = text_of(get(staff, "admin:billing_costs_break_even", plan.pk))
    assert "$2.00" in page  # $4.00 for two tickets
    assert "October 2026" in page


def test_the_editor_of_a_price_says_below_what_it_loses_money() -> None:
    """Two tickets in October cost $4.00 of calls: $2.00 each. Who may not see costs does not see it."""
    plan, tickets = Plan.objects.get(), Meter.objects.get(code="tickets_resolved")
    part = reverse("admin:billing_plan_break_even", args=[plan.pk, tickets.pk])
    reader = sign_in("Read only")
    assert "Break-even: $2.00 a unit." in text_of(reader.get(part))
    add_cost_rate({"kind": "fixed", "workload": "bot", "amount": "31"}, Validity(label="Reserved"))
    assert "Break-even: $9.75 a unit." in text_of(
        reader.get(part)
    )  # at once: half of 31, as one of two events of the bot
    assert Client().get(part).status_code == 302
    draft = create_version(plan)
    rate = reverse("admin:billing_plan_rate", args=[draft.pk, draft.rates.get().pk])
    shown = reverse("admin:billing_plan_break_even", args=[draft.pk, tickets.pk])
    assert shown in text_of(sign_in("Billing clerk").get(rate))


def test_the_dashboard_shows_cost_and_margin_beside_revenue() -> None:
    page = text_of(get(sign_in("Read only"), "admin:index"))
    assert "cost of October 2026" in page
    assert "margin of October 2026, 0 %" in page


ROWS = {"dimension": "type", "row": ["1", "rest"], "row_1_match:type": "input", "row_1_unit_amount": "0.50"}


@pytest.mark.parametrize(
    ("fields", "unknown"),
    [
        ({"unit_amount": "0.50", "per": "1000"}, 0),
        (ROWS | {"row_rest_unit_amount": "1.00"}, 0),
        (ROWS | {"unmatched": "listed"}, 1),  # the tokens have no type
        ({"model": "package", "package_size": "100", "package_amount": "3"}, 0),
    ],
)
def test_a_missing_cost_is_added_where_it_is_missed(fields: dict[str, object], unknown: int) -> None:
    clerk, tokens = sign_in("Billing clerk"), Meter.objects.get(code="llm_tokens")
    add = f"{reverse('admin:billing_costrate_add')}?meter={tokens.pk}"
    assert add in text_of(get(clerk, SPEND, time="2026-10"))
    assert f'value="{tokens.pk}" selected' in text_of(clerk.get(add))
    body: dict[str, object] = {"meter": tokens.pk, "model": "per_unit", "currency": "USD"}
    assert clerk.post(add, body | fields).status_code == 302
    found = costs(OCTOBER, NOVEMBER).unknown
    assert len([each for each in found if each.meter == tokens]) == unknown


def test_tiers_of_a_cost_are_written_in_the_editor_and_previewed_in_its_currency() -> None:
    """100 units: the first 10 at 2.00, the other 90 at 1.00, are 110.00."""
    clerk, tokens = sign_in("Billing clerk"), Meter.objects.get(code="llm_tokens")
    body = {
        "meter": tokens.pk, "model": "graduated", "currency": "EUR", "label": "List of 2026",
        "tier_up_to": ["10", ""], "tier_unit_amount": ["2", "1"], "tier_percent": ["", ""],
        "tier_flat_amount": ["", ""],
        "preview_quantity": "100",
    }  # fmt: skip
    page = clerk.post(reverse("admin:billing_costrate_preview"), body)
    assert page.context["preview"]["amount"] == "€110.00"
    assert CostRate.objects.count() == 1  # a preview writes nothing
    assert clerk.post(reverse("admin:billing_costrate_add"), body).status_code == 302
    row = CostRate.objects.get(meter=tokens)
    assert (row.currency, row.label) == ("EUR", "List of 2026")
    assert [tier.get("up_to") for tier in row.terms["tiers"]] == ["10", None]


def test_a_fixed_cost_is_written_on_its_own_page() -> None:
    clerk, bot = sign_in("Billing clerk"), Workload.objects.get()
    body = {"workload": bot.pk, "amount": "30.00", "currency": "USD", "label": "Reserved"}
    assert clerk.post(reverse("admin:billing_costrate_add_fixed"), body).status_code == 302
    row = CostRate.objects.get(workload=bot)
    assert (row.kind, row.amount, row.label) == ("fixed", 30, "Reserved")


def test_a_meter_is_said_to_cost_nothing_by_itself() -> None:
    clerk, tickets = sign_in("Billing clerk"), Meter.objects.get(code="tickets_resolved")
    url = reverse("admin:billing_costrate_free", args=[tickets.pk])
    assert "costs nothing by itself" in messages_of(clerk.post(url, follow=True))
    assert "already" in messages_of(clerk.post(url, follow=True))
    assert [each.meter.code for each in costs(OCTOBER, NOVEMBER).unknown if each.meter] == ["llm_tokens"]


@pytest.mark.parametrize(
    ("fields", "form", "field"),
    [
        ({"unit_amount": "x"}, "form", "unit_amount"),
        ({}, "form", "unit_amount"),
        ({"meter": ""}, "form", "meter"),
        ({"unit_amount": "1", "effective_from": "2026-13-01"}, "validity", "effective_from"),
        ({"unit_amount": "1", "currency": "XXX"}, "validity", "currency"),
        ({"unit_amount": "1"}, "validity", "effective_from"),  # there is one from the beginning
    ],
)
def test_a_wrong_cost_is_told_at_its_field(fields: dict[str, str], form: str, field: str) -> None:
    body = {"meter": str(Meter.objects.get(code="api_calls").pk), "model": "per_unit", "currency": "USD"}
    page = sign_in("Billing clerk").post(reverse("admin:billing_costrate_add"), body | fields)
    assert page.status_code == 200
    assert field in page.context[form].errors
    assert CostRate.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"workload": "", "amount": "1"}, "workload"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "many"}, "amount"),
        ({"amount": "1", "effective_from": "yesterday"}, "effective_from"),
    ],
)
def test_a_wrong_fixed_cost_is_told_at_its_field(fields: dict[str, str], field: str) -> None:
    body = {"workload": str(Workload.objects.get().pk), "currency": "USD"} | fields
    page = sign_in("Billing clerk").post(reverse("admin:billing_costrate_add_fixed"), body)
    assert page.status_code == 200
    assert field in page.context["form"].errors
    assert CostRate.objects.count() == 1


def test_a_cost_is_withdrawn_and_says_so() -> None:
    row, clerk = CostRate.objects.get(), sign_in("Billing clerk")
    assert "prices no day" in text_of(get(clerk, "admin:billing_costrate_withdraw", row.pk))
    clerk.post(reverse("admin:billing_costrate_withdraw", args=[row.pk]))
    assert costs(OCTOBER, NOVEMBER).total == 0
    shown = text_of(get(clerk, "admin:billing_costrate_change", row.pk))
    assert "Withdrawn" in shown
    assert "$0.01 per call" in shown
    assert "unit_amount" not in shown


LIST_OF_PRICES = """meter,region,model,unit_amount,per
api_calls,eu,large,0.03,
api_calls,eu,,0.02,
api_calls,,,0.01,
llm_tokens,,,2.50,1000000
"""


def test_a_price_list_is_looked_at_before_it_is_written() -> None:
    clerk, url = sign_in("Billing clerk"), reverse("admin:billing_costrate_import")
    body = {"currency": "USD", "label": "Nov", "effective_from": "2026-11-01"}
    file = SimpleUploadedFile("prices.csv", LIST_OF_PRICES.encode())
    look = text_of(clerk.post(url, body | {"file": file}))
    assert "What this would write" in look
    assert "$0.01 per call" in look  # what holds until then
    assert "$2.50 per 1,000,000 tokens" in look
    assert CostRate.objects.count() == 1
    clerk.post(url, body | {"text": LIST_OF_PRICES, "write": "1"})
    written = CostRate.objects.get(meter__code="api_calls", effective_until=None)
    assert written.terms["rows"][1]["match"] == {"region": "eu"}
    assert CostRate.objects.count() == 3
    again = text_of(clerk.post(url, body | {"text": LIST_OF_PRICES, "write": "1"}))
    assert "already" in again
    assert CostRate.objects.count() == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "first line"),
        ("meter,price\na,1", "first line"),
        ("meter,unit_amount\n", "no prices"),
        ("meter,unit_amount\napi_calls,1,2", "Line 2 has 3 cells"),
        ("meter,unit_amount\nnothing,1", "no meter “nothing”"),
        ("meter,unit_amount\nllm_tokens,abc", "unit_amount"),
        ("meter,unit_amount\nllm_tokens,1\nllm_tokens,2", "more than one price"),
        ("meter,unit_amount,per\nllm_tokens,1,1\nllm_tokens,2,100", "different numbers"),
        ("meter,unit_amount,colour\nllm_tokens,1,red", "does not declare"),
        ("meter,unit_amount\napi_calls,1", "already"),
    ],
)
def test_a_wrong_price_list_names_its_lines_and_nothing_is_written(text: str, problem: str) -> None:
    found = read_price_list(text, Validity())
    assert problem in found.problems[0]
    assert not found.rates
    assert CostRate.objects.count() == 1


def test_files_that_are_none_are_refused() -> None:
    clerk, url = sign_in("Billing clerk"), reverse("admin:billing_costrate_import")
    for content in (b"\xff\xfe", b"", b"meter\x00"):
        answer = clerk.post(url, {"currency": "USD", "file": SimpleUploadedFile("x.csv", content)})
        assert answer.status_code == 200
        assert answer.context["form"].errors
    assert CostRate.objects.count() == 1


def test_the_focus_file_has_a_row_for_each_part_and_comes_to_the_total() -> None:
    add_cost_rate({"kind": "fixed", "workload": "bot", "amount": "31"}, Validity(label="Reserved"))
    answer = get(sign_in("Read only"), "admin:billing_costs_focus", time="2026-10")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [
        (row["ServiceName"], row["ChargeCategory"], row["BilledCost"], row["ConsumedQuantity"])
        for row in rows
    ] == [
        ("Unassigned", "Usage", "3", "300"),
        ("bot", "Purchase", "31", ""),
        ("bot", "Usage", "1", "100"),
    ]
    assert rows[2]["ChargePeriodStart"] == "2026-10-03T00:00:00Z"
    assert rows[2]["BillingPeriodEnd"] == "2026-11-01T00:00:00Z"


def test_rules_are_written_on_the_page_of_a_workload() -> None:
    clerk, bot = sign_in("Billing clerk"), Workload.objects.get()
    body = {
        "name": "Support bot", "parent": "", "owner": "Ada", "tags": "gpu, production",
        "names-TOTAL_FORMS": 0, "names-INITIAL_FORMS": 0, "rules-TOTAL_FORMS": 1, "rules-INITIAL_FORMS": 0,
        "rules-0-position": 0, "rules-0-meter": "", "rules-0-dimension": "", "rules-0-value": "",
        "rules-0-source": "api",
    }  # fmt: skip
    url = reverse("admin:metering_workload_change", args=[bot.pk])
    assert clerk.post(url, body).status_code == 302
    assert (WorkloadRule.objects.get().source, Workload.objects.get().tags) == ("api", ["gpu", "production"])
    assert costs(OCTOBER, NOVEMBER, group_by=["workload"]).unassigned == 0


def test_the_list_asks_as_often_for_many_workloads_as_for_one(django_assert_max_num_queries: Any) -> None:
    for n in range(10):
        Workload.objects.create(code=f"w{n}", name=f"W{n}")
    staff = sign_in("Read only")
    with django_assert_max_num_queries(35):
        get(staff, LIST)
