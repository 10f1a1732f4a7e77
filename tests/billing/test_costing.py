"""What internal work costs: rates in time, shares of a whole, fixed costs, and what stays unknown."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billing.cost_entries import cost_entries
from billing.cost_rates import Validity, add_cost_rate, free_of_cost, withdraw_cost_rate
from billing.costing import CostReport, costs, exact_decimal
from billing.errors import CostRateOverlap, CostsUnclear, InvalidCostRate
from billing.models import CostRate
from customers.models import Customer
from metering import catalog
from metering.models import Meter, Workload, WorkloadName, WorkloadRule
from tests.factories import NOW, event, make_customer, make_meter, send

OCTOBER, NOVEMBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
TOKENS = {
    "meter": "llm_tokens", "model": "per_unit", "per": "1000000", "dimensions": ["type"],
    "rows": [{"match": {"type": "input"}, "unit_amount": "0.50"}, {"match": {"type": "output"}, "unit_amount": "2.50"}],
    "unmatched": "listed",
}  # fmt: skip
CALLS = {"meter": "api_calls", "model": "per_unit", "unit_amount": "0.002"}

pytestmark = pytest.mark.django_db


def cost(*terms: dict[str, Any], **validity: Any) -> list[CostRate]:
    return [add_cost_rate(each, Validity(**validity)) for each in terms]


def fixed(workload: str, amount: str, **more: str) -> dict[str, Any]:
    return {"kind": "fixed", "workload": workload, "amount": amount} | more


def october(*group_by: str, **more: Any) -> CostReport:
    return costs(OCTOBER, NOVEMBER, group_by=group_by, **more)


def by(name: str, report: CostReport | None = None) -> dict[str, Decimal]:
    report = report or october(name)
    return {values[0]: exact_decimal(group.cost) for values, group in report.groups.items()}


def activity(key: str, meter: str, value: str, **fields: Any) -> dict[str, Any]:
    return event(key, meter=meter, value=value, **fields)


@pytest.fixture
def meters() -> None:
    make_meter("llm_tokens", type="sum", dimensions=["type", "model"], unit="token")
    make_meter("api_calls", unit="call")
    make_customer()
    for code in ("bot", "index"):
        Workload.objects.create(code=code, name=code.title())


@pytest.mark.usefixtures("meters")
def test_a_cost_is_the_quantity_at_the_rate_of_its_dimensions() -> None:
    cost(TOKENS, CALLS)
    send(
        activity("a", "llm_tokens", "9600000", dimensions={"type": "input"}, workload="bot"),
        activity("b", "llm_tokens", "1200000", dimensions={"type": "output"}, workload="bot"),
        activity("c", "api_calls", "4800", workload="index"),
    )
    report = october("workload")
    assert by("workload", report) == {"index": Decimal("9.6"), "bot": Decimal("7.8")}  # 4.80 + 3.00
    assert (report.total, report.unassigned, report.unknown) == (Fraction("17.4"), 0, [])
    assert by("type") == {"input": Decimal("4.8"), "output": Decimal(3)}
    assert october("type").unassigned == Fraction("9.6")  # calls have no type
    assert by("day") == {"2026-10-03": Decimal("17.4")}


@pytest.mark.usefixtures("meters")
def test_an_unknown_cost_has_a_reason_and_is_never_zero() -> None:
    cost(TOKENS, effective_from=date(2026, 10, 10))
    send(
        activity(
            "a", "llm_tokens", "1000000", dimensions={"type": "input"}, occurred_at="2026-10-09T23:59:59Z"
        ),
        activity(
            "b", "llm_tokens", "1000000", dimensions={"type": "input"}, occurred_at="2026-10-10T00:00:00Z"
        ),
        activity("c", "llm_tokens", "7", dimensions={"type": "cached"}, occurred_at="2026-10-11T00:00:00Z"),
        activity("d", "api_calls", "3"),
    )
    report = october("meter")
    assert by("meter", report) == {"llm_tokens": Decimal("0.5")}
    assert [(each.meter.code, each.quantity, each.reason) for each in report.unknown if each.meter] == [
        ("llm_tokens", 7, "The cost rate has no row for type cached."),
        ("llm_tokens", 1_000_000, "There is no cost rate for this meter before 2026-10-10."),
        ("api_calls", 3, "There is no cost rate for this meter."),
    ]
    free_of_cost(Meter.objects.get(code="api_calls"), currency="USD")
    assert [each.meter.code for each in october("meter").unknown if each.meter] == [
        "llm_tokens",
        "llm_tokens",
    ]


@pytest.mark.usefixtures("meters")
def test_a_later_rate_holds_from_its_day_and_the_history_stays() -> None:
    cost(CALLS, label="prices 2025")
    cost({**CALLS, "unit_amount": "0.003"}, effective_from=date(2026, 10, 15), label="prices Oct 2026")
    send(
        activity("a", "api_calls", "10", occurred_at="2026-10-14T23:59:59Z"),
        activity("b", "api_calls", "10", occurred_at="2026-10-15T00:00:00Z"),
    )
    assert october().total == Fraction("0.05")  # 10 x 0.002 + 10 x 0.003
    assert list(CostRate.objects.order_by("id").values_list("label", "effective_until")) == [
        ("prices 2025", date(2026, 10, 15)),
        ("prices Oct 2026", None),
    ]


@pytest.mark.usefixtures("meters")
def test_two_rates_of_a_meter_never_hold_on_one_day() -> None:
    first = cost(CALLS, effective_from=date(2026, 10, 1))[0]
    for validity in (
        {"effective_from": date(2026, 10, 1)},
        {"effective_from": date(2026, 10, 5), "effective_until": date(2026, 10, 9)},
        {"effective_until": date(2026, 10, 2)},
    ):
        with pytest.raises(CostRateOverlap):
            cost(CALLS, **validity)
    assert CostRate.objects.count() == 1
    with pytest.raises(IntegrityError, match="costrate_meter_never_twice"), transaction.atomic():
        CostRate.objects.create(meter=first.meter, terms=first.terms)
    cost(CALLS)  # before the first one: it ends where that begins
    assert CostRate.objects.get(effective_from=None).effective_until == date(2026, 10, 1)


@pytest.mark.usefixtures("meters")
def test_a_rate_is_withdrawn_and_never_changed_or_deleted() -> None:
    row = cost(CALLS)[0]
    send(activity("a", "api_calls", "10"))
    for statement in ("UPDATE billing_costrate SET terms = '{}'", "DELETE FROM billing_costrate"):
        with (
            pytest.raises(IntegrityError),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    withdraw_cost_rate(row, now=NOW)
    withdraw_cost_rate(row, now=NOW)
    assert october().total == 0
    assert [each.reason for each in october().unknown] == ["There is no cost rate for this meter."]
    cost({**CALLS, "unit_amount": "1"})
    assert october().total == 10


@pytest.mark.usefixtures("meters")
@pytest.mark.parametrize(
    ("terms", "validity", "field"),
    [
        ({**CALLS, "meter": "nothing"}, {}, "meter"),
        ({**CALLS, "unit_amount": "-1"}, {}, "unit_amount"),
        (
            {
                **TOKENS,
                "dimensions": ["region"],
                "rows": [{"match": {}, "unit_amount": "1"}],
                "unmatched": None,
            },
            {},
            "dimensions",
        ),
        ({**CALLS, "kind": "one_time"}, {}, "kind"),
        (CALLS, {"currency": "XXZ"}, "currency"),
        (CALLS, {"effective_from": date(2026, 1, 2), "effective_until": date(2026, 1, 2)}, "effective_until"),
        (fixed("nothing", "1"), {}, "workload"),
        (fixed("bot", "-1"), {}, "amount"),
        (fixed("bot", "1", meter="nothing"), {}, "meter"),
        (fixed("bot", "1", unit_amount="2"), {}, "unit_amount"),
    ],
)
def test_a_wrong_cost_rate_names_its_field(terms: dict[str, Any], validity: Any, field: str) -> None:
    with pytest.raises(InvalidCostRate) as refused:
        cost(terms, **validity)
    assert list(refused.value.fields) == [field]
    assert not CostRate.objects.exists()


@pytest.mark.usefixtures("meters")
def test_tiers_hold_for_the_usage_of_all_in_a_month_and_each_has_its_share() -> None:
    """1,000 calls at 0.01, further ones at 0.005: 3,000 calls are 20, of which acme's 750 are a quarter."""
    tiers = [{"up_to": "1000", "unit_amount": "0.01"}, {"up_to": None, "unit_amount": "0.005"}]
    cost({"meter": "api_calls", "model": "graduated", "tiers": tiers})
    make_customer("globex")
    send(
        activity("a", "api_calls", "750"),
        activity("b", "api_calls", "2250", customer="globex", occurred_at="2026-10-20T00:00:00Z"),
    )
    assert by("customer") == {"acme": Decimal(5), "globex": Decimal(15)}
    half = costs(OCTOBER, datetime(2026, 10, 16, tzinfo=UTC), group_by=["customer"])
    assert by("customer", half) == {"acme": Decimal(5)}  # still the price of the whole month


