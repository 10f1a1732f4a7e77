"""Late usage of closed periods: what it comes to, and that a decision settles it exactly once."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.adjusting import compute_adjustments
from billing.closing import close_period
from billing.deciding import bill_late_usage, find_late_usage, waive_late_usage
from billing.errors import EffectChanged, ReasonMissing
from billing.models import AdjustmentNumber, AdjustmentWaiver, ChangedLine, InvoiceLine
from billing.months import Month
from metering.correcting import void_event
from metering.models import Event
from tests.at_once import at_once
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import make_staff

pytestmark = pytest.mark.django_db(transaction=True)
OCTOBER, NOVEMBER, DECEMBER = Month(2026, 10), Month(2026, 11), Month(2026, 12)


@pytest.fixture(autouse=True)
def _october() -> None:
    """110 tickets billed; then 5 late ones and one that is void: 4 more, $8.00."""
    make_subscription()
    send_tickets(110)
    close(OCTOBER)
    send_tickets(5, first=110)
    void_event(Event.objects.get(key="evt-0"), reason="reopened", by="clerk", now=NOW)


def close(month: Month, **options: Any) -> None:
    now = datetime(month.following.year, month.following.month, 5, tzinfo=UTC)
    close_period(month, now=now, **({"grace_days": 0} | options))


def adjustments(month: Month) -> list[tuple[Decimal, Decimal]]:
    lines = InvoiceLine.objects.filter(kind="adjustment", invoice__period_start=month.first)
    return list(lines.values_list("quantity", "amount"))


def found() -> ChangedLine:
    find_late_usage(now=NOW)
    return ChangedLine.objects.get()


def shown(change: ChangedLine) -> dict[int, Decimal]:
    assert change.effect_amount is not None
    return {change.pk: change.effect_amount}


def test_late_usage_is_found_with_its_effect_and_computed_once() -> None:
    change = found()
    assert (change.effect_quantity, change.effect_amount) == (4, Decimal(8))
    assert find_late_usage(now=NOW) == 0
    send_tickets(1, first=500)
    assert (found().effect_amount, find_late_usage(now=NOW)) == (Decimal(10), 0)


def test_what_was_waived_is_never_billed_and_what_comes_later_is() -> None:
    admin = make_staff()
    change = found()
    with pytest.raises(ReasonMissing):
        waive_late_usage(shown(change), reason=" ", by=admin, now=NOW)
    waive_late_usage(shown(change), reason="Agreed.", by=admin, now=NOW)
    waiver = AdjustmentWaiver.objects.get()
    assert (waiver.quantity, waiver.amount, waiver.waived_by) == (4, Decimal(8), admin)
    assert not ChangedLine.objects.exists()
    close(NOVEMBER)
    assert adjustments(NOVEMBER) == []
    send_tickets(1, first=500)
    close(DECEMBER)
    assert adjustments(DECEMBER) == [(Decimal(1), Decimal(2))]


def test_a_waiver_of_another_amount_than_was_looked_at_waives_nothing() -> None:
    before = shown(found())
    send_tickets(1, first=500)
    with pytest.raises(EffectChanged):
        waive_late_usage(before, reason="Agreed.", by=make_staff(), now=NOW)
    assert not AdjustmentWaiver.objects.exists()
    close(NOVEMBER)
    with pytest.raises(EffectChanged):
        waive_late_usage(before, reason="Agreed.", by=make_staff("Billing admin"), now=NOW)
    assert adjustments(NOVEMBER) == [(Decimal(5), Decimal(10))]


def test_a_draft_that_carries_the_difference_loses_it_when_it_is_waived() -> None:
    early = datetime(2026, 12, 1, 6, tzinfo=UTC)
    close_period(NOVEMBER, now=early, grace_days=2)
    assert adjustments(NOVEMBER) == [(Decimal(4), Decimal(8))]
    change = ChangedLine.objects.get()
    find_late_usage(now=NOW)
    change.refresh_from_db()
    assert change.effect_amount == Decimal(8)
    waive_late_usage(shown(change), reason="Agreed.", by=make_staff(), now=NOW)
    close(NOVEMBER)
    assert adjustments(NOVEMBER) == []


def test_large_differences_wait_for_a_decision_and_small_ones_do_not(settings: Any) -> None:
    settings.ADJUSTMENT_REVIEW_FROM = 8
    change = found()
    close(NOVEMBER)
    assert (adjustments(NOVEMBER), ChangedLine.objects.count()) == ([], 1)
    assert bill_late_usage([change.pk], by=make_staff(), now=NOW) == 1
    close(DECEMBER)
    assert adjustments(DECEMBER) == [(Decimal(4), Decimal(8))]
    assert not ChangedLine.objects.exists()


def test_a_decision_to_bill_is_for_what_was_known_then(settings: Any) -> None:
    settings.ADJUSTMENT_REVIEW_FROM = 8
    bill_late_usage([found().pk], by=make_staff(), now=NOW)
    send_tickets(50, first=500)
    close(NOVEMBER)
    assert adjustments(NOVEMBER) == []
    settings.ADJUSTMENT_REVIEW_FROM = 200
    close(DECEMBER)
    assert adjustments(DECEMBER) == [(Decimal(54), Decimal(108))]


def test_the_database_settles_a_number_once_by_invoice_or_waiver() -> None:
    change = found()
    [effect] = compute_adjustments([change.line_id], watermark=change.position)
    close(NOVEMBER)
    assert AdjustmentNumber.objects.get().n == 1
    with pytest.raises(IntegrityError, match="adjustment_settled_once"), transaction.atomic():
        AdjustmentWaiver.objects.create(
            line=effect.line, adjustment_n=1, position=1, quantity=4, amount=8, reason="x", waived_by=make_staff(),
            waived_at=NOW,
        )  # fmt: skip


def test_a_waiver_and_a_close_at_once_settle_the_difference_once() -> None:
    admin = make_staff()
    for n in range(6):
        make_subscription(make_customer(f"c{n}"))
    close(OCTOBER)

    def waive(change: ChangedLine) -> None:
        with suppress(EffectChanged):  # it was billed before
            waive_late_usage(shown(change), reason="Agreed.", by=admin, now=NOW)

    for month in (OCTOBER, NOVEMBER, DECEMBER):
        send_tickets(3, first=1_000 + 10 * month.month)
        change = found()
        at_once(partial(waive, change), partial(close, Month.of(month.following)))
    line = InvoiceLine.objects.get(invoice__customer__code="acme", kind="usage", period_start=OCTOBER.first)
    settled = sum(InvoiceLine.objects.filter(adjusts=line).values_list("quantity", flat=True))
    settled += sum(AdjustmentWaiver.objects.filter(line=line).values_list("quantity", flat=True))
    # 5 late and 1 void, then 3 late ones in each of three rounds.
    assert settled == 4 + 9


def test_effects_of_many_lines_are_computed_with_a_fixed_number_of_queries() -> None:
    for n in range(20):
        make_subscription(make_customer(f"c{n}"))
    close(OCTOBER)
    for n in range(20):
        send_tickets(1, first=2_000 + n, customer=f"c{n}")
    with CaptureQueriesContext(connection) as captured:
        assert find_late_usage(now=NOW) == 21
    assert len(captured) < 30
    assert set(ChangedLine.objects.values_list("effect_amount", flat=True)) == {Decimal(8), Decimal(2)}
