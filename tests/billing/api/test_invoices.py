"""Invoices over HTTP: previewed, listed, read, printed, and traced to their events."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing.closing import close_period
from billing.ending import end_subscription
from billing.models import Invoice
from billing.months import Month
from tests.factories import (
    NOW,
    TICKETS,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)
from tests.integrator import Integrator

OCTOBER = Month(2026, 10)
NUMBER = "INV-2026-000001"


@pytest.fixture(autouse=True)
def story(db: None, fresh: None) -> None:
    make_subscription()


def close(grace_days: int = 0) -> None:
    close_period(OCTOBER, now=NOW, grace_days=grace_days)


def line_of_120_tickets(**changes: Any) -> dict[str, Any]:
    return {
        "n": 1,
        "kind": "usage",
        "customer": "acme",
        "description": "Tickets Resolved",
        "meter": "tickets_resolved",
        "unit": "ticket",
        "quantity": "120",
        "unit_amount": "2.00",
        "amount": "240.00",
        "discount": "0.00",
        "tax_category": "standard",
        "taxed_by": [],
        "period_start": "2026-10-01",
        "period_end": "2026-11-01",
    } | changes


def test_an_issued_invoice_has_the_shape_of_the_contract(integrator: Integrator) -> None:
    send_tickets(120)
    close()
    status, invoice = integrator.get(f"invoices/{NUMBER}/")
    stored = Invoice.objects.get()
    assert status == 200
    lines = invoice.pop("lines")
    assert invoice == {
        "id": stored.pk,
        "number": NUMBER,
        "kind": "periodic",
        "status": "issued",
        "state": "open",
        "actions": ["pay", "credit", "reverse", "write_off", "void"],
        "customer": "acme",
        "subscription": stored.subscription_id,
        "plan": "support",
        "plan_version": 1,
        "currency": "USD",
        "period_start": "2026-10-01",
        "period_end": "2026-11-01",
        "timezone": "UTC",
        "subtotal": "240.00",
        "tax": "0.00",
        "total": "240.00",
        "amount_paid": "0.00",
        "discount": "0.00",
        "tax_included": "0.00",
        "credits_applied": "0.00",
        "amount_credited": "0.00",
        "amount_written_off": "0.00",
        "amount_due": "240.00",
        "discounts": [],
        "taxes": [],
        "credits": [],
        "issued_at": "2026-11-20T12:00:00Z",
        "due_on": "2026-12-04",
        "parts": [],
    }
    working = lines[0].pop("working")
    assert lines == [line_of_120_tickets()]
    assert [(step["quantity"], step["unit_amount"], step["amount"]) for step in working] == [
        ("120", "2.00", "240.00")
    ]
    assert integrator.get(f"invoices/{NUMBER}")[1]["lines"][0]["amount"] == "240.00"


@pytest.mark.parametrize(("tickets", "total"), [(0, "0.00"), (1, "2.00"), (50, "100.00"), (120, "240.00")])
def test_a_preview_is_the_invoice_that_follows(integrator: Integrator, tickets: int, total: str) -> None:
    send_tickets(tickets)
    status, preview = integrator.post("invoices/preview/", {"customer": "acme", "period": "2026-10"})
    assert (status, preview["total"], preview["status"], preview["number"]) == (200, total, "preview", None)
    assert Invoice.objects.count() == 0
    close()
    issued = integrator.get(f"invoices/{NUMBER}/")[1]
    assert [name for name in issued if issued[name] != preview[name]] == [
        "id",
        "number",
        "status",
        "state",
        "actions",
        "issued_at",
        "due_on",
    ]


def test_a_preview_without_period_is_the_running_one(integrator: Integrator) -> None:
    send(event("a", occurred_at="2026-11-02T10:00:00Z"))
    _, preview = integrator.post("invoices/preview/", {"customer": "acme"})
    assert (preview["period_start"], preview["period_end"], preview["total"]) == (
        "2026-11-01",
        "2026-12-01",
        "2.00",
    )


def test_a_preview_of_a_customer_with_several_plans_asks_which(integrator: Integrator) -> None:
    make_meter("calls")
    make_plan(TICKETS | {"meter": "calls"}, code="calls")
    customer = integrator.post(
        "subscriptions/", {"customer": "acme", "plan": "calls", "start_on": "2026-10-01"}
    )
    status, answer = integrator.post("invoices/preview/", {"customer": "acme", "period": "2026-10"})
    assert (status, list(answer["error"]["fields"])) == (400, ["subscription"])
    assert f"{customer[1]['id']} (calls)" in answer["error"]["message"]
    for choice in ({"plan": "calls"}, {"subscription": customer[1]["id"]}):
        status, preview = integrator.post(
            "invoices/preview/", {"customer": "acme", "period": "2026-10", **choice}
        )
        assert (status, preview["plan"]) == (200, "calls")


def test_a_plan_changed_in_the_month_leaves_two_previews_to_choose_from(integrator: Integrator) -> None:
    customer = make_customer("moved")
    old = make_subscription(customer)
    end_subscription(old, end_on=date(2026, 10, 16))
    make_subscription(customer, start_on=date(2026, 10, 16))
    asked = {"customer": "moved", "period": "2026-10"}
    assert integrator.post("invoices/preview/", asked)[0] == 400
    _, preview = integrator.post("invoices/preview/", asked | {"subscription": old.pk})
    assert (preview["period_start"], preview["period_end"]) == ("2026-10-01", "2026-10-16")
    assert integrator.post("invoices/preview/", {"customer": "moved", "period": "2026-11"})[0] == 200


def test_an_anniversary_period_is_the_one_that_begins_in_the_month(integrator: Integrator) -> None:
    make_subscription(make_customer("mid"), start_on=date(2026, 9, 15), anchor="anniversary")
    _, preview = integrator.post("invoices/preview/", {"customer": "mid", "period": "2026-10"})
    assert (preview["period_start"], preview["period_end"]) == ("2026-10-15", "2026-11-15")
    _, preview = integrator.post("invoices/preview/", {"customer": "mid", "period": "2026-10-14"})
    assert (preview["period_start"], preview["period_end"]) == ("2026-09-15", "2026-10-15")


def test_a_month_is_not_enough_for_a_weekly_plan(integrator: Integrator) -> None:
    plan = make_plan(code="weekly", billing_period="weekly")
    make_subscription(make_customer("week"), plan=plan)
    status, answer = integrator.post("invoices/preview/", {"customer": "week", "period": "2026-10"})
    assert (status, list(answer["error"]["fields"])) == (400, ["period"])
    _, preview = integrator.post("invoices/preview/", {"customer": "week", "period": "2026-10-07"})
    assert (preview["period_start"], preview["period_end"]) == ("2026-10-05", "2026-10-12")


def test_a_month_inside_a_longer_period_means_that_period(integrator: Integrator) -> None:
    plan = make_plan(code="quarterly", billing_period="quarterly")
    make_subscription(make_customer("quarter"), plan=plan)
    _, preview = integrator.post("invoices/preview/", {"customer": "quarter", "period": "2026-11"})
    assert (preview["period_start"], preview["period_end"]) == ("2026-10-01", "2027-01-01")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "customer"),
        ({"customer": "nobody"}, "customer"),
        ({"customer": "acme", "period": "2026-09"}, "customer"),
        ({"customer": "acme", "period": "October"}, "period"),
        ({"customer": "acme", "period": "2026-13"}, "period"),
        ({"customer": "acme", "period": "0000-01"}, "period"),
        ({"customer": "acme", "period": "9999-12"}, "period"),
        ({"customer": "acme", "period": 202610}, "period"),
        ({"customer": "acme", "plan": "none"}, "customer"),
        ({"customer": "acme", "subscription": 10**30}, "subscription"),
        ({"customer": "acme", "month": "2026-10"}, "month"),
    ],
)
def test_a_wrong_preview_is_refused_by_name(integrator: Integrator, body: dict[str, Any], named: str) -> None:
    status, answer = integrator.post("invoices/preview/", body)
    assert status == 400
    assert list(answer["error"]["fields"]) == [named]


def test_the_list_is_filtered_by_customer_status_and_period(integrator: Integrator) -> None:
    make_subscription(make_customer("beta"))
    send_tickets(1)
    close()
    results = integrator.get("invoices/")[1]["results"]
    assert {each["customer"] for each in results} == {"acme", "beta"}
    assert results[0]["lines"]
    for parameters, count in (
        ({"customer": "acme"}, 1),
        ({"customer": "nobody"}, 0),
        ({"status": "issued"}, 1),
        ({"status": "paid"}, 1),
        ({"status": "draft"}, 0),
        ({"period": "2026-10"}, 2),
        ({"period": "2026-11"}, 0),
    ):
        assert len(integrator.get("invoices/", **parameters)[1]["results"]) == count, parameters


@pytest.mark.parametrize(
    ("parameters", "named"),
    [({"period": "10/2026"}, "period"), ({"status": "open"}, "status"), ({"month": "x"}, "month")],
)
def test_a_wrong_filter_is_refused_by_name(
    integrator: Integrator, parameters: dict[str, str], named: str
) -> None:
    status, answer = integrator.get("invoices/", **parameters)
    assert (status, list(answer["error"]["fields"])) == (400, [named])


def test_a_draft_is_listed_without_a_number(integrator: Integrator) -> None:
    close_period(OCTOBER, now=datetime(2026, 11, 1, 1, tzinfo=UTC), grace_days=2)
    (draft,) = integrator.get("invoices/", status="draft")[1]["results"]
    assert (draft["number"], draft["id"], draft["status"]) == (None, Invoice.objects.get().pk, "draft")


def test_a_line_leads_to_its_events_page_by_page(integrator: Integrator) -> None:
    send(
        event("a", subject="ticket-1", workload="support_bot", occurred_at="2026-10-03T10:00:00.5Z"),
        event("b", value="2.50"),
        event("next", occurred_at="2026-11-01T00:00:00Z"),
    )
    close()
    send(event("late"))
    route = f"invoices/{NUMBER}/lines/1/events/"
    status, page = integrator.get(route)
    assert (status, page["next"]) == (200, None)
    assert [each["key"] for each in page["results"]] == ["b", "a"]
    assert page["results"][1] == {
        "key": "a",
        "meter": "tickets_resolved",
        "customer": "acme",
        "value": "1",
        "occurred_at": "2026-10-03T10:00:00.500000Z",
        "received_at": "2026-11-20T12:00:00Z",
        "subject": "ticket-1",
        "workload": "support_bot",
        "dimensions": {},
        "source": "api",
        "change": "counted",
        "history": "/api/v1/events/a/?source=api",
    }
    assert page["results"][0]["value"] == "2.5"
    first = integrator.get(route, page_size=1)[1]
    assert first["results"][0]["key"] == "b"
    assert "page=2" in first["next"]


def test_a_fee_has_no_events(integrator: Integrator) -> None:
    fee = {"kind": "subscription", "label": "Platform", "amount": "199.00"}
    make_subscription(make_customer("beta"), plan=make_plan(fee, code="flat"))
    close_period(OCTOBER, now=NOW, grace_days=0, customer_codes=["beta"])
    assert integrator.get(f"invoices/{NUMBER}/lines/1/events/") == (
        200,
        {"count": 0, "next": None, "previous": None, "results": []},
    )


def test_the_pdf_is_a_pdf(integrator: Integrator) -> None:
    close()
    response = integrator.client.get(f"/api/v1/invoices/{NUMBER}/pdf/", headers={"Accept": "application/pdf"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/pdf")
    assert response.content.startswith(b"%PDF-")
    assert f'filename="{NUMBER}.pdf"' in response.headers["Content-Disposition"]


@pytest.mark.parametrize("route", ["", "pdf/", "lines/1/events/"])
def test_an_unknown_invoice_is_not_found(integrator: Integrator, route: str) -> None:
    assert integrator.get(f"invoices/INV-2026-999999/{route}")[0] == 404


def test_an_unknown_line_is_not_found(integrator: Integrator) -> None:
    close()
    assert integrator.get(f"invoices/{NUMBER}/lines/2/events/")[0] == 404


def test_invoices_need_read_or_manage(integrator: Integrator) -> None:
    close()
    for route in (
        "invoices/",
        f"invoices/{NUMBER}/",
        f"invoices/{NUMBER}/pdf/",
        f"invoices/{NUMBER}/lines/1/events/",
    ):
        assert Integrator("read").get(route)[0] == 200
        assert Integrator("manage").get(route)[0] == 200
        assert Integrator("ingest").get(route)[0] == 403
    assert Integrator("ingest").post("invoices/preview/", {"customer": "acme"})[0] == 403
    assert Integrator("read").post("invoices/preview", {"customer": "acme"})[0] == 200


def test_amounts_have_the_digits_of_their_currency(integrator: Integrator) -> None:
    plan = make_plan(TICKETS | {"unit_amount": "0.5"}, code="yen", currency="JPY")
    make_subscription(make_customer("tokyo", currency="JPY"), plan=plan)
    send_tickets(3, customer="tokyo")
    _, preview = integrator.post("invoices/preview/", {"customer": "tokyo", "period": "2026-10"})
    assert (preview["total"], preview["lines"][0]["unit_amount"]) == ("2", "0.5")  # 1.5, half away from zero


def test_the_list_takes_the_same_queries_whatever_its_length(
    integrator: Integrator, django_assert_num_queries: Any
) -> None:
    for n in range(8):
        make_subscription(make_customer(f"c{n}"))
    close()
    integrator.get("invoices/")
    with django_assert_num_queries(6):
        assert len(integrator.get("invoices/")[1]["results"]) == 9


def test_the_events_of_a_line_take_the_same_queries_whatever_their_number(
    integrator: Integrator, django_assert_num_queries: Any
) -> None:
    send_tickets(40)
    close()
    integrator.get(f"invoices/{NUMBER}/lines/1/events/")
    with django_assert_num_queries(8):
        integrator.get(f"invoices/{NUMBER}/lines/1/events/")