@pytest.mark.usefixtures("meters")
def test_a_fixed_cost_accrues_over_the_month_and_is_spread_by_usage() -> None:
    cost(fixed("index", "31.00"), CALLS)
    make_customer("globex")
    send(
        activity("a", "api_calls", "10", workload="index"),
        activity("b", "api_calls", "10", workload="index"),
        activity("c", "api_calls", "500", workload="index", customer="globex"),
        activity("d", "api_calls", "1", workload="bot", customer="globex"),
    )
    # Two of the three events that name the index are acme's.
    assert october("customer").groups["acme",].cost == 31 * Fraction(2, 3) + Fraction("0.04")
    assert by("workload") == {"index": Decimal("32.04"), "bot": Decimal("0.002")}
    week = costs(OCTOBER, datetime(2026, 10, 8, tzinfo=UTC))
    assert week.total == 7 + Fraction("1.042")  # 7 of 31 days


@pytest.mark.usefixtures("meters")
def test_a_fixed_cost_can_be_spread_by_the_quantity_of_one_meter() -> None:
    cost(fixed("index", "30", meter="api_calls"), {**CALLS, "unit_amount": "0"})
    make_customer("globex")
    send(
        activity("a", "api_calls", "10", workload="index"),
        activity("b", "api_calls", "20", workload="index", customer="globex"),
    )
    assert by("customer") == {"globex": Decimal(20), "acme": Decimal(10)}


