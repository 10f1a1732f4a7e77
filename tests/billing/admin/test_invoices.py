"""Invoices as staff read them, the events behind a line, CSV, PDF, and closing a month from the admin."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from billing.closing import close_period
from billing.collecting import record_payment
from billing.models import Invoice, InvoiceStatus
from billing.months import Month
from tests.factories import (
    NOW,
    event,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)
from tests.staff import sign_in, text_of

OCTOBER = Month(2026, 10)
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_story_time")]


@pytest.fixture
def _story_time() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def staff() -> Client:
    return sign_in()


@pytest.fixture
def invoice() -> Invoice:
    """October of Acme: 120 tickets at $2.00."""
    make_subscription()
    send_tickets(120)
    close_period(OCTOBER, now=NOW, grace_days=0)
    return Invoice.objects.get()


def url(name: str, *arguments: object) -> str:
    return reverse(f"admin:billing_invoice_{name}", args=arguments)


def rows_of(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_an_invoice_explains_its_line_and_is_read_only(staff: Client, invoice: Invoice) -> None:
    page = staff.get(url("change", invoice.pk))
    assert page.context["total"] == "$240.00"
    assert [line.plain for line in page.context["lines"]] == ["120 tickets × $2.00"]
    assert "Issued: read-only for good." in text_of(page)
    assert staff.post(url("change", invoice.pk), {"total": "1"}).status_code == 403
    assert staff.post(url("delete", invoice.pk), {"post": "yes"}).status_code == 403


def test_a_line_leads_to_exactly_the_events_it_was_measured_from(staff: Client, invoice: Invoice) -> None:
    send(event("too-late"))
    first = staff.get(url("events", invoice.pk, 1)).context["page"]
    assert (first.paginator.count, len(first.object_list)) == (120, 50)
    last = staff.get(url("events", invoice.pk, 1), {"page": "3"}).context["page"]
    assert len(last.object_list) == 20
    exported = rows_of(staff.get(url("events_csv", invoice.pk, 1)))
    assert len(exported) == 120
    assert {row["key"] for row in exported}.isdisjoint({"too-late"})
    assert {row["value"] for row in exported} == {"1"}


def test_the_subject_of_an_event_behind_a_line_leads_to_everything_that_happened_for_it(
    staff: Client,
) -> None:
    make_meter(once_per_subject="ever")
    make_subscription(plan=make_plan())
    send(event("evt-1", subject="ticket <1> & co"))
    close_period(OCTOBER, now=NOW, grace_days=0)
    listed = text_of(staff.get(url("events", Invoice.objects.get().pk, 1)))
    found = re.search(r'href="([^"]+)">ticket &lt;1&gt; &amp; co</a>', listed)
    assert found
    story = staff.get(html.unescape(found[1]))
    assert story.status_code == 200
    assert "INV-2026-000001" in text_of(story)


def test_a_fixed_fee_has_no_events(staff: Client) -> None:
    fee = {"kind": "subscription", "label": "Pro", "amount": "10", "timing": "in_advance"}
    make_subscription(plan=make_plan(fee))
    close_period(OCTOBER, now=NOW, grace_days=0)
    assert staff.get(url("events", Invoice.objects.get().pk, 1)).status_code == 404


def test_an_export_runs_no_formula(staff: Client) -> None:
    make_meter()
    make_subscription(make_customer("evil", name="=HYPERLINK(1)"), make_plan())
    send(event("=1+1", customer="evil", subject="@SUM(A1)", dimensions={"-x": "y"}))
    close_period(OCTOBER, now=NOW, grace_days=0)
    (row,) = rows_of(staff.get(url("export")))
    assert (row["customer"], row["total"]) == ("'=HYPERLINK(1)", "2.00")
    (behind,) = rows_of(staff.get(url("events_csv", Invoice.objects.get().pk, 1)))
    assert (behind["key"], behind["subject"], behind["dimensions"]) == ("'=1+1", "'@SUM(A1)", "'-x=y")


def test_the_export_has_the_rows_of_the_list(staff: Client, invoice: Invoice) -> None:
    globex = make_subscription(make_customer("globex"), invoice.subscription.plan, start_on=date(2026, 9, 1))
    close_period(Month(2026, 9), now=NOW, grace_days=0)
    assert len(rows_of(staff.get(url("export")))) == 2
    assert [row["customer_code"] for row in rows_of(staff.get(url("export"), {"q": "globex"}))] == ["globex"]
    assert [row["customer_code"] for row in rows_of(staff.get(url("export"), {"month": "2026-10"}))] == [
        "acme"
    ]
    assert globex.customer.name == "Globex"


def test_the_pdf_is_a_pdf(staff: Client, invoice: Invoice) -> None:
    answer = staff.get(url("pdf", invoice.pk))
    assert answer.content.startswith(b"%PDF-")
    assert f'filename="{invoice.number}.pdf"' in answer.headers["Content-Disposition"]


def test_filters_by_status_and_month(staff: Client, invoice: Invoice) -> None:
    def numbers(**query: str) -> list[str | None]:
        return [row.number for row in staff.get(url("changelist"), query).context["cl"].result_list]

    assert numbers(month="2026-10") == [invoice.number]
    assert numbers(month="2026-09") == []
    assert numbers(month="never") == []
    assert numbers(state="draft") == []
    assert numbers(state="unpaid", q="acme") == [invoice.number]


def test_the_list_asks_no_query_per_invoice(staff: Client, django_assert_max_num_queries: Any) -> None:
    first = make_subscription()
    for n in range(30):
        make_subscription(make_customer(f"c-{n}"), first.plan)
    close_period(OCTOBER, now=NOW, grace_days=0)
    with django_assert_max_num_queries(13):
        assert len(staff.get(url("changelist")).context["cl"].result_list) == 31


def test_the_close_shows_a_dry_run_of_the_last_month_and_writes_nothing(staff: Client) -> None:
    make_subscription()
    send_tickets(120)
    page = staff.get(url("close"))
    assert str(page.context["month"]) == "2026-10"
    assert page.context["totals"] == ["$240.00"]
    assert [row["total"] for row in page.context["rows"]] == ["$240.00"]
    assert not Invoice.objects.exists()


def test_closing_issues_what_the_dry_run_showed_and_again_changes_nothing(staff: Client) -> None:
    make_subscription()
    send_tickets(120)
    page = staff.post(url("close"), {"month": "2026-10", "sure": "on"}, follow=True)
    assert "October 2026 is closed" in text_of(page)
    assert (page.context["run"].issued, page.context["totals"]) == (1, ["$240.00"])
    again = staff.post(url("close"), {"month": "2026-10", "sure": "on"}, follow=True)
    assert (again.context["run"].issued, again.context["run"].unchanged) == (0, 1)
    assert [str(row.total) for row in Invoice.objects.all()] == ["240.0000"]
    assert "October 2026 is closed" in text_of(staff.get(url("close"), {"month": "2026-10"}))


def test_a_close_within_the_grace_days_makes_drafts_unless_told_otherwise(staff: Client) -> None:
    make_subscription()
    with time_machine.travel(datetime(2026, 11, 1, 6, tzinfo=UTC), tick=False):
        staff.post(url("close"), {"month": "2026-10", "sure": "on"})
        assert Invoice.objects.get().status == InvoiceStatus.DRAFT
        assert "Draft: not sent, not numbered." in text_of(staff.get(url("change", Invoice.objects.get().pk)))
        staff.post(url("close"), {"month": "2026-10", "sure": "on", "issue_now": "on"})
        assert Invoice.objects.get().status == InvoiceStatus.PAID  # nothing was used, so nothing is due


@pytest.mark.parametrize("month", ["2026-11", "2027-01", "soon", "2026-13", ""])
def test_a_month_that_is_not_over_or_none_cannot_be_closed(staff: Client, month: str) -> None:
    make_subscription()
    page = staff.post(url("close"), {"month": month, "sure": "on"})
    assert "month" in page.context["form"].errors
    assert not Invoice.objects.exists()


def test_a_close_without_the_confirmation_writes_nothing(staff: Client) -> None:
    make_subscription()
    page = staff.post(url("close"), {"month": "2026-10"})
    assert "sure" in page.context["form"].errors
    assert not Invoice.objects.exists()


def test_the_close_warns_of_earlier_months_and_of_who_cannot_be_billed(staff: Client) -> None:
    make_subscription(start_on=date(2026, 8, 1))
    make_meter("tokens", dimensions=["model"])
    by_model = {
        "kind": "usage",
        "meter": "tokens",
        "model": "per_unit",
        "dimensions": ["model"],
        "unmatched": "listed",
    }
    plan = make_plan(by_model | {"rows": [{"match": {"model": "a"}, "unit_amount": "1"}]}, code="tokens")
    make_subscription(make_customer("globex"), plan)
    send(event("x", customer="globex", meter="tokens", dimensions={"model": "new"}))
    page = staff.get(url("close"))
    assert (page.context["earlier"], [str(each) for each in page.context["earlier_months"]]) == (
        2,
        ["2026-08", "2026-09"],
    )
    assert [failure.customer.code for failure in page.context["failures"]] == ["globex"]
    closed = staff.post(url("close"), {"month": "2026-10", "sure": "on"}, follow=True)
    assert (closed.context["run"].issued, closed.context["parked_count"]) == (1, 1)


def test_set_up_steps_are_done_when_the_database_says_so(staff: Client, settings: Any) -> None:
    def done() -> list[bool]:
        return [step.done for step in staff.get(reverse("admin:index")).context["steps"]]

    assert done() == [False, False, False, False, False, False]
    make_meter()
    assert done() == [True, False, False, False, False, False]
    plan = make_plan()
    assert done() == [True, True, False, False, False, False]
    make_subscription(plan=plan)
    assert done() == [True, True, True, False, False, False]
    send_tickets(1)
    assert done() == [True, True, True, True, False, False]
    settings.ISSUER = settings.ISSUER | {"name": "Platform Inc."}
    page = staff.get(reverse("admin:index"))
    assert [step.now for step in page.context["steps"]] == [False, False, False, False, False, True]
    assert "5 of 6 steps to the first invoice are done." in text_of(page)


def test_a_close_warns_while_nobody_has_said_who_bills(staff: Client, settings: Any) -> None:
    make_subscription()
    assert "Invoices would come from “Your company”" in text_of(staff.get(url("close")))
    settings.ISSUER = settings.ISSUER | {"name": "Platform Inc."}
    assert "Invoices would come from" not in text_of(staff.get(url("close")))


def test_the_dashboard_shows_last_months_revenue_usage_and_what_waits(
    staff: Client, invoice: Invoice
) -> None:
    send_tickets(7, first=200, occurred_at="2026-11-05T00:00:00Z")
    send(event("u", customer="nobody"))
    send(event("evt-0", value="9"))
    page = staff.get(reverse("admin:index"))
    assert [(each["last"], each["last_month"]) for each in page.context["revenue"]] == [
        ("$240.00", "October 2026")
    ]
    assert [each["total"] for each in page.context["usage"]] == ["7 tickets"]
    assert (page.context["waiting"], page.context["conflicts"], page.context["drafts"]) == ("1", 1, 0)
    assert [each["total"] for each in page.context["latest"]] == ["$240.00"]


def test_the_dashboard_says_what_customers_owe_and_what_of_it_is_overdue(
    staff: Client, invoice: Invoice
) -> None:
    # 240.00 less a payment of 40.00; issued on 20 November, so due on 4 December
    record_payment(invoice, amount=Decimal(40), received_on=NOW.date(), by="clerk", now=NOW)

    def shown(group: str, day: int) -> tuple[list[str], list[dict[str, str]]]:
        with time_machine.travel(datetime(2026, 12, day, 12, tzinfo=UTC), tick=False):
            context = sign_in(group).get(reverse("admin:index")).context
        return [each["state"] for each in context["latest"]], context["owed"]

    assert shown("Read only", 4) == (["partly_paid"], [{"currency": "USD", "due": "$200.00", "overdue": ""}])
    assert shown("Billing clerk", 5) == (
        ["overdue"],
        [{"currency": "USD", "due": "$200.00", "overdue": "$200.00"}],
    )


def test_staff_without_a_group_are_told_whom_to_ask() -> None:
    client = sign_in("Read only")
    User.objects.get(username="read-only").groups.clear()
    assert "Ask a Billing admin to put you into a group" in text_of(client.get(reverse("admin:index")))


def test_a_refused_close_says_what_to_do(staff: Client) -> None:
    make_subscription(make_customer(timezone="Pacific/Pago_Pago"))
    with time_machine.travel(datetime(2026, 11, 1, 3, tzinfo=UTC), tick=False):
        page = staff.post(url("close"), {"month": "2026-10", "sure": "on"}, follow=True)
    assert "not over yet in the time zone of any customer" in text_of(page)
