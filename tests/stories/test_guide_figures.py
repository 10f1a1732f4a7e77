"""The published guide figures as real invoices, from the plan over HTTP to the lines of the closed month."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing.closing import close_period
from billing.models import Invoice, Plan
from billing.months import Month
from tests.factories import NOW, event, make_customer, make_meter, send
from tests.integrator import Integrator, fresh, integrator

__all__ = ["fresh", "integrator"]
USAGE = {"kind": "usage", "model": "per_unit"}


def bill(integrator: Integrator, *rates: dict[str, Any], seats: int = 1, **plan: Any) -> Invoice:
    """Make and assign a plan over HTTP, close October, and give Acme's invoice. Events were sent before."""
    body = {"code": "guide", "name": "Guide", "rates": list(rates)} | plan
    status, answer = integrator.post("plans/", body)
    assert status == 201, answer
    status, answer = integrator.post("plans/guide/activate/")
    assert status == 200, answer
    subscription = {"customer": "acme", "plan": "guide", "start_on": "2026-10-01", "quantity": seats}
    assert integrator.post("subscriptions/", subscription)[0] == 201
    report = close_period(Month(2026, 10), now=NOW, grace_days=0)
    assert report.failures == []
    return Invoice.objects.get()


def use(meter: str, *quantities: str, **dimensions: str) -> None:
    """Send one event for each quantity."""
    base = f"{meter}-{'-'.join(dimensions.values())}"
    fields = {"meter": meter} | ({"dimensions": dimensions} if dimensions else {})
    send(*(event(f"{base}-{n}", value=each, **fields) for n, each in enumerate(quantities)))


def lines(invoice: Invoice) -> list[tuple[str, str]]:
    return [(line.description, f"{line.amount:f}".rstrip("0").rstrip(".")) for line in invoice.lines.all()]


def test_199_dollars_with_included_audio_and_transcription_minutes(integrator: Integrator) -> None:
    make_customer()
    make_meter("audio", type="sum", unit="minute", label="Audio")
    make_meter("transcription", type="sum", unit="minute", label="Transcription")
    use("audio", "700", "500")  # 1,200: 200 beyond the 1,000 included x $0.05 = $10
    use("transcription", "600")  # 100 beyond the 500 included x $0.08 = $8
    invoice = bill(
        integrator,
        {"kind": "subscription", "label": "Pro Plan Subscription", "amount": "199.00"},
        USAGE | {"meter": "audio", "unit_amount": "0.05", "included_units": "1000"},
        USAGE | {"meter": "transcription", "unit_amount": "0.08", "included_units": "500"},
    )
    assert lines(invoice) == [("Pro Plan Subscription", "199"), ("Audio", "10"), ("Transcription", "8")]
    assert invoice.total == 217


def test_api_calls_at_a_cent_with_tokens_by_model_and_type(integrator: Integrator) -> None:
    make_customer()
    make_meter("api_calls", unit="call", label="API calls")
    make_meter("llm_tokens", type="sum", unit="token", label="LLM tokens", dimensions=["model", "type"])
    send(*(event(f"call-{n}", meter="api_calls") for n in range(250)))
    use("llm_tokens", "1000000", "500000", model="a", type="input")  # 1.5 million x $0.00001 = $15
    use("llm_tokens", "200000", model="b", type="output")  # x $0.00002 = $4
    invoice = bill(
        integrator,
        USAGE | {"meter": "api_calls", "unit_amount": "0.01"},
        USAGE
        | {
            "meter": "llm_tokens",
            "per": "1000000",
            "dimensions": ["model", "type"],
            "rows": [
                {"match": {"model": "a", "type": "input"}, "unit_amount": "10"},
                {"match": {}, "unit_amount": "20"},
            ],
        },
    )
    assert lines(invoice) == [("API calls", "2.5"), ("LLM tokens", "19")]
    working = invoice.lines.get(n=2).working
    assert [(step["unit_amount"], step["per"], Decimal(step["amount"])) for step in working] == [
        ("10", "1000000", 15),
        ("20", "1000000", 4),
    ]


def test_a_hundred_hours_at_50_dollars(integrator: Integrator) -> None:
    make_customer()
    make_meter("hours", type="sum", unit="hour")
    use("hours", "60.5", "39.5")
    assert bill(integrator, USAGE | {"meter": "hours", "unit_amount": "50"}).total == 5000


def test_hours_by_region(integrator: Integrator) -> None:
    make_customer()
    make_meter("hours", type="sum", unit="hour", dimensions=["region"])
    for region, hours in (("USA", "10"), ("EMEA", "40"), ("APAC", "50")):
        use("hours", hours, region=region)
    rows = [
        {"match": {"region": region}, "unit_amount": price}
        for region, price in (("USA", "30"), ("EMEA", "40"), ("APAC", "50"))
    ]
    rate = USAGE | {"meter": "hours", "dimensions": ["region"], "rows": rows, "unmatched": "listed"}
    # 10 x $30 + 40 x $40 + 50 x $50 = 300 + 1,600 + 2,500
    assert bill(integrator, rate).total == 4400


@pytest.mark.parametrize(("minutes", "total"), [("3000", 0), ("3001", 10), ("4000", 10), ("4000.5", 20)])
def test_ci_minutes_by_started_thousand(integrator: Integrator, minutes: str, total: int) -> None:
    make_customer()
    make_meter("ci_minutes", type="sum", unit="minute")
    use("ci_minutes", minutes)
    rate = {
        "kind": "usage", "meter": "ci_minutes", "model": "package", "package_size": "1000", "package_amount": "10",
        "included_units": "3000",
    }  # fmt: skip
    assert bill(integrator, rate).total == total


