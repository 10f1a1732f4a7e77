"""Several closers at once, and random families: one consolidated invoice each, nothing double or missing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import closing
from billing.models import Invoice
from billing.verification import invoices_to_verify, verify
from customers.models import BillTo
from metering import catalog
from tests.at_once import at_once
from tests.billing.money import tax
from tests.factories import TICKETS, make_customer, make_meter, make_plan, make_subscription
from tests.stories.test_families import assert_everything_adds_up, close, tickets

FAMILIES = 4


@pytest.mark.django_db(transaction=True)
def test_closers_at_once_make_one_consolidated_invoice_for_each_family(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closing, "CHUNK", 2)  # smaller than a family, which is in one chunk all the same
    make_meter()
    plan = make_plan(TICKETS)
    for n in range(FAMILIES):
        parent = make_customer(f"p{n}")
        make_subscription(parent, plan)
        for child in range(3):
            make_subscription(make_customer(f"p{n}c{child}", parent=parent, bill_to=BillTo.PARENT), plan)
        tickets(f"p{n}c1", n + 1)
    at_once(*[close] * 4)
    wholes = Invoice.objects.filter(kind="consolidated").order_by("customer__code")
    assert [(whole.customer.code, whole.total, whole.parts.count()) for whole in wholes] == [
        (f"p{n}", Decimal(2 * (n + 1)), 4) for n in range(FAMILIES)
    ]
    assert sorted(whole.sequence or 0 for whole in wholes) == list(range(1, FAMILIES + 1))
    assert Invoice.objects.count() == FAMILIES * 5
    assert_everything_adds_up()


@pytest.mark.django_db
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    used=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    paid_for=st.lists(st.booleans(), min_size=4, max_size=4),
    percent=st.sampled_from(["0", "7", "19", "8.875"]),
)
def test_a_family_pays_what_its_customers_would_pay_taxed_on_the_whole(
    used: list[int], paid_for: list[bool], percent: str
) -> None:
    """The children's own amounts add up to the whole, and its tax is on their sum, whoever else pays itself."""
    before = transaction.savepoint()
    try:
        _one_family(used, paid_for, percent)
    finally:
        transaction.savepoint_rollback(before)
        catalog.forget()


def _one_family(used: list[int], paid_for: list[bool], percent: str) -> None:
    make_meter()
    plan = make_plan(TICKETS | {"unit_amount": "0.33"})
    if percent != "0":
        tax("DE", percent)
    parent = make_customer("top", country="DE")
    expected = Decimal(0)
    for n, count in enumerate(used):
        together = paid_for[n]
        child = make_customer(
            f"child{n}", parent=parent, bill_to=BillTo.PARENT if together else BillTo.ITSELF
        )
        make_subscription(child, plan)
        tickets(child.code, count)
        expected += Decimal("0.33") * count * together
    close()
    whole = Invoice.objects.filter(kind="consolidated").first()
    if not any(paid_for[: len(used)]):
        assert whole is None
        return
    assert whole is not None
    exact = expected * Decimal(percent) / 100
    assert whole.subtotal == expected == sum(part.subtotal for part in whole.parts.all())
    assert abs(whole.tax - exact) <= Decimal("0.005")
    assert whole.total == whole.subtotal + whole.tax
    assert verify(invoices_to_verify()).differences == []
