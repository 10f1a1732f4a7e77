"""Credit notes of accepted outcomes: exactly the difference, whatever else the invoice has. Figures worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.closing import close_period
from billing.deciding import find_late_usage
from billing.dispute_credits import preview_credit
from billing.dispute_effects import preview_effect
from billing.errors import DisputeRefused
from billing.line_events import events_of_line
from billing.models import AdjustmentWaiver, ChangedLine, CreditNote, Invoice
from billing.months import Month
from billing.reconciling import reconcile
from metering import catalog
from metering.models import Event
from tests.billing.money import give, tax
from tests.factories import TICKETS, event, make_customer, make_meter, make_plan, make_subscription, send
from tests.stories.test_disputes import (
    DECIDED,
    GRADUATED,
    ISSUED,
    all_true,
    billed,
    december,
    decide,
    dispute,
    lines,
)

pytestmark = pytest.mark.django_db


def printed(note: CreditNote) -> list[tuple[int, Decimal]]:
    return [(line.invoice_line.n, line.amount) for line in note.lines.select_related("invoice_line")]


def net_of_october() -> Decimal:
    """What October came to before tax: its lines, what adjusted them, less what was credited."""
    invoices = [line for each in Invoice.objects.all() for line in each.lines.all()]
    october = [line for line in invoices if str(line.period_start) == "2026-10-01"]
    credited = sum((note.subtotal - note.discount for note in CreditNote.objects.all()), Decimal(0))
    return sum((line.amount - line.discount for line in october), Decimal(0)) - credited


def test_late_usage_of_the_line_stays_for_the_next_invoice() -> None:
    """10 x $2.00; one came late, one is given back: $2.00 now, and $2.00 more on the next invoice."""
    invoice = billed()
    send(event("evt-late", subject="ticket-late"))
    find_late_usage(now=DECIDED)  # the worker has seen it
    assert decide(dispute(invoice, 1), 1).amount == -2
    assert CreditNote.objects.get().total == 2
    assert ChangedLine.objects.get().effect_amount == 2
    # Nothing has to take back what the credit note gave back; the late one is still to be billed.
    month = reconcile(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert (month.difference, month.taken_back, month.standing("not_yet_billed")) == (0, 0, 1)
    send(event("evt-new", subject="ticket-new", occurred_at="2026-11-10T10:00:00Z"))
    november = december()
    assert lines(november) == [("usage", 1, 2), ("adjustment", 1, Decimal("2.00"))]
    # The late ticket caused it; what the credit note gave back is on no other paper.
    assert [each.key for each in events_of_line(november.lines.get(kind="adjustment"))] == ["evt-late"]
    assert net_of_october() == 20
    assert not ChangedLine.objects.exists()
    all_true()


def test_late_usage_and_what_is_given_back_come_to_the_tiers_of_both() -> None:
    """10 tickets: 8 x $2.00 + 2 x $1.00 = $18.00. One late makes $19.00, without three 8 x $2.00 = $16.00: $3.00 back.

    The next invoice has the one late ticket, and $1.00: in all $18.00 - $3.00 + $1.00 = $16.00.
    """
    invoice = billed(rate=GRADUATED)
    send(event("evt-late", subject="ticket-late"))
    assert decide(dispute(invoice, 1, 2, 3), 1, 2, 3).amount == -3
    assert CreditNote.objects.get().total == 3
    assert lines(december()) == [("usage", 0, 0), ("adjustment", 1, Decimal("1.00"))]
    assert net_of_october() == 16
    all_true()
    month = reconcile(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert (month.difference, month.taken_back) == (0, 0)


def test_what_reversed_itself_meanwhile_is_given_back_once_by_the_next_invoice() -> None:
    """Two disputed, one of them reversed by an event before the decision: the credit note is for the other one."""
    invoice = billed()
    found = dispute(invoice, 1, 2)
    send(event("back", occurred_at="2026-11-05T12:00:00Z", reverses={"key": "evt-2"}))
    assert decide(found, 1, 2).amount == -2
    assert CreditNote.objects.get().total == 2
    assert lines(december()) == [("usage", 0, 0), ("adjustment", -1, Decimal("-2.00"))]
    assert net_of_october() == 16
    all_true()


@pytest.mark.parametrize(
    ("plan", "total", "effect", "note"),
    [
        # Minimum $18.00: $20.00, without three $14.00 and $4.00 of the minimum. $2.00 of the usage go back.
        ({"minimum_amount": "18"}, "20.00", "-2.00", [(1, "2.00")]),
        # Included $15.00: $20.00 - $15.00 = $5.00; without three $14.00 - $14.00 = 0. $6.00 back, $1.00 less included.
        ({"included_spend": "15"}, "5.00", "-5.00", [(1, "6.00"), (2, "-1.00")]),
        # 10 % on top: $22.00, without three $14.00 + $1.40.
        ({"service_fee_percent": "10"}, "22.00", "-6.60", [(1, "6.00"), (2, "0.60")]),
        # Included $15.00 and 10 %: $5.00 + $0.50; without three nothing.
        (
            {"included_spend": "15", "service_fee_percent": "10"},
            "5.50",
            "-5.50",
            [(1, "6.00"), (2, "-1.00"), (3, "0.50")],
        ),
        # Minimum $18.00 and 10 %: $22.00; without three $18.00 + $1.80: $2.00 of the usage and $0.20 of the fee.
        (
            {"minimum_amount": "18", "service_fee_percent": "10"},
            "22.00",
            "-2.20",
            [(1, "2.00"), (2, "0.20")],
        ),
    ],
)
def test_the_terms_of_the_plan_are_part_of_what_is_given_back(
    plan: dict[str, str], total: str, effect: str, note: list[tuple[int, str]]
) -> None:
    invoice = billed(**{name: Decimal(value) for name, value in plan.items()})
    assert invoice.total == Decimal(total)
    found = dispute(invoice, 1, 2, 3)
    offered = preview_credit(found, preview_effect(list(found.outcomes.all()), now=DECIDED))
    assert offered is not None
    step = decide(found, 1, 2, 3)
    assert step.amount == Decimal(effect)
    assert printed(CreditNote.objects.get()) == [(n, Decimal(amount)) for n, amount in note]
    assert CreditNote.objects.get().total == offered.total == -Decimal(effect)
    assert not AdjustmentWaiver.objects.filter(adjusts_plan=True).exclude(quantity=0).exists()
    november = december()
    assert not november.lines.filter(kind="adjustment").exists()
    assert net_of_october() == Decimal(total) + Decimal(effect)
    all_true()


def test_a_minimum_that_takes_the_place_of_all_leaves_nothing_to_credit_and_says_so() -> None:
    """10 x $2.00 = $20.00 and a minimum of $20.00: without one ticket $18.00 and $2.00 more of the minimum."""
    invoice = billed(minimum_amount=Decimal(20))
    found = dispute(invoice, 1)
    with pytest.raises(DisputeRefused, match="comes to the same, because the plan asks for it otherwise"):
        decide(found, 1)
    assert not CreditNote.objects.exists()
    assert not AdjustmentWaiver.objects.exists()
    assert not Event.objects.filter(signal="reverses").exists()
    assert decide(found, 1, remedy="adjustment").amount == 0
    assert [(kind, amount) for kind, _, amount in lines(december()) if kind == "adjustment"] == [
        ("adjustment", -2),
        ("adjustment", 2),
    ]
    all_true()


def test_what_the_plan_asks_for_under_another_tax_cannot_be_kept_back() -> None:
    """Minimum $18.00, taxed as usual, and tickets that are exempt: $2.00 cannot be taken off the one for the other."""
    invoice = billed(rate=TICKETS | {"tax_category": "exempt"}, minimum_amount=Decimal(18))
    found = dispute(invoice, 1, 2, 3)
    with pytest.raises(DisputeRefused, match=r"Plan minimum comes to \$4\.00 more and is taxed otherwise"):
        decide(found, 1, 2, 3)
    assert decide(found, 1, 2, 3, remedy="adjustment").amount == -2
    december()
    assert net_of_october() == 18
    all_true()


def test_discount_and_tax_go_back_with_the_line() -> None:
    """$20.00 less 10 % is $18.00, with 20 % tax $21.60. Without three: $12.60 and $15.12. $6.48 go back."""
    tax("FR", "20")
    make_meter(once_per_subject="ever")
    acme = make_customer(country="FR")
    make_subscription(acme, make_plan())
    give(acme, "10%")
    send(*(event(f"evt-{n}", subject=f"ticket-{n}") for n in range(10)))
    close_period(Month(2026, 10), now=ISSUED, grace_days=0)
    invoice = Invoice.objects.get()
    assert invoice.total == Decimal("21.60")
    assert decide(dispute(invoice, 1, 2, 3), 1, 2, 3).amount == Decimal("-5.40")
    note = CreditNote.objects.get()
    sums = (note.subtotal, note.discount, note.tax, note.total)
    assert sums == (6, Decimal("0.60"), Decimal("1.08"), Decimal("6.48"))
    december()
    assert net_of_october() == Decimal("12.60")
    all_true()


def test_what_was_credited_before_bounds_a_credit_note_and_the_words_say_so() -> None:
    from billing.correcting import issue_credit_note

    invoice = billed(3)
    found = dispute(invoice, 0, 1)
    issue_credit_note(invoice, reason="goodwill", lines={1: Decimal(3)}, by="clara", now=DECIDED)
    with pytest.raises(DisputeRefused, match=r"\$3\.00 of line 1 is left to credit, and it comes to \$4\.00"):
        decide(found, 0, 1)
    assert not Event.objects.filter(signal="reverses").exists()
    assert decide(found, 0).amount == -2  # the other is declined
    december()
    assert net_of_october() == 1
    all_true()


def test_a_decision_passes_the_review_of_large_adjustments(settings: Any) -> None:
    """From $3.00 on adjustments wait for somebody who decides: who accepted the dispute has decided."""
    settings.ADJUSTMENT_REVIEW_FROM = Decimal(3)
    invoice = billed()
    decide(dispute(invoice, 1, 2), 1, 2, remedy="adjustment")
    change = ChangedLine.objects.get()
    assert (change.effect_amount, change.bill_up_to) == (-4, change.position)
    assert lines(december()) == [("usage", 0, 0), ("adjustment", -2, Decimal("-4.00"))]
    all_true()


def test_a_decision_lets_no_other_late_usage_pass_the_review(settings: Any) -> None:
    """Five late tickets, $10.00, wait for somebody who decides; taking one off by an adjustment is not that."""
    settings.ADJUSTMENT_REVIEW_FROM = Decimal(3)
    invoice = billed()
    send(*(event(f"late-{n}", subject=f"late-{n}") for n in range(5)))
    find_late_usage(now=DECIDED)
    assert decide(dispute(invoice, 1), 1, remedy="adjustment").amount == -2
    assert ChangedLine.objects.get().bill_up_to is None
    assert lines(december()) == [("usage", 0, 0)]


def graduated(quantity: int) -> Decimal:
    return Decimal(2 * min(quantity, 8) + max(quantity - 8, 0))


def with_terms(usage: Decimal, plan: dict[str, Decimal]) -> Decimal:
    """Included spend first, then the minimum, then 10 % on what is left, by hand."""
    usage -= min(usage, plan.get("included_spend", Decimal(0)))
    usage = max(usage, plan.get("minimum_amount", Decimal(0)))
    return usage + round(usage * plan.get("service_fee_percent", Decimal(0)) / 100, 2)


PLANS: list[dict[str, Decimal]] = [
    {},
    {"minimum_amount": Decimal(16)},
    {"included_spend": Decimal(13)},
    {"service_fee_percent": Decimal(10)},
    {"minimum_amount": Decimal(15), "service_fee_percent": Decimal(10)},
]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    billed_count=st.integers(1, 12),
    late=st.integers(0, 4),
    taken=st.integers(1, 6),
    later=st.integers(0, 2),
    plan=st.sampled_from(PLANS),
)
def test_in_the_end_october_comes_to_what_it_would_have_without_them(
    billed_count: int, late: int, taken: int, later: int, plan: dict[str, Decimal]
) -> None:
    """Whatever waits, and whichever way is open: invoices less credit notes are the rate of what stands."""
    before = transaction.savepoint()
    try:
        _one_october(billed_count, late, min(taken, billed_count), later, plan)
    finally:
        transaction.savepoint_rollback(before)
        catalog.forget()


def _one_october(count: int, late: int, taken: int, later: int, plan: dict[str, Decimal]) -> None:
    invoice = billed(count, rate=GRADUATED, **plan)
    send(*(event(f"late-{n}", subject=f"late-{n}") for n in range(late)))
    found = dispute(invoice, *range(taken))
    try:
        decide(found, *range(taken))
    except DisputeRefused:
        decide(found, *range(taken), remedy="adjustment")
    send(*(event(f"later-{n}", subject=f"later-{n}") for n in range(later)))
    december()
    assert net_of_october() == with_terms(graduated(count + late + later - taken), plan)
    all_true()
