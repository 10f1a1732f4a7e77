"""The evidence of an invoice adds up to its lines, or says why it does not. Figures worked by hand."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.test import Client

from billing.closing import close_period
from billing.evidence import evidence_csv, evidence_json
from billing.models import Invoice
from billing.months import Month
from tests.billing.money import give
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send
from tests.integrator import Integrator
from tests.staff import sign_in
from tests.stories.test_disputes import GRADUATED, ISSUED, billed, december, decide, dispute

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


def test_graduated_tiers_price_each_in_the_order_in_which_they_happened() -> None:
    """8 x $2.00 + 2 x $1.00 = $18.00: the two last, at the later hour, are above the bound."""
    make_meter(once_per_subject="ever")
    make_subscription(make_customer(), make_plan(GRADUATED))
    hours = {n: 20 - n for n in range(10)}  # sent in the reverse order
    send(
        *(
            event(f"evt-{n}", subject=f"ticket-{n}", occurred_at=f"2026-10-03T{at:02}:00:00Z")
            for n, at in hours.items()
        )
    )
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    rows = table(Invoice.objects.get())
    priced = {row["key"]: (row["amount"], row["priced_as"]) for row in rows if row["record"] == "outcome"}
    above = {"evt-0", "evt-1"}
    assert priced == {
        f"evt-{n}": ("1", "Over 8") if f"evt-{n}" in above else ("2", "Up to 8") for n in range(10)
    }
    assert [Decimal(row["amount"]) for row in rows if row["record"] == "working"] == [16, 2]
    (line,) = [row for row in rows if row["record"] == "line"]
    assert line["reason"] == (
        "In the order in which they happened, the amounts of the outcomes add up to 18.00, the line."
    )


KINDS = {
    "kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "dimensions": ["kind"], "unmatched": "free",
    "rows": [
        {"match": {"kind": "resolution"}, "unit_amount": "0.99"},
        {"match": {"kind": "lead"}, "unit_amount": "9.99", "included_units": "1"},
    ],
}  # fmt: skip


def kinds(rate: dict[str, Any]) -> Invoice:
    """Three resolutions, two leads, one of another kind."""
    make_meter(once_per_subject="ever", dimensions=["kind"])
    make_subscription(make_customer(), make_plan(rate))
    sent = ["resolution", "lead", "resolution", "lead", "resolution", "other"]
    send(
        *(
            event(
                f"evt-{n}",
                subject=f"t-{n}",
                occurred_at=f"2026-10-0{n + 1}T10:00:00Z",
                dimensions={"kind": kind},
            )
            for n, kind in enumerate(sent)
        )
    )
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    return Invoice.objects.get()


def test_each_kind_has_its_price() -> None:
    """3 x $0.99 + the second lead at $9.99 = $12.96; the first lead is included, and the other kind is free."""
    (line,) = tree(kinds(KINDS))["lines"]
    assert [(each["amount"], each["unit_amount"], each["priced_as"]) for each in line["outcomes"]] == [
        ("0.99", "0.99", "kind: resolution"),
        ("0", "0", "kind: lead, Included: first 1"),
        ("0.99", "0.99", "kind: resolution"),
        ("9.99", "9.99", "kind: lead, Units"),
        ("0.99", "0.99", "kind: resolution"),
        ("0", "0", "Free: no price for it"),
    ]
    assert (line["outcomes_amount"], line["amount"]) == ("12.96", "12.96")


def test_a_price_for_a_thousand_is_a_price_for_one() -> None:
    """$2.00 per 1,000: $0.002 each; three are $0.006, printed as $0.01."""
    (line,) = tree(billed(3, rate=TICKETS | {"per": "1000"}))["lines"]
    assert {each["amount"] for each in line["outcomes"]} == {"0.002"}
    assert (line["outcomes_amount"], line["amount"]) == ("0.006", "0.01")


@pytest.mark.parametrize(
    "change",
    [
        {"model": "volume", "tiers": [{"up_to": None, "unit_amount": "2"}]},
        {"minimum_amount": "30"},
        {"maximum_amount": "10"},
        {
            "model": "package",
            "package_size": "4",
            "package_amount": "7",
            "tiers": None,
        },
    ],
)
def test_what_prices_the_quantity_as_a_whole_leaves_its_working(change: dict[str, Any]) -> None:
    rate = {name: value for name, value in (GRADUATED | change).items() if value is not None}
    rows = table(billed(10, rate=rate))
    assert {row["amount"] for row in rows if row["record"] == "outcome"} == {""}
    assert [row for row in rows if row["record"] == "working"]
    (line,) = [row for row in rows if row["record"] == "line"]
    assert line["reason"].startswith("Its price, minimum or maximum is of the quantity as a whole")
    assert tree(Invoice.objects.get())["lines"][0]["outcomes_amount"] is None


def test_an_adjustment_adds_up_by_its_kinds() -> None:
    """A late lead at $9.99 and a resolution taken back at $0.99: $9.00."""
    rate = {
        **KINDS,
        "rows": [{name: row[name] for name in ("match", "unit_amount")} for row in KINDS["rows"]],
    }
    kinds(rate)
    send(
        event("late", subject="late", occurred_at="2026-10-09T10:00:00Z", dimensions={"kind": "lead"}),
        event("back", occurred_at="2026-11-05T10:00:00Z", reverses={"key": "evt-0"}),
    )
    (line,) = [each for each in tree(december())["lines"] if each["outcomes"]]
    told = {each["key"]: (each["change"], each["amount"]) for each in line["outcomes"]}
    assert told == {"late": ("added", "9.99"), "evt-0": ("taken_back", "0.99")}
    assert (line["outcomes_quantity"], line["outcomes_amount"], line["amount"]) == ("0", "9", "9.00")


def test_an_adjustment_shows_what_was_added_and_taken_back() -> None:
    invoice = billed(3)
    send(*(event(f"late-{n}", subject=f"ticket-late-{n}") for n in range(2)))
    decide(dispute(invoice, 1), 1, remedy="adjustment")
    (line,) = [each for each in tree(december())["lines"] if each["outcomes"]]
    # Two came late, one was taken back: $2.00 more.
    changes = sorted((each["change"], each["key"]) for each in line["outcomes"] if each["quantity"])
    assert changes == [("added", "late-0"), ("added", "late-1"), ("taken_back", "evt-1")]
    assert (line["outcomes_quantity"], line["outcomes_amount"], line["amount"]) == ("1", "2", "2.00")


@pytest.mark.parametrize(
    ("rate", "coupon", "amount"),
    [
        # 10 x $2.00 = $20.00, and 13 come to $24.00 at most.
        (TICKETS | {"maximum_amount": "24"}, None, "4.00"),
        # The three come after the first eight, and have no place of their own on this line.
        (GRADUATED, None, "3.00"),
        (TICKETS, "10%", "5.40"),
    ],
    ids=["limits", "tiers", "discount"],
)
def test_an_adjustment_gives_no_single_amounts_where_they_would_not_add_up_to_it(
    rate: dict[str, Any], coupon: str | None, amount: str
) -> None:
    make_meter(once_per_subject="ever")
    acme = make_customer()
    make_subscription(acme, make_plan(rate))
    if coupon:
        give(acme, coupon)
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(10)))
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    send(*(event(f"late-{n}", subject=f"late-{n}") for n in range(3)))
    (line,) = [each for each in tree(december())["lines"] if each["outcomes"]]
    assert (line["outcomes_amount"], line["amount"]) == (None, amount)
    assert [each["amount"] for each in line["outcomes"]] == [None] * 3
    assert line["explanation"].startswith("What changed in an earlier period")


def test_cells_that_a_spreadsheet_would_run_are_marked_as_text() -> None:
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
