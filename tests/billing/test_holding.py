"""The gate of a close: what is serious waits for a person, everything else goes through."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.close_reports import CloseReport
from billing.closing import close_period
from billing.ending import end_subscription
from billing.errors import ReasonMissing
from billing.holding import approve
from billing.models import CloseReview, Invoice, PortalTotal, Subscription
from billing.months import Month
from billing.previewing import preview_invoice
from billing.showing import remember_shown
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
)
from tests.staff import make_staff

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
AFTER_NOVEMBER = datetime(2026, 12, 5, tzinfo=UTC)


def close(month: Month = NOVEMBER, **options: Any) -> CloseReport:
    return close_period(month, now=AFTER_NOVEMBER, **({"grace_days": 0} | options))


def use(customer: str, october: int, november: int, **fields: Any) -> None:
    """Resolved tickets at $2.00 in both months."""
    for name, value, day in (("o", october, "2026-10-03"), ("n", november, "2026-11-03")):
        if value:
            send(
                event(
                    f"{customer}-{name}",
                    customer=customer,
                    value=str(value),
                    occurred_at=f"{day}T10:00:00Z",
                    **fields,
                )
            )


@pytest.fixture
def two() -> None:
    """Acme's total rises from $600.00 to $60,000.00; Globex stays at $600.00."""
    make_subscription(make_customer("acme"))
    make_subscription(make_customer("globex"))
    use("acme", 300, 30_000)
    use("globex", 300, 300)
    close(OCTOBER)


def kinds(customer: str = "acme") -> list[str]:
    return CloseReview.objects.get(customer__code=customer, month=NOVEMBER.first).kinds


@pytest.mark.usefixtures("two")
def test_a_jump_is_held_as_a_draft_and_everything_else_goes_through() -> None:
    report = close()
    assert (report.issued, report.held, report.drafted, report.failures) == (1, 1, 0, [])
    november = Invoice.objects.filter(period_start=NOVEMBER.first)
    assert dict(november.values_list("customer__code", "status")) == {"acme": "draft", "globex": "issued"}
    review = CloseReview.objects.get()
    assert (review.held, review.kinds, review.weight) == (True, ["jump"], Decimal(59_400))
    assert sorted(Invoice.objects.exclude(sequence=None).values_list("sequence", flat=True)) == [1, 2, 3]


@pytest.mark.usefixtures("two")
def test_an_approved_invoice_is_issued_by_the_next_close() -> None:
    close()
    clerk = make_staff("Billing clerk")
    ids = list(CloseReview.objects.values_list("id", flat=True))
    with pytest.raises(ReasonMissing):
        approve(ids, reason="  ", by=clerk, now=NOW)
    assert approve(ids, reason="Their campaign.", by=clerk, now=NOW) == 1
    report = close()
    assert (report.issued, report.held, report.unchanged) == (1, 0, 1)
    review = CloseReview.objects.get()
    assert (review.held, review.approved_by, review.reason, review.approved_at) == (
        False,
        clerk,
        "Their campaign.",
        NOW,
    )
    assert review.history.filter(reason="Their campaign.").count() == 1
    assert approve(ids, reason="Again.", by=clerk, now=NOW) == 0


@pytest.mark.usefixtures("two")
def test_an_approved_invoice_that_jumps_again_is_held_again() -> None:
    close()
    approve(CloseReview.objects.values_list("id", flat=True), reason="Seen.", by=make_staff(), now=NOW)
    send(event("more", value="900000", occurred_at="2026-11-04T10:00:00Z"))
    report = close()
    assert (report.issued, report.held, Invoice.objects.get(customer__code="acme", status="draft").total) == (
        0,
        1,
        Decimal(1_860_000),
    )


@pytest.mark.usefixtures("two")
def test_a_hold_ends_when_its_cause_is_gone(settings: Any) -> None:
    close()
    settings.CLOSE_HOLDS = ()
    assert (close().issued, CloseReview.objects.filter(held=True).count()) == (1, 0)


