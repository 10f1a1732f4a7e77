"""Customers that could not be billed: parked with the reason, cleared when a later close bills them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection

from billing.close_reports import Failure
from billing.models import ParkedCustomer
from billing.months import Month
from customers.lookups import Ids

PARK = """
INSERT INTO billing_parkedcustomer (customer_id, month, code, reason, parked_at, tried_at, tries)
SELECT parked.customer_id, %s, parked.code, parked.reason, %s, %s, 1
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS parked (customer_id, code, reason)
ON CONFLICT (customer_id, month) WHERE cleared_at IS NULL DO UPDATE
SET code = excluded.code, reason = excluded.reason, tried_at = excluded.tried_at,
    tries = billing_parkedcustomer.tries + 1
"""


def park(failures: Sequence[Failure], month: Month, *, now: datetime) -> None:
    """Remember why customers were not billed; one that is parked already gets the new reason."""
    if not failures:
        return
    by_customer = {failure.customer.pk: failure for failure in failures}
    with connection.cursor() as cursor:
        cursor.execute(
            PARK,
            [
                month.first,
                now,
                now,
                list(by_customer),
                [failure.code for failure in by_customer.values()],
                [failure.message for failure in by_customer.values()],
            ],
        )


def clear(customer_ids: Collection[int], month: Month, *, now: datetime) -> int:
    """Note that customers were billed; give how many of them had been parked."""
    if not customer_ids:
        return 0
    parked = ParkedCustomer.objects.filter(
        month=month.first, customer__among=Ids(customer_ids), cleared_at=None
    )
    return parked.update(cleared_at=now)
