from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from billing import closing
from billing.closing import close_period, uninvoiced_before
from billing.ending import end_subscription
from billing.errors import PeriodNotOver
from billing.models import Invoice, InvoiceLine, InvoiceSeries, Subscription
from billing.months import Month
from billing.previewing import preview_invoice
from metering.models import EventBatch
from metering.periods import month_period
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

pytestmark = pytest.mark.django_db
OCTOBER = Month(2026, 10)


def close(month: Month = OCTOBER, *, now: datetime = NOW, grace_days: int = 0, **options: bool) -> object:
    return close_period(month, now=now, grace_days=grace_days, **options)


@pytest.mark.parametrize(("tickets", "total"), [(0, "0.00"), (1, "2.00"), (50, "100.00"), (120, "240.00")])
def test_resolved_tickets_cost_two_dollars_each(tickets: int, total: str) -> None:
    make_subscription()
    send_tickets(tickets)
    close()
    invoice = Invoice.objects.get()
    line = invoice.lines.get()
    assert (str(invoice.total.quantize(Decimal("0.01"))), line.quantity) == (total, tickets)
    assert (invoice.number, invoice.status) == ("INV-2026-000001", "issued" if tickets else "paid")
    assert (invoice.period_start, invoice.period_end) == (date(2026, 10, 1), date(2026, 11, 1))


def test_a_month_without_usage_is_billed_by_a_percentage_with_rules_for_each_event() -> None:
    make_meter(type="sum")
    charge = TICKETS | {"model": "percentage", "percent": "2.9", "fixed_amount": "0.30"}
    del charge["unit_amount"]
    make_subscription(plan=make_plan(charge))
    report = close()
    assert (report.issued, report.failures) == (1, [])
    assert (Invoice.objects.get().total, InvoiceLine.objects.get().quantity) == (0, 0)


def test_closing_again_changes_nothing() -> None:
    make_subscription()
    send_tickets(120)
    close()
    before = list(Invoice.objects.values())
    again = close()
    assert list(Invoice.objects.values()) == before
    assert (again.issued, again.unchanged, InvoiceLine.objects.count()) == (0, 1, 1)


def test_a_dry_run_shows_the_figures_of_the_close_and_writes_nothing() -> None:
    make_subscription()
    send_tickets(120)
    dry = close(dry_run=True)
    assert (Invoice.objects.count(), InvoiceSeries.objects.count()) == (0, 0)
    assert not EventBatch.objects.exclude(position=None).exists()
    real = close()
    assert (dry.issued, dry.totals) == (real.issued, real.totals) == (1, {"USD": Decimal("240.00")})


def test_the_invoice_is_what_the_preview_showed() -> None:
    subscription = make_subscription()
    send_tickets(37)
    preview = preview_invoice(subscription, period=month_period(2026, 10, "UTC"), now=NOW)
    close()
    line = InvoiceLine.objects.get()
    assert (line.amount, line.quantity) == (preview.lines[0].amount, preview.lines[0].quantity)
    assert line.working == [step.as_json() for step in preview.lines[0].working]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland", "Europe/Berlin"])
def test_the_first_instant_of_the_next_month_is_on_the_next_invoice(zone: str) -> None:
    make_subscription(make_customer(timezone=zone))
    end = month_period(2026, 10, zone).end
    last = end - timedelta(microseconds=1)
    send(event("last", occurred_at=last.isoformat()), event("next", occurred_at=end.isoformat()))
    close(Month(2026, 10), now=datetime(2026, 12, 5, tzinfo=UTC))
    close(Month(2026, 11), now=datetime(2026, 12, 5, tzinfo=UTC))
    quantities = list(InvoiceLine.objects.order_by("period_start").values_list("quantity", flat=True))
    assert quantities == [1, 1]


def test_a_month_that_is_not_over_is_refused_and_nothing_is_written() -> None:
    make_subscription()
    with pytest.raises(PeriodNotOver, match="November 2026 is not over yet"):
        close(Month(2026, 11))
    assert not Invoice.objects.exists()


def test_customers_still_in_the_month_are_left_for_a_later_run() -> None:
    make_subscription(make_customer("akl", timezone="Pacific/Auckland"))
    make_subscription(make_customer("lax", timezone="America/Los_Angeles"))
    between = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
    report = close(now=between)
    assert (report.issued, report.not_over) == (1, 1)
    assert close(now=between + timedelta(hours=6)).issued == 1


