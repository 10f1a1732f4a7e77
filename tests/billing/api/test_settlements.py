"""Settling invoices over HTTP: what each route does, and that a refusal answers 4xx and writes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from billing.closing import close_period
from billing.models import Invoice, Payment
from billing.months import Month
from tests.billing.test_collecting import bill, everything
from tests.factories import NOW, make_subscription, send_tickets
from tests.integrator import Integrator

NUMBER = "INV-2026-000001"
PAYMENT = {"amount": "4.00", "received_on": "2026-11-20"}


@pytest.fixture
def invoice(db: None, fresh: None) -> Invoice:
    return bill("10.00")


def test_a_one_off_invoice_is_made_issued_and_made_once(integrator: Integrator, invoice: Invoice) -> None:
    body = {
        "customer": "acme",
        "lines": [
            {"description": "Consulting", "quantity": "2.5", "unit_amount": "133.333", "unit": "hour"},
            {"description": "Travel", "unit_amount": "40"},
        ],
        "key": "order-1",
    }
    status, made = integrator.post("invoices/", body)
    assert (status, made["number"], made["kind"], made["state"]) == (
        201,
        "INV-2026-000002",
        "one_off",
        "open",
    )
    assert [line["amount"] for line in made["lines"]] == ["333.33", "40.00"]
    assert (made["total"], made["subscription"], made["plan"]) == ("373.33", None, "")
    assert integrator.post("invoices/", body) == (201, made)
    status, refused = integrator.post("invoices/", body | {"lines": body["lines"][:1]})
    assert (status, refused["error"]["code"]) == (409, "key_taken")
    assert Invoice.objects.count() == 2


def test_a_draft_is_called_by_its_id_and_issued(integrator: Integrator, invoice: Invoice) -> None:
    line = {"description": "x", "unit_amount": "1"}
    _, draft = integrator.post("invoices/", {"customer": "acme", "lines": [line], "draft": True})
    assert (draft["number"], draft["state"], draft["actions"]) == (None, "draft", ["issue", "discard"])
    status, refused = integrator.post(f"invoices/{draft['id']}/issue/", {"expected_total": "2"})
    assert (status, refused["error"]["code"]) == (409, "figures_changed")
    status, issued = integrator.post(f"invoices/{draft['id']}/issue/", {"expected_total": "1"})
    assert (status, issued["number"], issued["status"]) == (200, "INV-2026-000002", "issued")


def test_the_draft_of_a_period_is_drawn_up_again_before_it_is_issued(
    integrator: Integrator, fresh: None
) -> None:
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=30)
    send_tickets(1, first=10)
    status, issued = integrator.post(f"invoices/{Invoice.objects.get().pk}/issue/", {})
    assert (status, issued["number"], issued["total"]) == (200, NUMBER, "8.00")


def test_payments_are_recorded_listed_and_taken_back(integrator: Integrator, invoice: Invoice) -> None:
    status, payment = integrator.post(f"invoices/{NUMBER}/payments/", PAYMENT, Idempotency_Key="bank-1")
    assert status == 201
    assert {name: payment[name] for name in ("invoice", "customer", "kind", "amount", "recorded_by", "key")} == {
        "invoice": NUMBER, "customer": "acme", "kind": "payment", "amount": "4.00",
        "recorded_by": f"API key integration ({integrator.key[:8]})", "key": "bank-1",
    }  # fmt: skip
    integrator.post(f"invoices/{NUMBER}/payments/", PAYMENT, Idempotency_Key="bank-1")
    shown = integrator.get(f"invoices/{NUMBER}/")[1]
    assert (shown["amount_paid"], shown["amount_due"], shown["state"]) == ("4.00", "6.00", "partly_paid")
    status, reversal = integrator.post(f"payments/{payment['id']}/reverse/", {"reason": "Bounced"})
    assert (status, reversal["amount"], reversal["reverses"]) == (201, "-4.00", payment["id"])
    listed = integrator.get("payments/", invoice=NUMBER)[1]["results"]
    assert [row["kind"] for row in listed] == ["reversal", "payment"]
    assert integrator.get("payments/", customer="nobody")[1]["results"] == []


def test_a_credit_note_is_previewed_issued_and_listed(integrator: Integrator, invoice: Invoice) -> None:
    wanted = {"lines": [{"n": 1, "amount": "4.00"}]}
    before = everything()
    status, preview = integrator.post(f"invoices/{NUMBER}/credit-notes/preview/", wanted)
    assert (status, preview["total"], preview["amount_due"], preview["number"]) == (200, "4.00", "6.00", None)
    assert everything() == before
    status, note = integrator.post(f"invoices/{NUMBER}/credit-notes/", wanted | {"reason": "Goodwill"})
    assert (status, note["number"], note["amount_due"]) == (201, "CN-2026-000001", "6.00")
    assert note["lines"] == [line | {"n": 1} for line in preview["lines"]]
    assert integrator.get("credit-notes/", invoice=NUMBER)[1]["results"] == [note]
    assert integrator.get("credit-notes/CN-2026-000001/")[1] == note
    assert integrator.get("credit-notes/CN-2026-000001/pdf/")[1].startswith(b"%PDF-")
    status, rest = integrator.post(f"invoices/{NUMBER}/credit-notes/", {"reason": "All of it"})
    assert (status, rest["total"], rest["amount_due"]) == (201, "6.00", "0.00")
    assert integrator.get("invoices/", state="credited")[1]["results"][0]["number"] == NUMBER


def test_write_off_reinstate_and_void(integrator: Integrator, invoice: Invoice) -> None:
    reason = {"reason": "Insolvent"}
    assert integrator.post(f"invoices/{NUMBER}/write-off/", reason)[1]["state"] == "written_off"
    assert integrator.post(f"invoices/{NUMBER}/reinstate/", reason)[1]["state"] == "open"
    status, void = integrator.post(f"invoices/{NUMBER}/void/", reason)
    assert (status, void["state"], void["actions"]) == (200, "void", [])


def test_an_overpayment_must_be_said_and_is_paid_back(integrator: Integrator, invoice: Invoice) -> None:
    too_much = PAYMENT | {"amount": "12.00"}
    status, refused = integrator.post(f"invoices/{NUMBER}/payments/", too_much)
    assert (status, list(refused["error"]["fields"])) == (400, ["amount"])
    integrator.post(f"invoices/{NUMBER}/payments/", too_much | {"overpaid": True})
    assert integrator.get(f"invoices/{NUMBER}/")[1]["amount_due"] == "-2.00"
    refund = {"amount": "2.00", "paid_on": "2026-11-20"}
    assert integrator.post(f"invoices/{NUMBER}/refunds/", refund)[1]["amount"] == "-2.00"


def test_a_credit_balance_is_moved_and_taken_back_over_http(integrator: Integrator, invoice: Invoice) -> None:
    integrator.post(f"invoices/{NUMBER}/payments/", PAYMENT | {"amount": "12.00", "overpaid": True})
    route = f"invoices/{NUMBER}/move-to-credits/"
    status, grant = integrator.post(route, {"key": "m"})
    assert (status, grant["kind"], grant["balance"]) == (201, "moved", "2.00")
    assert integrator.post(route, {"key": "m"})[1]["id"] == grant["id"]
    assert integrator.get(f"payments/?invoice={NUMBER}&kind=moved")[1]["results"][0]["amount"] == "-2.00"
    assert integrator.get(f"invoices/{NUMBER}/")[1]["amount_due"] == "0.00"
    assert (
        integrator.post(f"credit-grants/{grant['id']}/void/", {"reason": "Mistake"})[1]["balance"] == "0.00"
    )
    assert integrator.get(f"invoices/{NUMBER}/")[1]["amount_due"] == "-2.00"


@pytest.mark.parametrize(
    ("route", "body", "status", "field"),
    [
        ("payments", {"amount": "1.00"}, 400, "received_on"),
        ("payments", PAYMENT | {"amount": "ten"}, 400, "amount"),
        ("payments", PAYMENT | {"amount": "1.001"}, 400, "amount"),
        ("payments", PAYMENT | {"amount": "1e99"}, 400, "amount"),
        ("payments", PAYMENT | {"method": "barter"}, 400, "method"),
        ("payments", PAYMENT | {"colour": "red"}, 400, "colour"),
        ("payments", PAYMENT | {"received_on": "2026-11-21"}, 400, "received_on"),
        ("refunds", {"amount": "1.00", "paid_on": "2026-11-20"}, 409, None),
        ("move-to-credits", {}, 409, None),
        ("move-to-credits", {"amount": "1.00"}, 409, None),
        ("move-to-credits", {"amount": "much"}, 400, "amount"),
        ("issue", {}, 409, None),
        ("reinstate", {"reason": "x"}, 409, None),
        ("void", {}, 400, "reason"),
        ("void", {"reason": "  "}, 400, "reason"),
        ("credit-notes", {"reason": "x", "amount": "10.01"}, 400, "amount"),
        ("credit-notes", {"reason": "x", "lines": [{"n": 7, "amount": "1"}]}, 400, "lines.0"),
        ("credit-notes", {"reason": "x", "lines": [{"n": 1, "amount": "1"}], "amount": "1"}, 400, "amount"),
        ("credit-notes", {"reason": "x", "expected_total": "9"}, 409, None),
    ],
)
def test_what_is_refused_writes_nothing(
    integrator: Integrator, invoice: Invoice, route: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    before = everything()
    answered, refused = integrator.post(f"invoices/{NUMBER}/{route}/", body)
    assert answered == status, refused
    assert list(refused["error"]["fields"]) == ([field] if field else [])
    assert everything() == before


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([], "lines"),
        ([{"description": "x", "unit_amount": "1", "quantity": "0"}], "lines.0.quantity"),
        ([{"description": "x", "unit_amount": "1", "quantity": "1e30"}], "lines.0.quantity"),
        ([{"description": "x"}], "lines.0.unit_amount"),
        ([{"description": "x", "unit_amount": "0.0000000000000000001"}], "lines.0.unit_amount"),
    ],
)
def test_a_one_off_invoice_with_a_wrong_line_is_not_made(
    integrator: Integrator, invoice: Invoice, lines: list[Any], field: str
) -> None:
    status, refused = integrator.post("invoices/", {"customer": "acme", "lines": lines})
    assert (status, list(refused["error"]["fields"])) == (400, [field])
    assert Invoice.objects.count() == 1


def test_only_keys_that_manage_may_write(db: None, fresh: None, invoice: Invoice) -> None:
    reader = Integrator("read")
    for route, body in (("payments", PAYMENT), ("void", {"reason": "x"}), ("credit-notes", {"reason": "x"})):
        assert reader.post(f"invoices/{NUMBER}/{route}/", body)[0] == 403
    assert reader.post("invoices/", {"customer": "acme", "lines": []})[0] == 403
    assert reader.post(f"invoices/{NUMBER}/credit-notes/preview/", {})[0] == 200
    assert reader.get("payments/")[0] == reader.get("credit-notes/")[0] == 200
    assert not Payment.objects.exists()
