import threading
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import connection, transaction

from metering.behind import events_behind
from metering.correcting import void_event
from metering.ledger import place_batches
from metering.measuring import measure
from metering.models import Event, EventBatch, Meter
from metering.releasing import release_unmatched
from metering.spans import Span
from tests.at_once import at_once
from tests.factories import NOW, event, make_customer, make_meter, send, send_tickets

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


def count(meter: Meter, customer_id: int, as_of: int | None) -> int:
    span = Span(0, customer_id, *OCTOBER)
    return int(measure(meter, [span], as_of=as_of)[0].quantity)


@pytest.mark.django_db
def test_positions_follow_the_commits_without_gaps() -> None:
    make_customer()
    make_meter()
    for n in range(3):
        send_tickets(1, first=n)
    assert place_batches() == 3
    assert sorted(EventBatch.objects.values_list("position", flat=True)) == [1, 2, 3]
    assert place_batches() == 3


@pytest.mark.django_db
def test_what_arrives_after_a_watermark_does_not_change_the_measure_as_of_it() -> None:
    customer, meter = make_customer(), make_meter()
    send_tickets(110)
    watermark = place_batches()
    send_tickets(5, first=110)
    assert count(meter, customer.pk, watermark) == 110
    assert count(meter, customer.pk, None) == 115
    assert count(meter, customer.pk, place_batches()) == 115
    behind = events_behind(
        meter_id=meter.pk, customer_id=customer.pk, start=OCTOBER[0], end=OCTOBER[1], as_of=watermark
    )
    assert behind.count() == 110


@pytest.mark.django_db
@pytest.mark.parametrize("instant", ["2026-10-01T00:00:00Z", "2026-10-31T23:59:59.999999Z"])
def test_what_arrives_late_for_the_first_or_the_last_instant_is_late_too(instant: str) -> None:
    customer, meter = make_customer(), make_meter()
    send_tickets(1)
    watermark = place_batches()
    send(event("late", occurred_at=instant))
    assert count(meter, customer.pk, watermark) == 1
    assert count(meter, customer.pk, place_batches()) == 2


@pytest.mark.django_db
def test_an_event_released_after_a_watermark_counts_only_after_it() -> None:
    meter = make_meter()
    send(event("evt-1"))
    watermark = place_batches()
    customer = make_customer()
    release_unmatched(now=NOW)
    assert count(meter, customer.pk, watermark) == 0
    assert count(meter, customer.pk, place_batches()) == 1


@pytest.mark.django_db
def test_a_void_and_a_release_before_a_watermark_hold_as_of_it_whatever_is_late() -> None:
    """Of three, one is void before: 2, and one released: 3. What is void, or arrives, after it changes nothing."""
    meter = make_meter()
    send(event("released"))
    customer = make_customer()
    release_unmatched(now=NOW)
    send_tickets(3)
    void = partial(void_event, reason="wrong", by="clerk", now=NOW)
    void(Event.objects.get(key="evt-0"))
    watermark = place_batches()
    assert count(meter, customer.pk, watermark) == 3
    send(event("late"))
    void(Event.objects.get(key="evt-1"))
    assert count(meter, customer.pk, watermark) == 3
    assert count(meter, customer.pk, place_batches()) == 3
    void(Event.objects.get(key="evt-2"))
    assert count(meter, customer.pk, place_batches()) == 2


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_commits_after_a_later_one_was_placed_is_not_below_the_watermark() -> None:
    customer, meter = make_customer(), make_meter()
    send(event("warm-up"))
    inserted, commit = threading.Event(), threading.Event()

    def slow_writer() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO metering_eventbatch (id, kind, source, received_at, stored, accepted, duplicates,"
                    " conflicts, unmatched, rejected, first_occurred_at, last_occurred_at)"
                    " VALUES (gen_random_uuid(), 'received', 's', %s, 1, 1, 0, 0, 0, 0, %s, %s) RETURNING id",
                    [datetime(2026, 11, 1, tzinfo=UTC), OCTOBER[0], OCTOBER[0]],
                )
                batch = cursor.fetchone()[0]
                cursor.execute(
                    "INSERT INTO metering_event (id, source, key, batch_id, meter_id, customer_id, occurred_at,"
                    " received_at) VALUES (gen_random_uuid(), 's', 'slow', %s, %s, %s, %s, %s)",
                    [batch, meter.pk, customer.pk, OCTOBER[0], OCTOBER[0]],
                )
                inserted.set()
                commit.wait(timeout=30)
        finally:
            connection.close()

    writer = threading.Thread(target=slow_writer)
    writer.start()
    assert inserted.wait(timeout=30)
    send(event("quick"))
    watermark = place_batches()
    assert count(meter, customer.pk, watermark) == 2
    commit.set()
    writer.join(timeout=30)
    # Committed late, so it is after the watermark: unchanged as of it, and there for the next one.
    assert count(meter, customer.pk, watermark) == 2
    assert count(meter, customer.pk, None) == 3
    assert count(meter, customer.pk, place_batches()) == 3


@pytest.mark.django_db(transaction=True)
def test_many_placers_at_once_give_each_batch_one_position() -> None:
    make_customer()
    make_meter()

    def write(first: int) -> None:
        for n in range(first, first + 20):
            send(event(f"evt-{n}"))

    def place() -> None:
        for _ in range(20):
            place_batches()

    at_once(*(partial(write, n * 20) for n in range(4)), *[place] * 4)
    assert place_batches() == 80
    positions = sorted(EventBatch.objects.values_list("position", flat=True))
    assert positions == list(range(1, 81))
