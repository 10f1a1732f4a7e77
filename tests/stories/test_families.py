"""A parent and its children on one consolidated invoice, worked by hand from events to PDF.

Globex pays a fixed $50.00 for itself. Berlin and Tokyo belong to it: tickets at $2.00, Tokyo with a minimum of $30.00.
October: Berlin resolves 10 tickets and has 10 % off, Tokyo resolves 4. Globex pays 19 % tax.

    Globex   Base                    50.00                     50.00
    Berlin   10 x 2.00               20.00   discount  2.00    20.00
    Tokyo     4 x 2.00                8.00
             minimum 30.00 - 8.00    22.00                     30.00
    subtotal 100.00   discount 2.00   tax 19 % of 98.00 = 18.62   total 116.62
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest

from billing.approving import issue_draft
from billing.auditing import audit
from billing.close_reports import CloseReport
from billing.closing import close_period
from billing.correcting import issue_credit_note, preview_credit_note
from billing.documents import invoice_document
from billing.drafts import DraftLine, DuePeriod
from billing.errors import NotInThisState, PeriodNotOver
from billing.lifecycle import open_actions
from billing.lines import draft_lines
from billing.models import Invoice, InvoiceLine, ParkedCustomer, Plan, Subscription
from billing.months import Month
from billing.previewing import preview_invoice
from billing.rating.errors import RatingError
from billing.verification import invoices_to_verify, verify
from billing.voiding import void_invoice
from customers.models import BillTo, Customer
from tests.billing.money import cents, credit, give, sums, tax
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
CLOSED = datetime(2026, 11, 2, tzinfo=UTC)
CLOSED_AGAIN = datetime(2026, 12, 2, tzinfo=UTC)
BASE = {"kind": "subscription", "label": "Base", "amount": "50.00", "timing": "in_arrears"}


def close(month: Month = OCTOBER, now: datetime = CLOSED, **terms: Any) -> CloseReport:
    return close_period(month, now=now, **({"grace_days": 0} | terms))


def tickets(customer: str, count: int, *, at: str = "2026-10-05T10:00:00Z", name: str = "t") -> None:
    now = max(datetime(2026, 11, 1, tzinfo=UTC), datetime.fromisoformat(at))
    send(
        *(event(f"{customer}-{name}-{n}", customer=customer, occurred_at=at) for n in range(count)),
        now=now,
    )


def make_family(**meter: Any) -> tuple[Customer, Customer, Customer]:
    make_meter(**meter)
    parent = make_customer("globex", name="Globex", country="DE", email="pay@globex.test", payment_days=10)
    berlin = make_customer("berlin", name="Berlin", parent=parent, bill_to=BillTo.PARENT)
    tokyo = make_customer("tokyo", name="Tokyo", parent=parent, bill_to=BillTo.PARENT)
    make_subscription(parent, make_plan(BASE, code="base", name="Head office"))
    usage = make_plan(TICKETS, code="usage", name="Tickets")
    least = make_plan(TICKETS, code="least", name="Tickets with minimum", minimum_amount=Decimal(30))
    make_subscription(berlin, usage)
    make_subscription(tokyo, least)
    return parent, berlin, tokyo


@pytest.fixture
def family() -> tuple[Customer, Customer, Customer]:
    tax("DE", "19")
    parent, berlin, tokyo = make_family()
    give(berlin, "10%")
    tickets("berlin", 10)
    tickets("tokyo", 4)
    return parent, berlin, tokyo


def consolidated(**chosen: Any) -> Invoice:
    return Invoice.objects.get(kind="consolidated", **chosen)


def printed(invoice: Invoice) -> list[tuple[str, list[tuple[int, str, str]], str]]:
    return [
        (
            group.customer,
            [(each.line.n, each.line.description, cents(each.line.amount)) for each in group.lines],
            cents(group.subtotal),
        )
        for group in invoice_document(invoice).groups
    ]


def assert_everything_adds_up() -> None:
    verified = verify(invoices_to_verify())
    assert verified.differences == []
    assert verified.checked
    wrong = [(answer.equation.code, answer.named) for answer in audit() if answer.differences]
    assert wrong == []


def test_a_month_of_a_family_is_one_invoice_of_the_parent(family: tuple[Customer, ...]) -> None:
    parent, _, _ = family
    report = close()
    assert (report.issued, report.totals) == (1, {"USD": Decimal("116.62")})
    whole = consolidated()
    assert sums(whole) == {
        "subtotal": "100.00",
        "discount": "2.00",
        "tax": "18.62",
        "total": "116.62",
        "amount_due": "116.62",
    }
    assert (whole.customer, whole.number, str(whole.due_on)) == (parent, "INV-2026-000001", "2026-11-12")
    assert whole.recipient["email"] == "pay@globex.test"
    assert printed(whole) == [
        ("Globex", [(1, "Base", "50.00")], "50.00"),
        ("Berlin", [(2, "Tickets Resolved", "20.00")], "20.00"),
        ("Tokyo", [(3, "Tickets Resolved", "8.00"), (4, "Plan minimum", "22.00")], "30.00"),
    ]
    parts = Invoice.objects.filter(part_of=whole).order_by("part_n")
    assert [(part.customer.code, part.number, part.status) for part in parts] == [
        ("globex", "INV-2026-000001-1", "part"),
        ("berlin", "INV-2026-000001-2", "part"),
        ("tokyo", "INV-2026-000001-3", "part"),
    ]
    assert Invoice.objects.count() == 4
    assert_everything_adds_up()


def test_closing_again_changes_nothing(family: tuple[Customer, ...]) -> None:
    close()
    before = list(Invoice.objects.order_by("id").values())
    assert close().issued == 0
    assert list(Invoice.objects.order_by("id").values()) == before


def test_drafts_are_refreshed_as_one_and_issued_as_one_by_hand(family: tuple[Customer, ...]) -> None:
    _, berlin, _ = family
    report = close(grace_days=5)
    assert (report.issued, report.drafted) == (0, 1)
    draft = consolidated()
    assert {part.status for part in draft.parts.all()} == {"draft"}
    tickets("berlin", 5, name="later")
    close(grace_days=5)
    refreshed = consolidated()
    # 15 tickets: 30.00 - 3.00, so 107.00 before tax and 127.33 with it.
    assert (refreshed.pk, cents(refreshed.total), refreshed.parts.count()) == (draft.pk, "127.33", 3)
    part = refreshed.parts.get(customer=berlin)
    assert open_actions(part) == []
    with pytest.raises(NotInThisState, match="part of a consolidated invoice"):
        issue_draft(part, by="anna", now=CLOSED)
    issue_draft(refreshed, expected=Decimal("127.33"), by="anna", now=CLOSED)
    whole = consolidated()
    assert (whole.status, whole.number) == ("issued", "INV-2026-000001")
    assert {part.status for part in whole.parts.all()} == {"part"}
    assert_everything_adds_up()


def test_a_child_that_pays_itself_again_leaves_the_draft(family: tuple[Customer, ...]) -> None:
    _, berlin, tokyo = family
    close(grace_days=5)
    whole = consolidated()
    berlin.bill_to = BillTo.ITSELF
    berlin.save()
    close(grace_days=5)
    # Globex and Tokyo: 80.00 and 19 %. Berlin has no country, so no tax: 20.00 - 2.00.
    assert consolidated().pk == whole.pk
    assert sums(consolidated())["total"] == "95.20"
    own = Invoice.objects.get(customer=berlin)
    assert (own.part_of, cents(own.total), own.recipient["name"]) == (None, "18.00", "Berlin")
    tokyo.bill_to = BillTo.ITSELF
    tokyo.save()
    close(grace_days=0)
    assert not Invoice.objects.filter(kind="consolidated").exists()
    assert sorted((row.customer.code, cents(row.total)) for row in Invoice.objects.all()) == [
        ("berlin", "18.00"),
        ("globex", "59.50"),
        ("tokyo", "30.00"),
    ]
    assert_everything_adds_up()


def test_what_is_issued_stays_when_the_family_changes(family: tuple[Customer, ...]) -> None:
    _, berlin, _ = family
    close()
    berlin.bill_to, berlin.parent = BillTo.ITSELF, None
    berlin.save()
    assert close().issued == 0
    assert consolidated().parts.filter(customer=berlin).exists()
    assert_everything_adds_up()


def test_late_tickets_of_a_child_are_on_the_next_consolidated_invoice(family: tuple[Customer, ...]) -> None:
    close()
    tickets("berlin", 3, at="2026-10-20T08:00:00Z", name="late")
    close(NOVEMBER, CLOSED_AGAIN)
    whole = consolidated(period_start=NOVEMBER.first)
    # Berlin: 3 x 2.00 less the 10 % that October had; Tokyo's minimum of 30.00; tax 19 % of 85.40.
    assert printed(whole) == [
        ("Globex", [(1, "Base", "50.00")], "50.00"),
        (
            "Berlin",
            [
                (2, "Tickets Resolved", "0.00"),
                (3, "Adjustment of Tickets Resolved, invoice INV-2026-000001-2", "5.40"),
            ],
            "5.40",
        ),
        ("Tokyo", [(4, "Tickets Resolved", "0.00"), (5, "Plan minimum", "30.00")], "30.00"),
    ]
    assert sums(whole) == {"subtotal": "85.40", "tax": "16.23", "total": "101.63", "amount_due": "101.63"}
    assert_everything_adds_up()


def _refuse_tokyo(due: DuePeriod, *others: Any) -> list[DraftLine]:
    if due.subscription.customer.code == "tokyo":
        raise RatingError("This price cannot be read.")
    return draft_lines(due, *others)


def test_a_broken_child_parks_the_consolidated_invoice_until_it_is_repaired(
    family: tuple[Customer, ...],
) -> None:
    other = make_customer("initech")
    make_subscription(other, Plan.objects.get(code="usage"))
    unreadable = patch("billing.invoicing.draft_lines", side_effect=_refuse_tokyo)
    with unreadable:
        report = close()
    assert [invoice.customer.code for invoice in Invoice.objects.all()] == ["initech"]
    reasons = {failure.customer.code: failure.message for failure in report.failures}
    assert sorted(reasons) == ["globex", "tokyo"]
    assert reasons["globex"].startswith("Its consolidated invoice waits for Tokyo.")
    assert ParkedCustomer.objects.filter(cleared_at=None).count() == 2
    close()
    assert sums(consolidated())["total"] == "116.62"
    assert not ParkedCustomer.objects.filter(cleared_at=None).exists()
    assert_everything_adds_up()


def test_a_void_consolidated_invoice_can_be_billed_again(family: tuple[Customer, ...]) -> None:
    close()
    void_invoice(consolidated(), reason="wrong address", by="anna", now=CLOSED)
    assert set(Invoice.objects.values_list("status", flat=True)) == {"void"}
    assert close().issued == 1
    again = consolidated(status="issued")
    assert (again.number, cents(again.total), again.parts.count()) == ("INV-2026-000002", "116.62", 3)
    assert_everything_adds_up()


def test_credit_notes_take_lines_of_children_and_the_rest_to_the_cent(family: tuple[Customer, ...]) -> None:
    close()
    whole = consolidated()
    # Berlin's line: 20.00 - 2.00 discount = 18.00; 19 % of it is 3.42.
    note = issue_credit_note(whole, lines={2: Decimal(20)}, reason="wrong", by="anna", now=CLOSED)
    assert (cents(note.total), note.recipient["name"]) == ("21.42", "Globex")
    rest = preview_credit_note(Invoice.objects.get(pk=whole.pk))
    assert cents(rest.total) == "95.20"
    issue_credit_note(whole, reason="all of it", by="anna", now=CLOSED)
    assert Invoice.objects.get(pk=whole.pk).amount_credited == whole.total
    assert_everything_adds_up()


def test_credits_of_the_parent_pay_and_those_of_a_child_stay(family: tuple[Customer, ...]) -> None:
    parent, berlin, _ = family
    mine, own = credit(parent, "16.62"), credit(berlin, "500.00")
    close(now=datetime(2026, 11, 21, tzinfo=UTC))
    assert sums(consolidated())["amount_due"] == "100.00"
    mine.refresh_from_db()
    own.refresh_from_db()
    assert (mine.balance, own.balance) == (0, 500)
    assert_everything_adds_up()


def test_another_cycle_is_an_invoice_of_its_own_to_the_parent(family: tuple[Customer, ...]) -> None:
    _, _, tokyo = family
    Subscription.objects.filter(customer=tokyo).update(end_on=date(2026, 10, 15))
    close()
    first, second = Invoice.objects.filter(kind="consolidated").order_by("period_end")
    assert [group[0] for group in printed(first)] == ["Tokyo"]
    assert [group[0] for group in printed(second)] == ["Globex", "Berlin"]
    assert first.customer == second.customer
    assert_everything_adds_up()


def test_it_waits_until_the_month_is_over_in_every_time_zone(family: tuple[Customer, ...]) -> None:
    parent, _, _ = family
    late = make_customer("la", timezone="America/Los_Angeles", parent=parent, bill_to=BillTo.PARENT)
    make_subscription(late, Plan.objects.get(code="usage"))
    early = datetime(2026, 11, 1, 6, tzinfo=UTC)  # over in UTC, still October in Los Angeles
    with pytest.raises(PeriodNotOver):
        close(now=early)
    assert not Invoice.objects.exists()
    assert close(now=datetime(2026, 11, 1, 7, tzinfo=UTC)).issued == 1
    assert consolidated().parts.count() == 4
    assert_everything_adds_up()


def test_a_close_of_one_child_takes_the_family_with_it(family: tuple[Customer, ...]) -> None:
    assert close(customer_codes=["tokyo"]).issued == 1
    assert consolidated().parts.count() == 3


def test_fees_at_the_start_are_on_an_invoice_of_the_parent_too(family: tuple[Customer, ...]) -> None:
    _, berlin, tokyo = family
    plan = make_plan(BASE | {"timing": "at_start", "amount": "10.00"}, code="ahead", name="Ahead")
    for customer in (berlin, tokyo):
        make_subscription(customer, plan, start_on=date(2026, 11, 1))
    close()
    start = Invoice.objects.get(
        kind="consolidated", parts__kind="at_start", part_of=None, parts__customer=berlin
    )
    assert printed(start) == [
        ("Berlin", [(1, "Base", "10.00")], "10.00"),
        ("Tokyo", [(2, "Base", "10.00")], "10.00"),
    ]
    assert sums(start)["total"] == "22.61"  # Berlin has 10 % off: 19.00 and 19 % of it
    close(NOVEMBER, CLOSED_AGAIN)
    assert_everything_adds_up()


def test_a_preview_of_a_child_says_what_its_part_will_say(family: tuple[Customer, ...]) -> None:
    _, berlin, _ = family
    subscription = Subscription.objects.get(customer=berlin)
    draft = preview_invoice(subscription, now=datetime(2026, 10, 31, 12, tzinfo=UTC))
    close()
    part = Invoice.objects.get(part_of__isnull=False, customer=berlin)
    assert (draft.subtotal, draft.discount, draft.total) == (part.subtotal, part.discount, part.total)
    assert cents(part.total) == "18.00"


@pytest.mark.parametrize("families", [2, 6])
def test_a_close_asks_as_many_questions_for_many_families(
    families: int, django_assert_max_num_queries: Any
) -> None:
    tax("DE", "19")
    make_meter()
    plan = make_plan(TICKETS, code="usage", name="Tickets")
    for n in range(families):
        parent = make_customer(f"p{n}", country="DE")
        for child in range(3):
            code = f"p{n}c{child}"
            make_subscription(make_customer(code, parent=parent, bill_to=BillTo.PARENT), plan)
            tickets(code, 2)
    # As many for two families as for six: one more for each of six would be too many.
    with django_assert_max_num_queries(80):
        assert close().issued == families
    assert InvoiceLine.objects.count() == families * 3
