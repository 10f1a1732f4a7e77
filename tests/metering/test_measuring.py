"""What each type of meter gives, in figures worked by hand: the examples of docs/meters.md and their edges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.previewing import preview_invoice
from customers.models import Customer
from metering.behind import events_behind
from metering.ledger import place_batches
from metering.measuring import Measure, measure, measure_all, measure_series
from metering.models import Meter
from metering.periods import Interval, month_period
from metering.spans import Asked, Span
from tests.factories import NOW, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


def measured(
    definition: dict[str, Any], sent: Sequence[dict[str, Any]], *, zone: str = "UTC", **options: Any
) -> Measure:
    """Send events to a new meter and measure October."""
    customer = make_customer()
    meter = make_meter(dimensions=["channel", "region"], **definition)
    if sent:
        send(*(event(f"evt-{place}", **each) for place, each in enumerate(sent)))
    return measure(meter, [Span(0, customer.pk, *OCTOBER, zone=zone)], **options)[0]


def at(day: str, value: str | None = None, **fields: Any) -> dict[str, Any]:
    """An event of a day of October, such as "03" or "03T10:00"."""
    moment = f"2026-10-{day}" + ("" if "T" in day else "T00:00") + ":00Z"
    return {"occurred_at": moment} | ({"value": value} if value is not None else {}) | fields


TWENTY = [at("03", str(n)) for n in range(1, 21)]


@pytest.mark.parametrize(
    ("definition", "sent", "quantity"),
    [
        ({"type": "count"}, [at("01"), at("02", "2"), at("03")], "4"),
        ({"type": "sum"}, [at("01", "10"), at("02", "2.5"), at("03", "2.5")], "15"),
        ({"type": "max"}, [at("01", "40"), at("01T10:00", "95"), at("02", "60")], "95"),
        ({"type": "max", "window": "day"}, [at("01", "40"), at("01T10:00", "95"), at("02", "60")], "155"),
        ({"type": "max"}, [at("01", "-3"), at("02", "-1")], "-1"),
        ({"type": "min"}, [at("01", "20"), at("02", "10"), at("03", "0")], "0"),
        ({"type": "latest"}, [at("02", "14"), at("01", "18")], "14"),
        ({"type": "average"}, [at("01", "10"), at("01", "20"), at("03", "15"), at("03", "5")], "12.5"),
        ({"type": "average"}, [at("01", "1"), at("01", "0"), at("01", "0")], "0." + "3" * 24),
        ({"type": "average"}, [at("01", "1"), at("01", "1"), at("01", "0")], "0." + "6" * 23 + "7"),
        ({"type": "unique"}, [at("01", subject="A"), at("02", subject="A"), at("03", subject="B")], "2"),
        ({"type": "unique"}, [at("01", subject="a"), at("02", subject="A")], "2"),
        (
            {"type": "unique", "value_dimension": "user"},
            [at("01", dimensions={"user": "u"}), at("02", dimensions={"user": "u"})],
            "1",
        ),
        ({"type": "weighted_sum"}, [at("01", "10"), at("17", "5")], "12.419354838709677419354839"),
        ({"type": "percentile", "percentile": Decimal(95)}, TWENTY, "19"),
        ({"type": "percentile", "percentile": Decimal(100)}, TWENTY, "20"),
        ({"type": "percentile", "percentile": Decimal("95.1")}, TWENTY, "20"),
        ({"type": "percentile", "percentile": Decimal("0.1")}, TWENTY, "1"),
        ({"type": "sum", "divisor": Decimal(3600), "rounding_function": "up"}, [at("01", "3700")], "2"),
        ({"type": "sum", "divisor": Decimal(3600)}, [at("01", "3600")], "1"),
        ({"type": "sum", "factor": Decimal("0.01")}, [at("01", "12345")], "123.45"),
        ({"type": "sum", "rounding_function": "half_up"}, [at("01", "0.25"), at("02", "0.25")], "1"),
        ({"type": "sum", "rounding_function": "half_up"}, [at("01", "-0.5")], "-1"),
        (
            {"type": "sum", "rounding_function": "down", "rounding_digits": -2},
            [at("01", "199"), at("02", "99")],
            "200",
        ),
        (
            {"type": "max", "window": "day", "rounding_function": "up"},
            [at("01", "0.2"), at("02", "0.2")],
            "2",
        ),
        (
            {"type": "sum", "filters": {"channel": ["email", "chat"]}},
            [
                at("01", "1", dimensions={"channel": "email"}),
                at("01", "2", dimensions={"channel": "phone"}),
                at("01", "4"),
                at("01", "8", dimensions={"channel": "chat"}),
            ],
            "9",
        ),
    ],
)
def test_the_quantity_of_a_type(
    definition: dict[str, Any], sent: list[dict[str, Any]], quantity: str
) -> None:
    assert measured(definition, sent).quantity == Decimal(quantity)


@pytest.mark.parametrize(
    "definition",
    [
        {"type": type_}
        for type_ in ("count", "sum", "max", "min", "latest", "average", "unique", "weighted_sum")
    ]
    + [{"type": "max", "window": "hour"}, {"type": "percentile", "percentile": Decimal(50)}],
)
def test_nothing_is_zero(definition: dict[str, Any]) -> None:
    got = measured(definition, [])
    assert (got.quantity, got.events, got.groups) == (0, 0, ())


def test_a_level_is_carried_over_from_before_the_period() -> None:
    before = {"occurred_at": "2026-08-15T00:00:00Z", "value": "7"}
    got = measured({"type": "weighted_sum"}, [before])
    assert (got.quantity, got.events) == (7, 0)


def test_a_level_without_news_ends_with_its_time_out_and_starts_again_from_zero() -> None:
    # 8 held for 24 of 744 hours, then nothing, then 4 (not 12) for 24 hours: 288 / 744.
    definition = {"type": "weighted_sum", "timeout_hours": Decimal(24)}
    got = measured(definition, [at("02", "8"), at("10", "4")])
    assert got.quantity == Decimal("0.387096774193548387096774")


def test_a_level_ends_at_the_very_instant_of_its_time_out() -> None:
    # News exactly 24 hours later is too late: 8 for 24 hours, then 1 (not 9) for 24 hours: 216 / 744.
    definition = {"type": "weighted_sum", "timeout_hours": Decimal(24)}
    got = measured(definition, [at("02", "8"), at("03", "1")])
    assert got.quantity == Decimal("0.290322580645161290322581")


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_latest_events_at_one_instant_the_greater_id_counts(first: int) -> None:
    customer, meter = make_customer(), make_meter(type="latest")
    small, great = "00000000-0000-7000-8000-000000000001", "ffffffff-0000-7000-8000-000000000001"
    pair = [event(small, **at("02", "1")), event(great, **at("02", "2"))]
    send(pair[first])
    send(pair[1 - first])
    assert measure(meter, [Span(0, customer.pk, *OCTOBER)])[0].quantity == 2


def test_a_run_of_news_from_long_before_the_period_keeps_its_level() -> None:
    # One more every 23 hours since 29 September: 3 held for 10 hours of October, then 4 for 24: 126 / 744.
    definition = {"type": "weighted_sum", "timeout_hours": Decimal(24)}
    before = [
        {"occurred_at": f"2026-09-{moment}:00Z", "value": "1"}
        for moment in ("29T00:00", "29T23:00", "30T22:00")
    ]
    got = measured(definition, [*before, at("01T10:00", "1")])
    assert (got.quantity, got.events) == (Decimal("0.169354838709677419354839"), 1)


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "sum"},
        {"type": "weighted_sum"},
        {"type": "weighted_sum", "timeout_hours": Decimal(24)},
        {"type": "max", "window": "day"},
    ],
)
def test_events_are_those_from_the_first_instant_of_the_period_until_before_the_next(
    definition: dict[str, Any],
) -> None:
    before = {"occurred_at": "2026-09-30T23:59:59Z", "value": "1"}
    after = {"occurred_at": "2026-11-01T00:00:00Z", "value": "1"}
    got = measured(definition, [before, at("01", "1"), at("01T10:00", "1"), at("02", "1"), after])
    assert got.events == 3


def test_values_are_in_the_order_of_time_then_of_the_key_and_one_where_none_was_sent() -> None:
    customer, meter = make_customer(), make_meter()
    early, late = "00000000-0000-7000-8000-000000000001", "ffffffff-0000-7000-8000-000000000001"
    send(event(late, **at("02", "5")))
    send(event(early, **at("02")), event("ffffffff-0000-7000-8000-000000000002", **at("01", "3")))
    assert measure(meter, [Span(0, customer.pk, *OCTOBER)], with_values=True)[0].values == (3, 1, 5)


def test_news_in_time_keeps_a_level_alive() -> None:
    # 8 from the 2nd to the 3rd, 8 again (news of no change) to the 4th: 48 hours of 8 in 744.
    definition = {"type": "weighted_sum", "timeout_hours": Decimal(25)}
    got = measured(definition, [at("02", "8"), at("03", "0")])
    assert got.quantity == Decimal("0.526881720430107526881720")


def test_the_total_of_groups_is_taken_over_all_events_never_over_the_groups() -> None:
    sent = [
        at("01", "10", dimensions={"channel": "email"}),
        at("02", "20", dimensions={"channel": "email"}),
        at("03", "60", dimensions={"channel": "chat"}),
        at("04", "30"),
    ]
    got = measured({"type": "average"}, sent, group_by=["channel"])
    assert (got.quantity, got.events) == (30, 4)
    assert [(group.dimensions["channel"], group.quantity) for group in got.groups] == [
        ("", 30),
        ("chat", 60),
        ("email", 15),
    ]


def test_each_group_and_the_total_are_rounded_from_their_own_exact_totals() -> None:
    sent = [at("01", "0.4", dimensions={"channel": name}) for name in ("a", "b", "c")]
    got = measured({"type": "sum", "rounding_function": "half_up"}, sent, group_by=["channel"])
    assert got.quantity == 1
    assert [group.quantity for group in got.groups] == [0, 0, 0]


def test_a_day_of_the_customer_is_one_window_also_with_a_clock_change() -> None:
    # Berlin's 25th of October has 25 hours: from 22:00 to 23:00 UTC the next day.
    sent = [at("24T21:59", "1"), at("24T22:00", "2"), at("25T22:59", "4"), at("25T23:00", "8")]
    got = measured({"type": "max", "window": "day"}, sent, zone="Europe/Berlin")
    assert got.windows == (1, 4, 8)


def test_the_hour_that_a_clock_set_back_shows_twice_is_two_windows() -> None:
    sent = [at("25T00:30", "1"), at("25T01:30", "2")]  # both half past two in Berlin
    got = measured({"type": "max", "window": "hour"}, sent, zone="Europe/Berlin")
    assert got.windows == (1, 2)


def test_hours_of_a_half_hour_zone_begin_on_its_own_clock() -> None:
    sent = [at("05T10:29", "1"), at("05T10:30", "2"), at("05T11:29", "3")]  # 15:59, 16:00 and 16:59
    assert measured({"type": "max", "window": "hour"}, sent, zone="Asia/Kolkata").windows == (1, 3)


def test_points_are_converted_and_only_the_total_is_rounded() -> None:
    measured(
        {"type": "sum", "divisor": Decimal(60), "rounding_function": "up"}, [at("01", "30"), at("02", "30")]
    )
    (series,) = measure_series(
        Meter.objects.get(),
        start=OCTOBER[0],
        end=datetime(2026, 10, 4, tzinfo=UTC),
        interval=Interval.DAY,
        zone="UTC",
    )
    assert [point.value for point in series.points] == [Decimal("0.5"), Decimal("0.5"), 0]
    assert series.total == 1


def test_the_events_behind_a_quantity_are_those_that_count() -> None:
    sent = [
        at("02", "1", dimensions={"channel": "email"}),
        at("01", "2", dimensions={"channel": "email"}),
        at("01", "4", dimensions={"channel": "chat"}),
        at("01", "8"),
    ]
    measured({"type": "sum", "filters": {"channel": ["email"]}}, sent)
    meter = Meter.objects.get()
    behind = events_behind(
        meter_id=meter.pk, customer_id=Customer.objects.get().pk, start=OCTOBER[0], end=OCTOBER[1]
    )
    assert [stored.value for stored in behind] == [2, 1]


def test_each_peak_is_priced_on_its_own() -> None:
    # Peaks of 12 and 8 with 10 included each: 2 x $2.00, not 20 - 10 = 10 x $2.00.
    customer = make_customer()
    make_meter(type="max", window="day")
    rate = {
        "kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "2", "included_units": "10",
    }  # fmt: skip
    subscription = make_subscription(customer, make_plan(rate))
    send(event("a", **at("01", "12")), event("b", **at("02", "8")), event("c", **at("02T01:00", "3")))
    draft = preview_invoice(subscription, period=month_period(2026, 10, "UTC"), now=NOW)
    assert (draft.lines[0].quantity, draft.total) == (20, Decimal("4.00"))


def test_all_customers_are_measured_in_one_query(django_assert_num_queries: Any) -> None:
    meter = make_meter(type="average", dimensions=["channel"])
    customers = [make_customer(f"c{n}") for n in range(5)]
    send(*(event(f"e{n}", customer=f"c{n}", value=str(n)) for n in range(5)))
    spans = [Span(n, customer.pk, *OCTOBER) for n, customer in enumerate(customers)]
    with django_assert_num_queries(1):
        got = measure(meter, spans, group_by=["channel"])
    assert {slot: each.quantity for slot, each in got.items()} == {n: Decimal(n) for n in range(5)}


def test_meters_of_every_type_asked_together_say_what_each_says_alone(django_assert_num_queries: Any) -> None:
    customers = [make_customer(f"c{n}") for n in range(2)]
    types: list[dict[str, Any]] = [
        *(
            {"type": name}
            for name in ("count", "sum", "max", "min", "latest", "average", "unique", "weighted_sum")
        ),
        {"type": "max", "window": "day"},
        {"type": "percentile", "percentile": Decimal(50)},
        {"type": "weighted_sum", "timeout_hours": Decimal(24)},
        {"type": "sum", "filters": {"channel": ["chat"]}},
        {"once_per_subject": "ever"},
        {"once_per_subject": "period", "verification_hours": Decimal(24)},
    ]
    meters = [make_meter(f"m{n}", dimensions=["channel"], **each) for n, each in enumerate(types)]
    # A value, a channel and a subject for each day, repeated on others; the third customer's neighbour has fewer.
    send(
        *(
            event(
                f"{meter.code}-{n}",
                meter=meter.code,
                customer=f"c{n % 3 % 2}",
                occurred_at=f"2026-10-{n + 1:02}T05:00:00Z",
                value=f"{n % 4}.{n}",
                subject=f"ticket-{n % 7}",
                dimensions={"channel": ("chat", "mail", "")[n % 3]} if n % 5 else {},
            )
            for meter in meters
            for n in range(12)
        )
    )
    as_of = place_batches()
    spans = [Span(n, each.pk, *OCTOBER, zone="Asia/Kolkata") for n, each in enumerate(customers)]
    asked = [
        Asked(meter, spans, group_by, with_values and not meter.timeout_hours)
        for meter in meters
        for group_by in ((), ("channel",))
        for with_values in (False, True)
    ]
    for position in (None, as_of):
        alone = [
            measure(
                each.meter, each.spans, group_by=each.group_by, with_values=each.with_values, as_of=position
            )
            for each in asked
        ]
        assert all(each[0].events for each in alone)
        with django_assert_num_queries(2):  # one asks whether outcomes are settled ahead
            assert measure_all(asked, as_of=position) == alone
