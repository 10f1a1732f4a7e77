"""The life of a subscription, worked by hand: every change lands on the right invoice, once, by the days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.agreed_changes import Author
from billing.changing import cancel, change_plan, change_quantity, pause, reactivate, resume
from billing.closing import close_period
from billing.ending import end_subscription
from billing.errors import ChangeRefused, InvalidDates, MoveRefused
from billing.models import Invoice, InvoiceLine, MeterCoverage, Plan, Subscription, SubscriptionChange
from billing.months import Month
from billing.outlooks import outlook, show_effect
from billing.reconciling import reconcile
from billing.undoing import undo, undo_problem
from billing.verifying import verify_invoice
from metering.periods import start_of_day
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
JUNE = date(2026, 6, 1)


def at(month: int, day: int, hour: int = 12, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def by_anna(when: datetime, reason: str = "asked for") -> Author:
    return Author(when, "anna", reason)


def close(month: int, now: datetime, *, year: int = 2026) -> None:
    close_period(Month(year, month), now=now, grace_days=0)


def fee(amount: str, timing: str = "at_start", **fields: Any) -> dict[str, Any]:
    return {"kind": "subscription", "label": "Base", "amount": amount, "timing": timing} | fields


def printed(**chosen: Any) -> list[list[tuple[str, str]]]:
    """Give description and amount of every line, invoice by invoice in the order of issue."""
    return [
        [(line.description, f"{line.amount:.2f}") for line in invoice.lines.all()]
        for invoice in Invoice.objects.filter(**chosen).order_by("issued_at", "sequence")
    ]


def used(key: str, when: datetime) -> None:
    send(event(key, occurred_at=when.isoformat()), now=when + timedelta(minutes=1))


@pytest.fixture(autouse=True)
def _everything_adds_up() -> Iterator[None]:
    """After each story: invoices computed again are the same, and every event is accounted for."""
    yield
    for invoice in Invoice.objects.exclude(status="draft").prefetch_related("lines__meter"):
        assert verify_invoice(invoice).differences == []
    assert reconcile(at(1, 1, year=2025), at(1, 1, year=2030)).difference == 0


def two_plans(timing: str = "at_start") -> tuple[Subscription, Plan]:
    """Acme has $100.00 a month and $2.00 a ticket from 1 June; the other plan is $300.00 and $1.00."""
    make_meter()
    small = make_plan(fee("100.00", timing), TICKETS, code="small", name="Small")
    large = make_plan(fee("300.00", timing), TICKETS | {"unit_amount": "1.00"}, code="large", name="Large")
    return make_subscription(make_customer(), small, start_on=JUNE), large


def test_an_upgrade_on_16_june_credits_50_and_charges_150_and_splits_the_usage() -> None:
    small, large = two_plans()
    close(5, at(6, 1))
    used("before", at(6, 15, 23))
    used("after", at(6, 16, 0))
    effect = show_effect(
        small.customer,
        lambda: change_plan(small, to=large, when="now", author=by_anna(at(6, 16))).start_on,
        now=at(6, 16),
    )
    assert effect.effective_on == date(2026, 6, 16)
    assert [(line.description, line.amount) for line in effect.after.drafts[0].lines] == [
        ("Base (15 of 30 days)", 150),
        ("Base: 15 of 30 days not used", -50),
    ]
    # Now 150.00 - 50.00; July's fee is 300.00 and no longer 100.00; the ticket of today costs a dollar less.
    assert effect.difference == 100 + 200 - 1
    assert Subscription.objects.count() == 1
    assert SubscriptionChange.objects.count() == 0

    change_plan(small, to=large, when="now", author=by_anna(at(6, 16)))
    close(5, at(6, 17))
    close(6, at(7, 1))
    assert printed() == [
        [("Base", "100.00")],
        [("Base (15 of 30 days)", "150.00"), ("Base: 15 of 30 days not used", "-50.00")],
        [("Tickets Resolved", "2.00")],
        [("Base", "300.00"), ("Tickets Resolved", "1.00")],
    ]
    credit = InvoiceLine.objects.get(amount=-50)
    assert (credit.period_start, credit.period_end) == (date(2026, 6, 16), date(2026, 7, 1))
    assert [step["label"] for step in credit.working] == [
        "Owed now, 15 of 30 days",
        "Billed before, INV-2026-000001",
    ]


def test_an_upgrade_of_fees_on_the_invoice_of_their_period_charges_both_parts_once() -> None:
    small, large = two_plans("in_advance")
    change_plan(small, to=large, when=date(2026, 6, 16), author=by_anna(at(6, 10)))
    close(6, at(7, 1))
    assert printed() == [
        [("Base (15 of 30 days)", "50.00"), ("Tickets Resolved", "0.00")],
        [("Base (15 of 30 days)", "150.00"), ("Tickets Resolved", "0.00")],
    ]


def test_a_change_at_the_end_of_a_period_gives_nothing_back_and_charges_no_day_twice() -> None:
    """The fee of June is used up; that of July was never invoiced under the plan that ends."""
    small, large = two_plans()
    close(5, at(6, 1))
    change_plan(small, to=large, when="period_end", author=by_anna(at(6, 16)))
    close(6, at(7, 1))
    assert sorted(printed()) == [
        [("Base", "100.00")],
        [("Base", "300.00")],
        [("Tickets Resolved", "0.00")],
    ]


def test_a_change_at_the_end_of_the_period_can_be_taken_back_and_leaves_its_trace() -> None:
    small, large = two_plans()
    following = change_plan(small, to=large, when="period_end", author=by_anna(at(6, 16)))
    assert following.start_on == date(2026, 7, 1)
    planned = SubscriptionChange.objects.get()
    undo(planned, author=by_anna(at(6, 20), "changed their mind"))
    small.refresh_from_db()
    assert small.end_on is None
    close(6, at(7, 1))
    assert printed() == [[("Base", "100.00"), ("Base", "100.00"), ("Tickets Resolved", "0.00")]]
    facts = SubscriptionChange.objects.values_list("kind", "effective_on", "made_by", "reason")
    assert list(facts) == [
        ("plan", date(2026, 7, 1), "anna", "asked for"),
        ("undo", date(2026, 7, 1), "anna", "changed their mind"),
    ]
    with pytest.raises(ChangeRefused, match="taken back already"):
        undo(planned, author=by_anna(at(7, 2)))
    again = change_plan(small, to=large, when="period_end", author=by_anna(at(7, 2)))
    assert again.start_on == date(2026, 8, 1)


def test_a_downgrade_waits_with_its_credit_for_the_next_regular_invoice() -> None:
    _, large = two_plans()
    small = Plan.objects.get(code="small")
    big = make_subscription(make_customer("big"), large, start_on=JUNE)
    close(5, at(6, 1))
    change_plan(big, to=small, when="now", author=by_anna(at(6, 16)))
    close(5, at(6, 17))
    close(6, at(7, 1))
    # 300.00 was paid for June: 150.00 back, 50.00 for the other half, then July.
    assert printed(customer__code="big") == [
        [("Base", "300.00")],
        [("Tickets Resolved", "0.00")],
        [
            ("Base (15 of 30 days)", "50.00"),
            ("Base", "100.00"),
            ("Tickets Resolved", "0.00"),
            ("Base: 15 of 30 days not used", "-150.00"),
        ],
    ]


def test_three_more_seats_in_the_middle_of_june_cost_half_a_month_more() -> None:
    seats = make_subscription(
        make_customer(), make_plan(fee("10.00", per_seat=True)), start_on=JUNE, quantity=5
    )
    close(5, at(6, 1))
    effect = show_effect(
        seats.customer,
        lambda: change_quantity(seats, 8, when="now", author=by_anna(at(6, 16))).effective_on,
        now=at(6, 16),
    )
    assert effect.difference == 15 + 30  # half of June for three, and July's 80.00 in place of 50.00
    change_quantity(seats, 8, when="now", author=by_anna(at(6, 16)))
    close(6, at(7, 1))
    assert printed() == [[("Base", "50.00")], [("Base: seats changed", "15.00"), ("Base", "80.00")]]


def test_seats_of_a_fee_on_its_own_invoice_are_explained_by_their_days() -> None:
    seats = make_subscription(
        make_customer(), make_plan(fee("10.00", "in_arrears", per_seat=True)), start_on=JUNE, quantity=5
    )
    change_quantity(seats, 8, when=date(2026, 6, 16), author=by_anna(at(6, 3)))
    close(6, at(7, 1))
    line = InvoiceLine.objects.get()
    assert (line.description, line.amount) == ("Base", 65)
    assert [(step["label"], step["amount"]) for step in line.working] == [
        ("5 seats, 15 of 30 days", "25.00"),
        ("8 seats, 15 of 30 days", "40.00"),
    ]


def test_ten_paused_days_owe_no_fee_and_their_usage_is_charged() -> None:
    small, _ = two_plans()
    close(5, at(6, 1))
    pause(small, when=date(2026, 6, 11), author=by_anna(at(6, 10)))
    used("paused", at(6, 15))
    resume(small, when=date(2026, 6, 21), author=by_anna(at(6, 20)))
    close(6, at(7, 1))
    # 100.00 x 20 / 30 = 66.67, of 100.00 that were paid.
    assert printed()[1:] == [
        [("Base: 10 of 30 days paused", "-33.33"), ("Base", "100.00"), ("Tickets Resolved", "2.00")]
    ]


def test_a_pause_over_whole_periods_prints_no_fee_until_it_is_over() -> None:
    small, _ = two_plans()
    close(5, at(6, 1))
    pause(small, when="period_end", until=date(2026, 8, 16), author=by_anna(at(6, 10)))
    for month in (6, 7, 8):
        close(month, at(month + 1, 1))
    assert printed()[1:] == [
        [("Tickets Resolved", "0.00")],
        [("Tickets Resolved", "0.00")],
        # August from the 16th on: 16 of 31 days, 51.61; then September.
        [("Base (16 of 31 days)", "51.61"), ("Base", "100.00"), ("Tickets Resolved", "0.00")],
    ]


def test_a_trial_of_14_days_is_free_of_fees_and_is_charged_from_the_day_it_ends() -> None:
    make_meter()
    plan = make_plan(fee("300.00"), TICKETS)
    make_subscription(make_customer(), plan, start_on=JUNE, trial_days=14, trial_usage_free=True)
    close(5, at(6, 10))
    assert not Invoice.objects.exists()
    used("in the trial", at(6, 14, 23))
    used("after it", at(6, 15, 0))
    close(5, at(6, 15))
    close(6, at(7, 1))
    # 16 of June's 30 days: 160.00.
    assert printed() == [
        [("Base (16 of 30 days)", "160.00")],
        [("Base", "300.00"), ("Tickets Resolved", "2.00")],
    ]
    assert MeterCoverage.objects.get().during.lower == date(2026, 6, 15)


def test_anniversary_periods_count_from_the_end_of_the_trial() -> None:
    make_meter()
    plan = make_plan(fee("300.00", "in_advance"), TICKETS)
    make_subscription(make_customer(), plan, start_on=JUNE, anchor="anniversary", trial_days=14)
    used("in the trial", at(6, 14))
    close(6, at(7, 1))
    close(7, at(8, 1))
    assert printed() == [[("Tickets Resolved", "2.00")], [("Base", "300.00"), ("Tickets Resolved", "0.00")]]
    assert list(Invoice.objects.order_by("period_start").values_list("period_start", "period_end")) == [
        (date(2026, 6, 1), date(2026, 6, 15)),
        (date(2026, 6, 15), date(2026, 7, 15)),
    ]


def test_cancelled_now_gives_the_rest_back_and_reactivated_remembers_the_anchor() -> None:
    small, _ = two_plans()
    close(5, at(6, 1))
    cancel(small, when="now", author=by_anna(at(6, 10)))
    small.refresh_from_db()
    assert small.end_on == date(2026, 6, 11)
    again = reactivate(small, author=by_anna(at(6, 21)))
    assert (again.start_on, again.end_on, again.moved_from) == (date(2026, 6, 21), None, small)
    close(5, at(6, 22))
    close(6, at(7, 1))
    # 10 of 30 days used of what was paid; then 10 of 30 days for 21 to 30 June.
    assert printed() == [
        [("Base", "100.00")],
        [("Base (10 of 30 days)", "33.33")],
        [("Base: 20 of 30 days not used", "-66.67"), ("Tickets Resolved", "0.00")],
        [("Base", "100.00"), ("Tickets Resolved", "0.00")],
    ]


def test_reactivated_in_a_later_period_it_is_a_new_subscription() -> None:
    plan = make_plan(fee("100.00", "in_arrears"), {"kind": "one_time", "label": "Set-up", "amount": "5.00"})
    first = make_subscription(make_customer(), plan, start_on=date(2026, 6, 5), anchor="anniversary")
    cancel(first, when=date(2026, 7, 5), author=by_anna(at(6, 10)))
    again = reactivate(first, when=date(2026, 8, 20), author=by_anna(at(8, 20)))
    assert (again.moved_from, again.anchored_on, again.quantity) == (None, None, 1)


def test_a_planned_cancellation_is_taken_back_until_it_has_happened_on_an_invoice() -> None:
    small, _ = two_plans()
    change = cancel(small, when="period_end", author=by_anna(at(6, 10)))
    small.refresh_from_db()
    assert small.end_on == date(2026, 7, 1)
    undo(change, author=by_anna(at(6, 11)))
    small.refresh_from_db()
    assert small.end_on is None
    change = cancel(small, when=date(2026, 6, 20), author=by_anna(at(6, 12)))
    close(6, at(7, 1))
    with pytest.raises(ChangeRefused, match="ends before 2026-06-20 already"):
        cancel(small, when="now", author=by_anna(at(7, 2)))
    # The invoice of June is drawn up to the 20th; the rest of June could have none any more.
    assert "Reactivate it instead" in undo_problem(change)
    with pytest.raises(ChangeRefused, match="Reactivate it instead"):
        undo(change, author=by_anna(at(7, 2)))
    with pytest.raises(InvalidDates, match="Reactivate it"):
        end_subscription(small, end_on=date(2026, 8, 1))
    assert printed() == [[("Base (19 of 30 days)", "63.33"), ("Tickets Resolved", "0.00")]]


def test_a_fee_of_a_year_paid_at_once_is_given_back_by_days_when_the_plan_ends() -> None:
    make_meter()
    plan = make_plan(fee("365.00", "in_advance"), TICKETS, billing_period="yearly", usage_period="monthly")
    yearly = make_subscription(make_customer(), plan, start_on=date(2026, 6, 1), anchor="anniversary")
    close(6, at(7, 1))
    cancel(yearly, when=date(2026, 7, 11), author=by_anna(at(7, 10)))
    close(7, at(8, 1))
    # 40 of 365 days are used: 325.00 come back.
    assert printed() == [
        [("Base", "365.00"), ("Tickets Resolved", "0.00")],
        [("Base: 325 of 365 days not used", "-325.00"), ("Tickets Resolved", "0.00")],
    ]


def test_days_that_are_invoiced_are_never_changed() -> None:
    small, large = two_plans()
    close(6, at(7, 1))
    before = list(Invoice.objects.values()), list(InvoiceLine.objects.values())
    for change in (
        lambda day: change_quantity(small, 3, when=day, author=by_anna(at(7, 2))),
        lambda day: pause(small, when=day, author=by_anna(at(7, 2))),
        lambda day: cancel(small, when=day, author=by_anna(at(7, 2))),
        lambda day: change_plan(small, to=large, when=day, author=by_anna(at(7, 2))),
    ):
        with pytest.raises(InvalidDates, match="invoiced already"):
            change(date(2026, 6, 20))
    with pytest.raises(InvalidDates, match="The fee from 2026-07-01 on is invoiced already"):
        cancel(small, when=date(2026, 7, 1), author=by_anna(at(7, 2)))
    assert SubscriptionChange.objects.count() == 0
    change_plan(small, to=large, when=date(2026, 7, 1), author=by_anna(at(7, 1)))
    close(6, at(7, 2))
    kept = Invoice.objects.exclude(subscription__plan=large)
    assert (list(kept.values()), list(InvoiceLine.objects.filter(invoice__in=kept).values())) == before
    assert printed()[1] == [("Base", "300.00"), ("Base: 31 of 31 days not used", "-100.00")]


def test_what_cannot_be_is_refused_and_writes_nothing() -> None:
    small, large = two_plans()
    pause(small, when=date(2026, 6, 11), author=by_anna(at(6, 10)))
    facts = list(SubscriptionChange.objects.values())
    author = by_anna(at(6, 12))
    with pytest.raises(ChangeRefused, match="1 seats on"):
        change_quantity(small, 1, when="now", author=author)
    with pytest.raises(ChangeRefused, match="paused from 2026-06-11 with no end"):
        pause(small, when="now", author=author)
    with pytest.raises(MoveRefused, match="Resume it first"):
        change_plan(small, to=large, when="now", author=author)
    with pytest.raises(ChangeRefused, match="has not ended"):
        reactivate(small, when="now", author=author)
    with pytest.raises(InvalidDates):
        change_quantity(small, 2, when=date(2026, 5, 31), author=author)
    assert list(SubscriptionChange.objects.values()) == facts


def test_the_minimum_counts_the_fee_of_its_own_days_that_an_earlier_invoice_carries() -> None:
    make_meter()
    plan = make_plan(fee("100.00"), TICKETS, minimum_amount=Decimal(150))
    make_subscription(make_customer(), plan, start_on=JUNE)
    close(5, at(6, 1))
    used("one", at(6, 5))
    close(6, at(7, 1))
    # June: 100.00 paid at its start and 2.00 of usage are 48.00 short of 150.00; July's fee does not count.
    assert printed()[1:] == [[("Base", "100.00"), ("Tickets Resolved", "2.00"), ("Plan minimum", "48.00")]]


def test_the_coming_invoices_are_those_that_follow() -> None:
    small, large = two_plans()
    close(5, at(6, 1))
    change_plan(small, to=large, when="now", author=by_anna(at(6, 16)))
    change_quantity(
        Subscription.objects.get(plan=large), 4, when=date(2026, 6, 20), author=by_anna(at(6, 17))
    )
    coming = outlook(small.customer, now=at(6, 30))
    close(5, at(6, 30))
    close(6, at(7, 1))
    assert [
        [(line.description, f"{line.amount:.2f}") for line in draft.lines] for draft in coming.drafts
    ] == printed()[1:]


def test_31_january_through_a_leap_year_remembers_the_day_and_charges_whole_months() -> None:
    subscription = make_subscription(
        make_customer(),
        make_plan(fee("100.00", "in_advance")),
        start_on=date(2028, 1, 31),
        anchor="anniversary",
    )
    assert subscription.anchored_on is None
    for month in range(2, 8):
        close(month, at(month + 1, 1, year=2028), year=2028)
    invoices = Invoice.objects.order_by("period_start")
    assert [f"{row.period_start:%d %b} - {row.period_end:%d %b}: {row.total:.2f}" for row in invoices] == [
        "31 Jan - 29 Feb: 100.00",
        "29 Feb - 31 Mar: 100.00",
        "31 Mar - 30 Apr: 100.00",
        "30 Apr - 31 May: 100.00",
        "31 May - 30 Jun: 100.00",
        "30 Jun - 31 Jul: 100.00",
    ]


@pytest.mark.parametrize(
    ("zone", "months"),
    [("Pacific/Auckland", {4: 30, 9: 30}), ("America/Los_Angeles", {3: 31, 10: 31, 11: 30})],
)
def test_clock_changes_move_no_day_and_no_event(zone: str, months: dict[int, int]) -> None:
    """Auckland changes on 5 April and 27 September 2026, Los Angeles on 8 March and 1 November."""
    make_meter()
    plan = make_plan(fee("300.00", "in_arrears"), TICKETS)
    small = make_subscription(make_customer(timezone=zone), plan, start_on=date(2026, 2, 1))
    for month, days in months.items():
        change = date(2026, month, 16)
        pause(small, when=change, until=change + timedelta(days=1), author=by_anna(at(2, 2)))
        start, end = Month(2026, month).first, Month(2026, month).following
        # The last instant of the month and the first of the next, by the local clock.
        used(f"first {month}", start_of_day(start, zone))
        used(f"last {month}", start_of_day(end, zone) - timedelta(seconds=1))
        used(f"next {month}", start_of_day(end, zone))
        close(month, at(month + 1, 3))
        lines = Invoice.objects.get(period_start=start).lines
        # One paused day of the month's real days; a day with a clock change is one day.
        due = round(30000 * (days - 1) / days)
        assert lines.get(kind="subscription").description == f"Base ({days - 1} of {days} days)"
        assert int(lines.get(kind="subscription").amount * 100) == due
        expected = 3 if month - 1 in months else 2  # the month before sent its first instant here
        assert lines.get(kind="usage").quantity == expected
