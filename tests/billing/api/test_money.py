"""Coupons, credits and tax rates over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from billing.closing import close_period
from billing.models import Coupon, CreditAlert, CreditEntry, CreditGrant, RecurringGrant, TaxRate
from billing.months import Month
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.integrator import Integrator

WELCOME = {"code": "welcome", "name": "Welcome", "kind": "percent", "value": "10"}
CREDIT = {"customer": "acme", "name": "Welcome credit", "amount": "50.00"}
VAT = {"country": "DE", "name": "VAT", "percent": "19"}


def test_a_coupon_is_made_given_used_and_taken_away(integrator: Integrator) -> None:
    make_subscription()
    send_tickets(10)
    status, coupon = integrator.post("coupons/", WELCOME)
    assert status == 201
    assert coupon == WELCOME | {
        "currency": "", "duration": "once", "invoices": None, "plan_codes": [], "rates": [], "valid_from": None,
        "valid_until": None, "max_redemptions": None, "held": 0, "archived_at": None,
        "created_at": coupon["created_at"],
    }  # fmt: skip
    given = {"customer": "acme", "coupon": "welcome", "start_on": "2026-10-01"}
    status, held = integrator.post("customer-coupons/", given)
    assert (status, held["uses"], held["given_by"].startswith("API key integration")) == (201, 0, True)
    status, preview = integrator.post("invoices/preview/", {"customer": "acme", "period": "2026-10"})
    assert (preview["subtotal"], preview["discount"], preview["total"]) == ("20.00", "2.00", "18.00")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    issued = integrator.get("invoices/INV-2026-000001/")[1]
    assert issued["discounts"] == preview["discounts"]
    assert [(each["name"], each["value"], each["amount"]) for each in issued["discounts"]] == [
        ("Welcome", "10", "2.00")
    ]
    assert issued["lines"][0]["discount"] == "2.00"
    assert integrator.get(f"customer-coupons/{held['id']}/")[1]["uses"] == 1
    assert integrator.get("customer-coupons/", customer="acme")[1]["results"][0]["uses"] == 1
    assert integrator.get("coupons/")[1]["results"][0]["held"] == 1
    status, again = integrator.post("customer-coupons/", given)
    assert (status, again["error"]["code"]) == (409, "coupon_not_available")
    assert integrator.post(f"customer-coupons/{held['id']}/remove/")[1]["removed_at"] is not None
    assert integrator.get("customer-coupons/", removed="true")[1]["results"] != []
    assert integrator.post("coupons/welcome/archive/")[1]["archived_at"] is not None
    assert integrator.post("customer-coupons/", given)[0] == 409


def test_a_coupon_keeps_what_it_takes_off_once_a_customer_holds_it(integrator: Integrator) -> None:
    make_customer()
    integrator.post("coupons/", WELCOME)
    assert integrator.patch("coupons/welcome/", {"value": "15"})[1]["value"] == "15"
    integrator.post("customer-coupons/", {"customer": "acme", "coupon": "welcome"})
    status, refused = integrator.patch("coupons/welcome/", {"value": "20"})
    assert (status, list(refused["error"]["fields"])) == (400, ["value"])
    assert integrator.patch("coupons/welcome/", {"max_redemptions": 5})[1]["max_redemptions"] == 5
    assert Coupon.objects.get().value == 15


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"value": "101"}, "value"),
        ({"value": 0.1, "kind": "gift"}, "kind"),
        ({"kind": "fixed"}, "currency"),
        ({"kind": "fixed", "currency": "usd"}, "currency"),
        ({"duration": "repeating"}, "invoices"),
        ({"duration": "repeating", "invoices": 0}, "invoices"),
        ({"plan_codes": ["none"]}, "plan_codes"),
        ({"rates": ["none"]}, "rates"),
        ({"valid_until": "2500-01-01"}, "valid_until"),
        ({"max_redemptions": 0}, "max_redemptions"),
        ({"code": "a b"}, "code"),
        ({"percent": "10"}, "percent"),
        ({"value": "1e999"}, "value"),
    ],
)
def test_a_coupon_that_makes_no_sense_is_refused_by_field(
    integrator: Integrator, change: dict[str, Any], field: str
) -> None:
    status, refused = integrator.post("coupons/", WELCOME | change)
    assert (status, list(refused["error"]["fields"])) == (400, [field])
    assert not Coupon.objects.exists()


def test_a_credit_is_granted_spent_and_its_rest_taken_back(integrator: Integrator) -> None:
    make_subscription()
    send_tickets(10)
    status, grant = integrator.post("credit-grants/", CREDIT)
    assert status == 201
    assert {name: grant[name] for name in ("amount", "balance", "currency", "kind", "priority", "invoice")} == {
        "amount": "50.00", "balance": "50.00", "currency": "USD", "kind": "promotional", "priority": 50,
        "invoice": None,
    }  # fmt: skip
    preview = integrator.post("invoices/preview/", {"customer": "acme", "period": "2026-10"})[1]
    assert (preview["total"], preview["credits_applied"], preview["amount_due"]) == ("20.00", "20.00", "0.00")
    assert CreditEntry.objects.count() == 1
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    issued = integrator.get("invoices/INV-2026-000001/")[1]
    assert issued["credits"] == preview["credits"]
    assert issued["credits"] == [{"grant": grant["id"], "name": "Welcome credit", "amount": "20.00"}]
    status, voided = integrator.post(f"credit-grants/{grant['id']}/void/", {"reason": "Wrong customer"})
    assert (status, voided["balance"], voided["void_reason"]) == (200, "0.00", "Wrong customer")
    again = integrator.post(f"credit-grants/{grant['id']}/void/", {"reason": "Wrong customer"})
    assert (again[0], again[1]["error"]["code"]) == (409, "credit_not_voidable")
    entries = integrator.get("credit-entries/", customer="acme")[1]["results"]
    assert [(each["kind"], each["amount"], each["invoice"]) for each in entries] == [
        ("granted", "50.00", None),
        ("applied", "-20.00", "INV-2026-000001"),
        ("voided", "-30.00", None),
    ]
    assert integrator.get("credit-grants/", left="true")[1]["results"] == []
    assert len(integrator.get("credit-entries/", invoice="INV-2026-000001")[1]["results"]) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"amount": True}, "amount"),
        ({"currency": "XYZ"}, "currency"),
        ({"kind": "carried_over"}, "kind"),
        ({"customer": "nobody"}, "customer"),
        ({"expires_at": "2026-11-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-11-01T00:00:00Z"}, "expires_at"),
        ({"rollover_limit": "5"}, "rollover_limit"),
        ({"priority": 99999}, "priority"),
        ({"name": ""}, "name"),
        ({"balance": "5"}, "balance"),
    ],
)
def test_a_credit_that_makes_no_sense_is_refused_by_field(
    integrator: Integrator, change: dict[str, Any], field: str
) -> None:
    make_customer()
    status, refused = integrator.post("credit-grants/", CREDIT | change)
    assert (status, list(refused["error"]["fields"])) == (400, [field])
    assert not CreditGrant.objects.exists()


def test_a_tax_rate_ends_where_the_next_begins(integrator: Integrator) -> None:
    status, first = integrator.post("tax-rates/", VAT)
    assert (status, first["valid_from"], first["category"], first["inclusive"]) == (
        201,
        "2000-01-01",
        "standard",
        False,
    )
    following = VAT | {"percent": "20.5", "valid_from": "2027-01-01"}
    status, refused = integrator.post("tax-rates/", following)
    assert (status, list(refused["error"]["fields"])) == (400, ["valid_from"])
    assert integrator.patch(f"tax-rates/{first['id']}/", {"valid_until": "2027-01-01"})[0] == 200
    assert integrator.post("tax-rates/", following)[1]["percent"] == "20.5"
    assert len(integrator.get("tax-rates/", country="DE")[1]["results"]) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"country": "XX"}, "country"),
        ({"percent": "-1"}, "percent"),
        ({"percent": "101"}, "percent"),
        ({"percent": "1.1234567"}, "percent"),
        ({"category": "exempt"}, "category"),
        ({"on_top": True}, "on_top"),
        ({"valid_until": "1999-01-01"}, "valid_until"),
        ({"rate": "19"}, "rate"),
    ],
)
def test_a_tax_rate_that_makes_no_sense_is_refused_by_field(
    integrator: Integrator, change: dict[str, Any], field: str
) -> None:
    status, refused = integrator.post("tax-rates/", VAT | change)
    assert (status, list(refused["error"]["fields"])) == (400, [field])
    assert not TaxRate.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"country": "XX"}, "country"),
        ({"country": "DE", "tax_id": "DE1"}, "tax_id"),
        ({"tax_treatment": "exempt"}, "tax_exempt_reason"),
        ({"tax_treatment": "reverse_charge"}, "country"),
        ({"tax_treatment": "reverse_charge", "country": "DE"}, "tax_id"),
        ({"tax_treatment": "reverse_charge", "country": "JP", "tax_id": "T1"}, "tax_treatment"),
        ({"tax_treatment": "free"}, "tax_treatment"),
    ],
)
def test_a_customer_cannot_be_taxed_by_what_is_missing(
    integrator: Integrator, fields: dict[str, str], field: str
) -> None:
    status, refused = integrator.post("customers/", {"code": "acme", "name": "Acme"} | fields)
    assert (status, list(refused["error"]["fields"])) == (400, [field])


def test_an_old_tax_id_of_wrong_form_does_not_stop_other_changes(integrator: Integrator) -> None:
    make_customer(country="DE", tax_id="123/456")
    assert integrator.patch("customers/acme/", {"name": "Acme GmbH"})[0] == 200
    assert integrator.patch("customers/acme/", {"tax_id": "12"})[0] == 400
    assert integrator.patch("customers/acme/", {"tax_id": "DE136695976"})[0] == 200


def test_a_rate_carries_its_tax_category_into_the_next_version(integrator: Integrator) -> None:
    make_subscription()
    rate = {"kind": "one_time", "label": "Book", "amount": "10.00", "tax_category": "reduced"}
    plan = {"code": "books", "name": "Books", "rates": [rate], "tax_category": "digital"}
    status, made = integrator.post("plans/", plan)
    assert (status, made["tax_category"], made["rates"][0]["tax_category"]) == (201, "digital", "reduced")
    assert integrator.post("plans/books/activate/", {})[0] == 200
    version = integrator.post("plans/books/versions/", {})[1]
    assert (version["tax_category"], version["rates"][0]["tax_category"]) == ("digital", "reduced")
    wrong = plan | {"code": "b", "rates": [rate | {"tax_category": "luxury"}]}
    assert list(integrator.post("plans/", wrong)[1]["error"]["fields"]) == ["rates.0.tax_category"]


def test_only_a_key_that_manages_may_write(fresh: None, db: None) -> None:
    reader = Integrator("read")
    make_customer()
    for route, body in (("coupons/", WELCOME), ("credit-grants/", CREDIT), ("tax-rates/", VAT)):
        assert reader.post(route, body)[0] == 403
        assert reader.get(route)[0] == 200
    assert not Coupon.objects.exists()
    assert not CreditGrant.objects.exists()


REGULAR = {"customer": "acme", "name": "Monthly credit", "amount": "50.00", "rollover_limit": "20.00"}


def test_a_credit_is_granted_regularly_and_stopped(integrator: Integrator) -> None:
    make_customer()
    status, row = integrator.post("recurring-grants/", REGULAR | {"start_on": "2026-11-01"})
    assert status == 201
    assert {name: row[name] for name in ("amount", "interval", "expires", "next_on", "stopped_at")} == {
        "amount": "50.00", "interval": "month", "expires": True, "next_on": "2026-12-01", "stopped_at": None,
    }  # fmt: skip
    granted = integrator.get("credit-grants/", customer="acme")[1]["results"]
    assert [(each["name"], each["balance"]) for each in granted] == [("Monthly credit", "50.00")]
    assert integrator.get("recurring-grants/", customer="acme", stopped="false")[1]["results"] == [row]
    stopped = integrator.post(f"recurring-grants/{row['id']}/stop/")[1]
    assert stopped["stopped_by"].startswith("API key integration")
    assert integrator.post(f"recurring-grants/{row['id']}/stop/")[0] == 409
    assert integrator.get("recurring-grants/", stopped="false")[1]["results"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer": "nobody"}, "customer"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "many"}, "amount"),
        ({"interval": "week"}, "interval"),
        ({"start_on": "2026-10-31"}, "start_on"),
        ({"start_on": "2026-12-01", "end_on": "2026-12-01"}, "end_on"),
        ({"expires": False}, "rollover_limit"),
        ({"currency": "DOLLAR"}, "currency"),
        ({"next_on": "2026-12-01"}, "next_on"),
    ],
)
def test_a_recurring_grant_that_makes_no_sense_is_refused(
    integrator: Integrator, change: dict[str, Any], field: str
) -> None:
    make_customer()
    status, refused = integrator.post("recurring-grants/", REGULAR | change)
    assert (status, list(refused["error"]["fields"])) == (400, [field])
    assert not RecurringGrant.objects.exists()
    assert not CreditGrant.objects.exists()


def test_balance_alerts_are_listed_made_changed_and_deleted(integrator: Integrator) -> None:
    make_customer()
    integrator.post("credit-grants/", CREDIT)
    status, alert = integrator.post("credit-alerts/", {"customer": "acme", "threshold": "20"})
    assert (status, alert) == (201, {
        "id": alert["id"], "customer": "acme", "currency": "USD", "threshold": "20.00", "balance": "50.00",
        "notified_at": None,
    })  # fmt: skip
    status, again = integrator.post("credit-alerts/", {"customer": "acme", "threshold": "30"})
    assert (status, again["error"]["code"]) == (409, "already_exists")
    one = f"credit-alerts/{alert['id']}/"
    CreditAlert.objects.update(notified_at=NOW)
    changed = alert | {"threshold": "60.00"}
    assert integrator.patch(one, {"threshold": "60.00"}) == (200, changed)  # told anew
    assert integrator.patch(one, {"currency": "EUR"})[0] == 400
    assert integrator.patch(one, {"threshold": "0.001"})[0] == 400
    assert integrator.patch(one, {"threshold": "0"})[1]["error"]["fields"].keys() == {"threshold"}
    assert integrator.get("credit-alerts/", customer="acme")[1]["results"] == [changed]
    assert integrator.get("credit-alerts/", customer="other")[1]["results"] == []
    assert integrator.delete(one) == 204
    assert integrator.delete(one) == 404
    assert not CreditAlert.objects.exists()