def test_drafts_are_refreshed_in_their_grace_days_and_issued_after_them() -> None:
    make_subscription()
    send_tickets(100)
    first = close(now=datetime(2026, 11, 1, 1, 0, tzinfo=UTC), grace_days=2)
    assert (first.issued, first.drafted, Invoice.objects.get().number) == (0, 1, None)
    send_tickets(20, first=100)
    second = close(now=datetime(2026, 11, 3, 0, 0, tzinfo=UTC), grace_days=2)
    assert (second.issued, second.drafted) == (1, 0)
    invoice = Invoice.objects.get()
    assert (invoice.total, invoice.status, invoice.lines.get().quantity) == (Decimal(240), "issued", 120)


def test_numbers_have_no_gaps_in_the_order_of_issue() -> None:
    make_subscription()
    for n in range(4):
        make_subscription(make_customer(f"c{n}"))
    close()
    send_tickets(3, occurred_at="2026-11-02T00:00:00Z")
    close(Month(2026, 11), now=datetime(2026, 12, 2, tzinfo=UTC))
    assert list(Invoice.objects.order_by("sequence").values_list("number", flat=True)) == [
        f"INV-2026-{n:06d}" for n in range(1, 11)
    ]


def test_a_customer_that_cannot_be_rated_never_costs_the_others() -> None:
    make_meter(dimensions=["kind"])
    listed = TICKETS | {
        "dimensions": ["kind"],
        "rows": [{"match": {"kind": "email"}, "unit_amount": "1"}],
        "unmatched": "listed",
    }
    listed.pop("unit_amount")
    plan = make_plan(listed)
    good, bad = make_customer("good"), make_customer("bad")
    make_subscription(good, plan)
    make_subscription(bad, plan)
    send(
        event("a", customer="good", dimensions={"kind": "email"}),
        event("b", customer="bad", dimensions={"kind": "fax"}),
    )
    report = close()
    assert [failure.customer.code for failure in report.failures] == ["bad"]
    assert Invoice.objects.get().customer == good


def test_a_plan_that_starts_in_the_month_is_invoiced_from_its_first_day() -> None:
    make_subscription(start_on=date(2026, 10, 10))
    send(event("before", occurred_at="2026-10-09T23:59:59Z"), event("on", occurred_at="2026-10-10T00:00:00Z"))
    close()
    invoice = Invoice.objects.get()
    assert (invoice.period_start, invoice.lines.get().quantity) == (date(2026, 10, 10), 1)


def test_a_plan_that_ended_in_the_month_is_invoiced_once_to_its_last_day() -> None:
    subscription = make_subscription()
    end_subscription(subscription, end_on=date(2026, 10, 15))
    send(event("in", occurred_at="2026-10-14T23:59:59Z"), event("out", occurred_at="2026-10-15T00:00:00Z"))
    close()
    close(Month(2026, 11), now=datetime(2026, 12, 2, tzinfo=UTC))
    invoice = Invoice.objects.get()
    assert (invoice.period_end, invoice.lines.get().quantity) == (date(2026, 10, 15), 1)


def test_fixed_fees_are_prorated_by_days_and_charged_once_when_one_time() -> None:
    plan = make_plan(
        {"kind": "subscription", "label": "Base", "amount": "310.00", "timing": "in_arrears"},
        {"kind": "one_time", "label": "Set-up", "amount": "500.00"},
        code="base",
    )
    make_subscription(make_customer(), plan, start_on=date(2026, 10, 22))
    close()
    close(Month(2026, 11), now=datetime(2026, 12, 2, tzinfo=UTC))
    amounts = list(
        InvoiceLine.objects.order_by("invoice__period_start", "n").values_list("description", "amount")
    )
    # 10 of October's 31 days: 310.00 x 10 / 31 = 100.00.
    assert amounts == [
        ("Base (10 of 31 days)", Decimal(100)),
        ("Set-up", Decimal(500)),
        ("Base", Decimal(310)),
    ]


