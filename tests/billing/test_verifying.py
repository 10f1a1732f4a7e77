from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from billing.closing import Month, close_period
from billing.models import Invoice
from billing.verifying import verify_invoice
from metering.models import Event
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

pytestmark = pytest.mark.django_db


def close() -> None:
    close_period(Month(2026, 10), now=NOW, grace_days=0)


def verify() -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("verify_invoices", "--month", "2026-10", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_an_invoice_computed_again_is_equal_also_after_late_events() -> None:
    make_meter("peak", type="max")
    rate = {"kind": "usage", "meter": "peak", "model": "per_unit", "unit_amount": "3"}
    make_subscription()
    make_subscription(make_customer("globex"), make_plan(rate, code="peak"))
    send_tickets(120)
    send(event("p", meter="peak", customer="globex", value="7.5"))
    close()
    send_tickets(5, first=120)
    assert verify() == ("2 invoices computed again, 0 differ.\n", "")


def test_an_event_that_vanished_is_found_by_invoice_and_line() -> None:
    make_subscription()
    send_tickets(3)
    close()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
    Event.objects.filter(key="evt-0").delete()
    found = [str(each) for each in verify_invoice(Invoice.objects.get())]
    assert found == [
        "INV-2026-000001, line 1: the quantity is 3 on the invoice and 2 computed again",
        "INV-2026-000001, line 1: the amount is 6.0000 on the invoice and 4.00 computed again",
    ]
    with pytest.raises(SystemExit):
        verify()
