"""What the database holds about the sums of an invoice, and what may still change once it is issued."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from billing.closing import Month, close_period
from billing.models import Invoice
from tests.factories import NOW, make_subscription, send_tickets

pytestmark = pytest.mark.django_db


def draft() -> Invoice:
    """A draft over 3 tickets at $2.00: $6.00."""
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=30)
    return Invoice.objects.get()


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"discount": Decimal(1)}, "invoice_total_is_sum_of_parts"),
        ({"discount": Decimal(-1), "total": Decimal(7)}, "invoice_reductions_in_range"),
        ({"credits_applied": Decimal("6.01")}, "invoice_reductions_in_range"),
        ({"subscription": None}, "invoice_subscription_unless_one_off"),
        ({"kind": "one_off"}, "invoice_subscription_unless_one_off"),
    ],
)
def test_sums_that_do_not_add_up_are_refused(fields: dict[str, object], constraint: str) -> None:
    invoice = draft()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(**fields)
    assert Invoice.objects.get().total == 6


def test_discount_and_tax_make_the_total_and_credits_the_amount_due() -> None:
    invoice = draft()
    Invoice.objects.update(discount=Decimal("1.00"), tax=Decimal("0.95"), total=Decimal("5.95"))
    Invoice.objects.update(credits_applied=Decimal("2.00"))
    invoice.refresh_from_db()
    assert invoice.amount_due == Decimal("3.95")


def test_an_issued_invoice_takes_nothing_but_what_settles_it() -> None:
    make_subscription()
    send_tickets(3)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    for fields in (
        {"discount": 1, "total": 5},
        {"credits_applied": 1},
        {"tax_included": 1},
        {"due_on": None},
    ):
        with pytest.raises(DatabaseError, match="is issued and cannot be changed"), transaction.atomic():
            Invoice.objects.update(**fields)