def test_periods_before_the_month_that_were_never_invoiced_are_named() -> None:
    make_subscription(start_on=date(2026, 8, 1))
    close()
    missing = uninvoiced_before(OCTOBER)
    assert [due.period.start_on for due in missing] == [date(2026, 8, 1), date(2026, 9, 1)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_invoice SET total = 1, subtotal = 1",
        "UPDATE billing_invoice SET recipient = '{}'",
        "UPDATE billing_invoice SET status = 'draft', number = NULL, sequence = NULL, series_id = NULL,"
        " issued_at = NULL",
        "DELETE FROM billing_invoiceline",
        "UPDATE billing_invoiceline SET amount = 1",
        "INSERT INTO billing_invoiceline (invoice_id, n, kind, description, rate_id, unit, quantity, amount, terms,"
        " working, period_start, period_end) SELECT invoice_id, 99, kind, description, rate_id, unit, quantity, 0,"
        " terms, working, period_start, period_end FROM billing_invoiceline LIMIT 1",
        "DELETE FROM billing_invoice",
        "UPDATE billing_rate SET terms = '{}'",
        "DELETE FROM billing_rate",
        "UPDATE billing_plan SET currency = 'EUR'",
        "UPDATE customers_customer SET timezone = 'Asia/Tokyo'",
    ],
)
def test_the_database_refuses_to_change_what_was_agreed_or_issued(change: str) -> None:
    make_subscription()
    send_tickets(1)
    close()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_an_invoice_whose_lines_do_not_add_up_cannot_be_issued() -> None:
    make_subscription()
    send_tickets(1)
    close(now=datetime(2026, 11, 1, 1, 0, tzinfo=UTC), grace_days=2)
    InvoiceLine.objects.update(amount=1)
    series = InvoiceSeries.objects.create(prefix="X", last_number=1)
    with pytest.raises(IntegrityError, match="do not add up"):
        Invoice.objects.update(status="issued", number="X-000001", sequence=1, series=series, issued_at=NOW)


@time_machine.travel(NOW, tick=False)
def test_the_command_prints_one_line_of_totals_and_succeeds_again() -> None:
    make_subscription()
    send_tickets(120)
    for expected in ("1 invoice issued", "1 issued before"):
        out = StringIO()
        call_command("close_invoices", "--month", "2026-10", stdout=out, stderr=StringIO())
        assert expected in out.getvalue()
        assert out.getvalue().count("\n") == 1


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("options", [["--month", "2026-11"], ["--month", "2026-10", "--customer", "nobody"]])
def test_the_command_refuses_what_it_cannot_close(options: list[str]) -> None:
    make_subscription()
    with pytest.raises(CommandError):
        call_command("close_invoices", *options, stdout=StringIO(), stderr=StringIO())
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("text", ["2026-13", "2026", "october", "2026-1", "26-10"])
def test_a_month_is_written_with_four_digits_and_two(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Month.parse(text)


@pytest.mark.django_db(transaction=True)
def test_closers_in_processes_share_the_chunks_and_their_sums_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six customers with 1 to 6 tickets in three chunks; one cannot be billed. The sums are 2 x (21 - 3) = 36.00."""
    monkeypatch.setattr(closing, "CHUNK", 2)
    make_meter(type="sum")
    plan = make_plan()
    for n in range(1, 7):
        make_subscription(make_customer(f"c{n}"), plan)
        send(event(f"e{n}", customer=f"c{n}", value=str(n)))
    broken = Subscription.objects.get(customer__code="c3")
    Subscription.objects.filter(pk=broken.pk).update(overrides={str(plan.rates.get().pk): {"kind": "?"}})
    seen: list[int] = []
    report = close_period(
        Month(2026, 10),
        now=NOW,
        grace_days=0,
        closers=2,
        on_chunk=lambda chunk, so_far: seen.append(so_far.done),
    )
    assert seen == [2, 4, 6]
    assert (report.total, report.issued, report.totals) == (6, 5, {"USD": Decimal(36)})
    assert [failure.customer.code for failure in report.failures] == ["c3"]
    assert list(Invoice.objects.order_by("sequence").values_list("sequence", flat=True)) == [1, 2, 3, 4, 5]
    again = close_period(Month(2026, 10), now=NOW, grace_days=0, closers=2)
    assert (again.issued, again.unchanged, len(again.failures)) == (0, 5, 1)
