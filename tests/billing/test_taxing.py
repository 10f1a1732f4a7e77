"""Tax: which rate a customer has, when there is none, and sums that are rounded once per rate."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from billing.closing import close_period
from billing.models import Invoice, Subscription, TaxRate, TaxSetup
from billing.months import Month
from customers.models import Customer
from metering.correcting import void_event
from metering.models import Event
from tests.billing.money import cents, sums, tax
from tests.factories import NOW, TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
OCTOBER = Month(2026, 10)
GERMAN = "DE136695976"


def fee(amount: str, label: str = "Fee", **fields: str) -> dict[str, str]:
    return {"kind": "subscription", "label": label, "amount": amount, "timing": "in_arrears"} | fields


def subscribed(*rates: dict[str, str], **customer: object) -> Subscription:
    fields = {"country": "DE", "currency": "EUR"} | customer
    plan = make_plan(*(rates or (fee("100.00"),)), currency=fields["currency"])
    return make_subscription(make_customer(**fields), plan)


def close(month: Month = OCTOBER, *, now: datetime = NOW) -> Invoice:
    close_period(month, now=now, grace_days=0)
    return Invoice.objects.get(period_start=month.first)


def printed(invoice: Invoice) -> list[tuple[str, str, str, str]]:
    return [(each["name"], each["percent"], each["base"], each["amount"]) for each in invoice.taxes]


def test_tax_is_on_the_sum_of_the_lines_and_rounded_once() -> None:
    """19 % of each 0.03 would be 0.01 three times; of their sum, 0.09, it is 0.02."""
    tax("DE", "19")
    subscribed(*(fee("0.03", f"Fee {n}") for n in range(3)))
    invoice = close()
    assert printed(invoice) == [("VAT", "19", "0.09", "0.02")]
    assert sums(invoice) == {"subtotal": "0.09", "tax": "0.02", "total": "0.11", "amount_due": "0.11"}


def test_tax_inside_prices_is_gross_less_rounded_net_and_changes_no_total() -> None:
    """100.00 with 19 % inside: 100 / 1.19 is 84.0336, so 84.03 and 15.97."""
    tax("DE", "19", inclusive=True)
    subscribed()
    invoice = close()
    assert printed(invoice) == [("VAT", "19", "84.03", "15.97")]
    assert sums(invoice) == {
        "subtotal": "100.00", "tax_included": "15.97", "total": "100.00", "amount_due": "100.00",
    }  # fmt: skip


def test_each_category_has_its_rate_and_one_without_is_taxed_as_standard() -> None:
    tax("DE", "19")
    tax("DE", "7", "reduced")
    subscribed(
        fee("100.00"),
        fee("10.00", "Book", tax_category="reduced"),
        fee("50.00", "Cloud", tax_category="digital"),
        fee("5.00", "Deposit", tax_category="exempt"),
    )
    invoice = close()
    assert printed(invoice) == [
        ("VAT", "19", "150.00", "28.50"), ("VAT", "7", "10.00", "0.70"), ("Not taxable", "0", "5.00", "0.00"),
    ]  # fmt: skip
    assert [list(line.taxed_by) for line in invoice.lines.all()] == [[1], [2], [1], [3]]


@pytest.mark.parametrize(
    ("country", "region", "taxes"),
    [
        ("CA", "", [("GST", "5", "100.00", "5.00")]),
        ("CA", "AB", [("GST", "5", "100.00", "5.00")]),
        ("CA", "ON", [("HST", "13", "100.00", "13.00")]),
        ("CA", "QC", [("QST", "9.975", "100.00", "9.98"), ("GST", "5", "100.00", "5.00")]),
        ("US", "CA", [("Sales tax", "7.25", "100.00", "7.25")]),
        ("US", "NY", []),
        ("", "", []),
    ],
)
def test_a_region_has_its_own_rate_or_one_beside_the_countrys(
    country: str, region: str, taxes: list[tuple[str, ...]]
) -> None:
    tax("CA", "5", name="GST")
    tax("CA", "13", name="HST", region="ON")
    tax("CA", "9.975", name="QST", region="QC", on_top=True)
    tax("US", "7.25", name="Sales tax", region="CA")
    subscribed(country=country, region=region)
    assert printed(close()) == taxes


def test_the_rate_is_that_of_the_last_day_of_the_period() -> None:
    tax("DE", "16", valid_from=date(2026, 7, 1), valid_until=date(2026, 11, 1))
    tax("DE", "19", valid_from=date(2026, 11, 1))
    subscribed()
    assert printed(close()) == [("VAT", "16", "100.00", "16.00")]
    november = close(Month(2026, 11), now=datetime(2026, 12, 5, tzinfo=UTC))
    assert printed(november) == [("VAT", "19", "100.00", "19.00")]


def test_the_day_a_rate_ends_is_the_first_without_it() -> None:
    tax("DE", "16", valid_until=date(2026, 10, 31))
    tax("DE", "19", valid_from=date(2026, 10, 31))
    subscribed()
    assert printed(close()) == [("VAT", "19", "100.00", "19.00")]


def test_an_adjustment_is_taxed_as_the_period_it_adjusts() -> None:
    """Ten tickets of October, 20.00 and 16 %; one is taken back in November, when the rate is 19 %."""
    make_meter()
    tax("DE", "16", valid_from=date(2026, 7, 1), valid_until=date(2026, 11, 1))
    tax("DE", "19", valid_from=date(2026, 11, 1))
    subscribed(TICKETS)
    send(*(event(f"e{n}") for n in range(10)))
    close()
    void_event(Event.objects.get(key="e0"), reason="counted in error", by="tests", now=NOW)
    november = close(Month(2026, 11), now=datetime(2026, 12, 5, tzinfo=UTC))
    assert printed(november) == [("VAT", "16", "-2.00", "-0.32")]
    assert sums(november) == {
        "subtotal": "-2.00", "tax": "-0.32", "total": "-2.32", "credits_applied": "-2.32",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seller", "customer", "name"),
    [
        ("FR", {"tax_id": GERMAN}, "Reverse charge"),
        ("FR", {"tax_id": "DE123"}, "VAT"),
        ("FR", {}, "VAT"),
        ("DE", {"tax_id": GERMAN}, "VAT"),
        ("US", {"tax_id": GERMAN}, "VAT"),
        ("", {"tax_id": GERMAN}, "VAT"),
        ("US", {"tax_id": GERMAN, "tax_treatment": "reverse_charge"}, "Reverse charge"),
        ("US", {"tax_treatment": "reverse_charge"}, "VAT"),
        (
            "FR",
            {"tax_id": GERMAN, "tax_treatment": "exempt", "tax_exempt_reason": "Embassy"},
            "Exempt from tax",
        ),
    ],
)
def test_reverse_charge_needs_another_country_and_a_tax_id_of_valid_form(
    seller: str, customer: dict[str, str], name: str
) -> None:
    tax("DE", "19")
    TaxSetup.objects.create(seller_country=seller)
    subscribed(**customer)
    invoice = close()
    assert [each["name"] for each in invoice.taxes] == [name]
    sentences = {"Reverse charge": TaxSetup.REVERSE_CHARGE_SENTENCE, "Exempt from tax": "Embassy", "VAT": ""}
    assert invoice.taxes[0]["sentence"] == sentences[name]
    assert cents(invoice.tax) == ("19.00" if name == "VAT" else "0.00")


@pytest.mark.parametrize(
    ("currency", "price", "amount"),
    [("JPY", "105", "20"), ("KWD", "1.005", "0.191"), ("EUR", "1.05", "0.20")],
)
def test_tax_is_rounded_to_the_minor_unit_of_the_currency(currency: str, price: str, amount: str) -> None:
    tax("DE", "19")
    subscribed(fee(price), currency=currency)
    assert Decimal(close().taxes[0]["amount"]) == Decimal(amount)


def test_a_changed_rate_never_reaches_an_issued_invoice() -> None:
    rate = tax("DE", "19")
    subscribed()
    before = close().taxes
    TaxRate.objects.filter(pk=rate.pk).update(percent=25)
    assert Invoice.objects.get().taxes == before
    with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
        Invoice.objects.update(taxes=[])


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"valid_from": date(2026, 12, 1)}, "taxrate_one_at_a_time"),
        ({"name": "Other"}, "taxrate_one_at_a_time"),
        ({"country": "XX1"}, "too long|taxrate_country_iso"),
        ({"country": "FR", "percent": Decimal(101)}, "taxrate_percent_in_range"),
        ({"country": "FR", "category": "exempt"}, "taxrate_category_taxable"),
        ({"country": "FR", "on_top": True}, "taxrate_on_top_of_a_country"),
        ({"country": "FR", "valid_until": date(1999, 1, 1)}, "taxrate_valid_for_a_day|range lower bound"),
    ],
)
def test_rates_that_contradict_each_other_are_refused(fields: dict[str, object], constraint: str) -> None:
    tax("DE", "19")
    with pytest.raises(DatabaseError, match=constraint), transaction.atomic():
        TaxRate.objects.create(**({"country": "DE", "percent": Decimal(20), "name": "VAT"} | fields))


def test_an_exempt_customer_needs_a_reason() -> None:
    with pytest.raises(DatabaseError, match="customer_exempt_with_reason"), transaction.atomic():
        Customer.objects.create(code="x", name="X", tax_treatment="exempt")