def test_seats_minimum_included_spend_and_service_fee_are_lines_of_their_own(integrator: Integrator) -> None:
    make_customer()
    make_meter("hours", type="sum", unit="hour", label="Hours")
    use("hours", "10")
    invoice = bill(
        integrator,
        USAGE | {"meter": "hours", "unit_amount": "8"},
        {"kind": "subscription", "label": "Seat", "amount": "20.00", "per_seat": True},
        seats=5,
        included_spend="30",
        minimum_amount="200",
        service_fee_percent="2.5",
    )
    # 80 - 30 + 5 x 20 = 150; 50 are missing to 200; 2.5 % of 200 = 5.
    assert lines(invoice) == [
        ("Hours", "80"),
        ("Seat", "100"),
        ("Included spend", "-30"),
        ("Plan minimum", "50"),
        ("Service fee 2.5 %", "5"),
    ]
    assert invoice.total == 205
    for line in invoice.lines.all():
        assert sum(Decimal(step["amount"]) for step in line.working) == line.amount


def test_credits_of_a_cent_are_printed_in_dollars(integrator: Integrator) -> None:
    make_customer()
    make_meter("actions", unit="action", label="Actions")
    send(*(event(f"a-{n}", meter="actions") for n in range(7)))
    rate = USAGE | {"meter": "actions", "unit_amount": "25"}
    invoice = bill(integrator, rate, custom_unit="credit", custom_unit_value="0.01")
    assert lines(invoice) == [("Actions (1 credit = $0.01)", "1.75")]  # 7 x 25 credits x $0.01


@pytest.mark.parametrize(("currency", "total"), [("JPY", "7"), ("USD", "7.41"), ("KWD", "7.407")])
def test_an_amount_is_rounded_to_the_digits_of_its_currency(
    integrator: Integrator, currency: str, total: str
) -> None:
    make_customer(currency=currency)
    make_meter("hours", type="sum", unit="hour")
    use("hours", "6")  # x 1.2345 = 7.4070
    assert bill(
        integrator, USAGE | {"meter": "hours", "unit_amount": "1.2345"}, currency=currency
    ).total == Decimal(total)


def test_a_yearly_plan_invoices_its_usage_monthly_and_its_fee_once(integrator: Integrator) -> None:
    make_customer()
    make_meter("hours", type="sum", unit="hour", label="Hours")
    send(
        event("aug", meter="hours", value="1", occurred_at="2026-08-05T00:00:00Z"),
        event("sep", meter="hours", value="2", occurred_at="2026-09-05T00:00:00Z"),
    )
    rates = [
        USAGE | {"meter": "hours", "unit_amount": "10"},
        {"kind": "subscription", "label": "Year", "amount": "1200.00"},
    ]
    body = {
        "code": "guide",
        "name": "Guide",
        "billing_period": "yearly",
        "usage_period": "monthly",
        "rates": rates,
    }
    integrator.post("plans/", body)
    integrator.post("plans/guide/activate/")
    sent = {"customer": "acme", "plan": "guide", "start_on": "2026-08-01", "anchor": "anniversary"}
    assert integrator.post("subscriptions/", sent)[0] == 201
    for month in (8, 9, 10):
        close_period(Month(2026, month), now=NOW, grace_days=0)
    invoices = list(Invoice.objects.order_by("period_start"))
    assert [lines(each) for each in invoices] == [
        [("Hours", "10"), ("Year", "1200")],
        [("Hours", "20")],
        [("Hours", "0")],
    ]
    fee = invoices[0].lines.get(n=2)
    assert (f"{fee.period_start}", f"{fee.period_end}") == ("2026-08-01", "2027-08-01")


@pytest.mark.parametrize(
    ("tiers", "path", "words"),
    [
        ([], "rates.0.tiers", "1 to 1,000 rows"),
        ([("100", "2"), ("100", "1"), (None, "1")], "rates.0.tiers.1.up_to", "tier 1 already"),
        ([("100", "2"), ("50", "1"), (None, "1")], "rates.0.tiers.1.up_to", "below the bound"),
        ([(None, "2"), ("100", "1")], "rates.0.tiers.0.up_to", "Only the last tier"),
        ([(None, "2"), (None, "1")], "rates.0.tiers.1.up_to", "open already"),
        ([("100", "2"), ("200", "1")], "rates.0.tiers.1.up_to", "must be empty"),
        ([("100", "-2"), (None, "1")], "rates.0.tiers.0.unit_amount", "negative"),
        ([("x", "2"), (None, "1")], "rates.0.tiers.0.up_to", "decimal number"),
    ],
)
@pytest.mark.parametrize("model", ["graduated", "volume"])
def test_every_refused_tier_shape_is_refused_with_the_row_named(
    integrator: Integrator, model: str, tiers: list[tuple[str | None, str]], path: str, words: str
) -> None:
    make_meter()
    rows = [{"up_to": up_to, "unit_amount": price} for up_to, price in tiers]
    rate = {"kind": "usage", "meter": "tickets_resolved", "model": model, "tiers": rows}
    status, answer = integrator.post("plans/", {"name": "Refused", "rates": [rate]})
    assert status == 400
    assert words in " ".join(answer["error"]["fields"][path])
    assert Plan.objects.count() == 0