@pytest.mark.usefixtures("meters")
def test_a_fixed_cost_without_usage_of_its_own_is_spread_by_what_it_is_part_of_then_by_all_then_stays_visible() -> (
    None
):
    bot, index = Workload.objects.get(code="bot"), Workload.objects.get(code="index")
    cost(fixed("index", "30"), {**CALLS, "unit_amount": "0"})
    assert (october("workload").groups["index",].cost, october("customer").unassigned) == (30, 30)
    make_customer("globex")
    send(activity("a", "api_calls", "1"), activity("b", "api_calls", "1", workload="bot", customer="globex"))
    assert by("customer") == {"acme": Decimal(15), "globex": Decimal(15)}
    index.parent = bot
    index.save()
    assert by("customer") == {"globex": Decimal(30), "acme": Decimal(0)}


@pytest.mark.usefixtures("meters")
def test_an_unknown_workload_name_is_unassigned_until_it_is_mapped_and_its_past_comes_along() -> None:
    cost(CALLS)
    send(activity("a", "api_calls", "500", workload="old_bot"), activity("b", "api_calls", "500"))
    report = october("workload")
    assert (report.unassigned, by("workload", report)) == (2, {})
    assert {name: group.cost for name, group in report.unassigned_names.items()} == {"old_bot": 1, "": 1}
    WorkloadName.objects.filter(name="old_bot").update(workload=Workload.objects.get(code="bot"))
    assert by("workload") == {"bot": Decimal(1)}
    WorkloadRule.objects.create(
        workload=Workload.objects.get(code="index"), meter=Meter.objects.get(code="api_calls")
    )
    assert by("workload") == {"bot": Decimal(1), "index": Decimal(1)}


@pytest.mark.usefixtures("meters")
@pytest.mark.parametrize(
    "rule",
    [
        {"source": "gpu"},
        {"dimension": "model", "value": "large"},
        {"dimension": "model", "value": "large", "source": "gpu"},
    ],
)
def test_rules_assign_by_source_and_dimension(rule: dict[str, str]) -> None:
    cost({**TOKENS, "rows": [{"match": {}, "unit_amount": "1"}], "unmatched": None})
    WorkloadRule.objects.create(workload=Workload.objects.get(code="bot"), **rule)
    fits = activity("a", "llm_tokens", "1000000", dimensions={"model": "large"})
    send(fits, source="gpu")
    send(activity("b", "llm_tokens", "2000000", dimensions={"model": "small"}), source="api")
    assert (by("workload"), october("workload").unassigned) == ({"bot": Decimal(1)}, 2)


@pytest.mark.usefixtures("meters")
def test_money_inside_the_event_is_a_cost_as_it_is() -> None:
    """Who knows the cost sends it as the value of a meter whose cost rate takes the sum of values."""
    make_meter("provider_cost", type="sum", unit="dollar")
    cost({"meter": "provider_cost", "model": "dynamic"})
    send(
        activity("a", "provider_cost", "0.0123", workload="bot"),
        activity("b", "provider_cost", "1.5", workload="bot"),
    )
    assert by("workload") == {"bot": Decimal("1.5123")}


@pytest.mark.usefixtures("meters")
def test_nothing_is_converted_between_currencies() -> None:
    cost(CALLS)
    cost(TOKENS, currency="EUR")
    send(
        activity("a", "api_calls", "1000"),
        activity("b", "llm_tokens", "1000000", dimensions={"type": "input"}),
    )
    with pytest.raises(CostsUnclear, match="EUR, USD"):
        october()
    report = october("meter", currency="EUR")
    assert by("meter", report) == {"llm_tokens": Decimal("0.5")}
    assert [each.reason for each in report.unknown] == ["Its cost rate is in USD, and nothing is converted."]