@pytest.mark.usefixtures("two")
def test_within_the_grace_days_nothing_counts_as_held_yet() -> None:
    early = datetime(2026, 12, 1, 6, tzinfo=UTC)
    report = close_period(NOVEMBER, now=early, grace_days=2)
    assert (report.drafted, report.held) == (2, 0)
    assert CloseReview.objects.get().held


@pytest.mark.usefixtures("two")
def test_the_command_names_who_is_held_and_ends_with_its_own_status() -> None:
    out, err = StringIO(), StringIO()
    with time_machine.travel(AFTER_NOVEMBER, tick=False):
        call_command("close_invoices", "--month", "2026-11", "--dry-run", stdout=out, stderr=err)
        assert "UNUSUAL acme: $600.00 in the period before, $60,000.00 now" in out.getvalue()
        assert "1 would be held for approval" in out.getvalue()
        assert not CloseReview.objects.exists()
        with pytest.raises(SystemExit) as ended:
            call_command("close_invoices", "--month", "2026-11", stdout=out, stderr=err)
    assert ended.value.code == 3
    assert "HELD acme: $600.00 in the period before" in err.getvalue()
    assert "1 invoice issued" in out.getvalue()


def test_small_customers_and_first_invoices_are_never_held() -> None:
    make_subscription(make_customer("acme"))
    make_subscription(make_customer("globex"), start_on=date(2026, 11, 1))
    use("acme", 0, 2_000)
    use("globex", 0, 100_000)
    close(OCTOBER)
    assert (close().issued, CloseReview.objects.filter(held=True).exists()) == (2, False)


def test_usage_whose_price_is_gone_is_held_and_usage_never_priced_only_named() -> None:
    make_meter()
    make_meter("chats")
    make_meter("tokens")
    both = make_plan(TICKETS, TICKETS | {"meter": "chats"}, code="both")
    only_tickets = make_plan(code="only_tickets")
    acme, globex = make_customer("acme"), make_customer("globex")
    first = make_subscription(acme, both)
    make_subscription(globex, only_tickets)
    for customer in ("acme", "globex"):
        use(customer, 3, 3)
        for meter in ("chats", "tokens"):
            for month in ("10", "11"):
                send(
                    event(
                        f"{customer}-{meter}-{month}",
                        customer=customer,
                        meter=meter,
                        occurred_at=f"2026-{month}-03T10:00:00Z",
                    )
                )
    close(OCTOBER)
    end_subscription(first, end_on=NOVEMBER.first)
    make_subscription(acme, only_tickets, start_on=NOVEMBER.first)
    report = close()
    # Nobody pays for tokens: they are no finding. Chats of Globex were never priced, those of Acme were.
    assert (kinds("acme"), kinds("globex")) == (["lost_price", "vanished"], ["missing_price"])
    assert (report.held, report.issued) == (1, 1)


def test_the_close_knows_what_the_portal_showed_last() -> None:
    subscription = make_subscription()
    use("acme", 5_000, 0)
    after = datetime(2026, 11, 1, 6, tzinfo=UTC)
    draft = preview_invoice(subscription, period=month_period(2026, 10, "UTC"), now=after)
    remember_shown([draft], now=after)
    remember_shown([draft], now=after)
    assert PortalTotal.objects.get().total == Decimal(10_000)
    send(event("late", value="200000"))
    report = close(OCTOBER)
    review = CloseReview.objects.get()
    assert (report.held, review.kinds, review.findings[0]["before"]) == (1, ["portal"], "10000.0000")


@pytest.mark.usefixtures("two")
def test_an_approval_without_reason_or_person_is_refused_by_the_database() -> None:
    close()
    for fields in ({"approved_at": NOW}, {"reason": "x"}, {"approved_at": NOW, "approved_by": make_staff()}):
        with pytest.raises(IntegrityError, match="approved_with_reason"), transaction.atomic():
            CloseReview.objects.update(**fields)


def test_comparing_costs_the_same_queries_for_many_customers() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            close(dry_run=True)
        return len(captured)

    make_subscription(make_customer("c0"))
    close(OCTOBER)
    few = queries()
    for n in range(1, 30):
        make_subscription(make_customer(f"c{n}"))
    close(OCTOBER)
    assert Subscription.objects.count() == 30
    assert queries() == few
