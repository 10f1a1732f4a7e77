"""The evidence of an invoice adds up to its lines, or says why it does not. Figures worked by hand."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.test import Client

from billing.evidence import evidence_csv, evidence_json
from billing.models import Invoice
from tests.factories import TICKETS, event, send
from tests.integrator import Integrator
from tests.staff import sign_in
from tests.stories.test_disputes import GRADUATED, billed, december, decide, dispute

pytestmark = pytest.mark.django_db


def table(invoice: Invoice) -> list[dict[str, str]]:
    rows = csv.DictReader(StringIO("".join(evidence_csv(invoice)).removeprefix("\ufeff")))
    # All happened at the same instant: then ids decide, which are digests of keys.
    return sorted(rows, key=lambda row: (int(row["line"]), row["record"] != "outcome", row["key"]))


def tree(invoice: Invoice) -> Any:
    return json.loads("".join(evidence_json(invoice)))


def test_outcomes_at_one_price_add_up_to_the_line_and_show_what_became_of_them() -> None:
    invoice = billed(4)
    decide(dispute(invoice, 1, 2), 1)
    rows = table(invoice)
    outcomes = [row for row in rows if row["record"] == "outcome"]
    assert [row["key"] for row in outcomes] == ["evt-0", "evt-1", "evt-2", "evt-3"]
    assert [row["state"] for row in outcomes] == ["settled", "credited", "settled", "settled"]
    assert {(row["unit_amount"], row["amount"], row["quantity"]) for row in outcomes} == {("2", "2", "1")}
    assert "CN-2026-000001" in outcomes[1]["reason"]
    assert "declined" in outcomes[2]["reason"]
    (line,) = [row for row in rows if row["record"] == "line"]
    assert (line["quantity"], line["amount"]) == ("4", "8.00")
    assert line["reason"] == "The amounts of the outcomes add up to 8.00, the line."
    (told,) = tree(invoice)["lines"]
    assert (told["outcomes_quantity"], told["outcomes_amount"], told["amount"]) == ("4", "8", "8.00")
    assert sorted(each["subject"] for each in told["outcomes"]) == [f"ticket-{n}" for n in range(4)]


def test_a_line_that_is_rounded_says_so() -> None:
    """3 x 0.333 = 0.999, printed as 1.00."""
    (line,) = tree(billed(3, rate=TICKETS | {"unit_amount": "0.333"}))["lines"]
    assert (line["outcomes_amount"], line["amount"]) == ("0.999", "1.00")
    assert (
        line["explanation"] == "The amounts of the outcomes add up to 0.999; a line is rounded once, to 1.00."
    )


def test_tiers_give_the_working_of_the_line_in_place_of_amounts() -> None:
    """8 x $2.00 + 2 x $1.00 = $18.00."""
    rows = table(billed(10, rate=GRADUATED))
    assert {row["amount"] for row in rows if row["record"] == "outcome"} == {""}
    assert [Decimal(row["amount"]) for row in rows if row["record"] == "working"] == [16, 2]
    (line,) = [row for row in rows if row["record"] == "line"]
    assert line["amount"] == "18.00"
    assert line["reason"].startswith("Tiers")


def test_an_adjustment_shows_what_was_added_and_taken_back() -> None:
    invoice = billed(3)
    send(*(event(f"late-{n}", subject=f"ticket-late-{n}") for n in range(2)))
    decide(dispute(invoice, 1), 1, remedy="adjustment")
    (line,) = [each for each in tree(december())["lines"] if each["outcomes"]]
    # Two came late, one was taken back: $2.00 more.
    changes = sorted((each["change"], each["key"]) for each in line["outcomes"])
    assert changes[:2] == [("added", "late-0"), ("added", "late-1")]
    assert line["amount"] == "2.00"


def test_cells_that_a_spreadsheet_would_run_are_marked_as_text() -> None:
    from billing.closing import Month, close_period
    from tests.factories import make_meter, make_subscription
    from tests.stories.test_disputes import ISSUED

    make_meter(once_per_subject="ever")
    make_subscription()
    send(event("=1+1", subject="=cmd", dimensions={"kind": "@x"}))
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    (row, _) = table(Invoice.objects.get())
    assert (row["key"], row["subject"], row["kind"]) == ("'=1+1", "'=cmd", "'@x")


def test_staff_and_integrators_get_the_same_file_and_nobody_else(fresh: None) -> None:
    invoice = billed(3)
    path = f"/admin/billing/invoice/{invoice.pk}/evidence.csv"
    wanted = "".join(evidence_csv(invoice))
    assert b"".join(sign_in("Read only").get(path)).decode() == wanted
    assert Client().get(path).status_code == 302
    key = {"Authorization": f"Bearer {Integrator('manage').key}"}
    address = f"/api/v1/invoices/{invoice.number}/evidence/"
    assert b"".join(Client().get(f"{address}?format=csv", headers=key)).decode() == wanted
    assert json.loads(b"".join(Client().get(address, headers=key))) == tree(invoice)
    assert Client().get(f"{address}?format=xml", headers=key).status_code == 400
    assert Client().get(address).status_code == 401