@pytest.mark.usefixtures("meters")
@pytest.mark.parametrize(
    "group_by", [["nothing"], ["workload"] * 2, ["workload", "meter", "customer", "day"]]
)
def test_groups_that_mean_nothing_are_refused(group_by: list[str]) -> None:
    with pytest.raises(CostsUnclear):
        october(*group_by)


@pytest.mark.usefixtures("meters")
def test_costing_asks_as_often_for_many_workloads_as_for_one(django_assert_num_queries: Any) -> None:
    cost(CALLS, TOKENS, fixed("bot", "1"), fixed("index", "1"))
    send(*(activity(f"e{n}", "api_calls", "1", workload=f"w{n}") for n in range(20)))
    with django_assert_num_queries(7):
        october("workload", "meter")


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["llm_tokens", "api_calls", "peak", "people"]),
        st.integers(0, 5_000),
        st.sampled_from(["acme", "globex"]),
        st.sampled_from([None, "bot", "index", "unknown"]),
        st.sampled_from([None, "t-1", "t-2"]),
        st.sampled_from([None, "input", "output"]),
        st.integers(0, 30),
    ),
    max_size=12,
)
PRICES = st.sampled_from(
    [
        {"model": "per_unit", "unit_amount": "0.07"},
        {"model": "per_unit", "unit_amount": "0.07", "included_units": "100", "minimum_amount": "11"},
        {
            "model": "graduated",
            "tiers": [
                {"up_to": "700", "unit_amount": "0.03", "flat_amount": "5"},
                {"up_to": None, "unit_amount": "0.01"},
            ],
        },
        {"model": "package", "package_size": "300", "package_amount": "7"},
        {
            "model": "per_unit",
            "dimensions": ["type"],
            "rows": [{"match": {"type": "input"}, "unit_amount": "2"}, {"match": {}, "unit_amount": "1"}],
        },
        {
            "model": "volume",
            "tiers_apply": "pooled",
            "dimensions": ["type"],
            "rows": [
                {
                    "match": {"type": "input"},
                    "tiers": [{"up_to": "9", "unit_amount": "3"}, {"up_to": None, "unit_amount": "1"}],
                },
                {
                    "match": {},
                    "tiers": [{"up_to": None, "unit_amount": "1", "flat_amount": "4"}],
                    "maximum_amount": "90",
                },
            ],
        },
    ]
)


class AllGroupingsAgree(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(events=EVENTS, prices=st.lists(PRICES, min_size=4, max_size=4), split=st.integers(2, 30))
    def test_total_cost_by_workload_is_that_by_customer_by_meter_and_by_day(
        self, events: list[Any], prices: list[dict[str, Any]], split: int
    ) -> None:
        catalog.forget()  # ids of the example before, which was rolled back
        make_meter("llm_tokens", type="sum", dimensions=["type"])
        make_meter("api_calls", dimensions=["type"])
        make_meter("peak", type="max", dimensions=["type"])
        make_meter("people", type="unique", dimensions=["type"])
        make_customer()
        make_customer("globex")
        for code in ("bot", "index"):
            Workload.objects.create(code=code, name=code)
        for code, price in zip(("llm_tokens", "api_calls", "peak", "people"), prices, strict=True):
            cost({"meter": code, **price}, effective_until=date(2026, 10, split))
            cost({"meter": code, **price}, effective_from=date(2026, 10, split))
        cost(fixed("index", "30.01"), fixed("bot", "1", meter="api_calls"))
        send(*(
            {"key": f"e{n}", "meter": meter, "value": str(value), "customer": customer,
             "occurred_at": f"2026-10-{day + 1:02}T05:00:00Z"}
            | ({"workload": workload} if workload else {})
            | ({"subject": subject} if subject else {"subject": "t-0"} if meter == "people" else {})
            | ({"dimensions": {"type": kind}} if kind else {})
            for n, (meter, value, customer, workload, subject, kind, day) in enumerate(events)
        ))  # fmt: skip
        whole = october().total
        assert october().unknown == []
        for group_by in (
            ("workload",),
            ("customer",),
            ("meter",),
            ("day",),
            ("subject",),
            ("type",),
            ("customer", "workload"),
        ):
            report = october(*group_by)
            assert report.total == whole, group_by
            assert sum(group.cost for group in report.groups.values()) + report.unassigned == whole, group_by
        whole_month = october("customer").groups
        for customer in Customer.objects.all():
            part = cost_entries(
                OCTOBER, NOVEMBER, group_by=["customer"], currency="USD", customer_ids=[customer.pk]
            )
            expected = whole_month[customer.code,].cost if (customer.code,) in whole_month else 0
            assert part.total == expected, "the cost of one customer is its part of the whole"
