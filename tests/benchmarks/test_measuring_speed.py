"""A month measured for every customer and meter, against the bare grouped SQL; daily series of one customer."""

from __future__ import annotations

from decimal import Decimal

from django.db import connection

from customers.models import Customer
from metering.measuring import measure, measure_series
from metering.models import Meter
from metering.periods import Interval
from metering.spans import Span
from tests.benchmarks.dataset import END, EVENTS, START
from tests.benchmarks.report import milliseconds, ratio, seconds, write_section

COMMAND = "make bench ARGS=tests/benchmarks/test_measuring_speed.py"
BARE = """
SELECT customer_id, meter_id, count(*), sum(value) FROM metering_event
WHERE occurred_at >= %s AND occurred_at < %s GROUP BY customer_id, meter_id
"""


def bare() -> dict[tuple[int, int], tuple[int, Decimal]]:
    with connection.cursor() as cursor:
        cursor.execute(BARE, [START, END])
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor.fetchall()}


def measured() -> dict[tuple[int, int], Decimal]:
    spans = [
        Span(pk, pk, START, END, zone="UTC")
        for pk in Customer.objects.order_by("id").values_list("id", flat=True)
    ]
    found = {}
    for meter in Meter.objects.all():
        for slot, each in measure(meter, spans).items():
            found[slot, meter.pk] = each.quantity
    return found


def test_a_month_for_every_customer_and_meter(month: None) -> None:
    quantities, plain = measured(), bare()
    sums = set(Meter.objects.filter(type="sum").values_list("id", flat=True))
    assert quantities == {key: row[1] if key[1] in sums else Decimal(row[0]) for key, row in plain.items()}
    floor, ours = seconds(bare, times=3), seconds(measured, times=3)
    customer = Customer.objects.order_by("id")[500]
    meter = Meter.objects.get(code="tickets_resolved")
    daily = seconds(
        lambda: measure_series(
            meter,
            start=START,
            end=END,
            interval=Interval.DAY,
            zone="America/New_York",
            customer_id=customer.pk,
        ),
        times=20,
    )
    write_section(
        "Measuring",
        command=COMMAND,
        columns=["what", "median", "ratio"],
        rows=[
            [f"bare grouped SQL over one month of {EVENTS:,} events", milliseconds(floor), "1"],
            ["`measure()`: 1,000 customers, 5 meters", milliseconds(ours), ratio(ours, floor)],
            ["`measure_series()`: one customer and meter by local day", milliseconds(daily), ""],
        ],
    )
