"""Voiding and amending stored events."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from customers.models import Customer
from metering.correcting import amend_event, find_event, void_event
from metering.errors import CorrectionRefused, EventVoided, UnknownEvent
from metering.event_results import ResultStatus
from metering.folding import fold_usage
from metering.histories import event_history
from metering.ledger import place_batches
from metering.measuring import measure
from metering.models import Event, EventBatch, EventConflict, EventCorrection, Meter
from metering.releasing import release_unmatched
from metering.spans import Span
from tests.at_once import told_at_once
from tests.factories import BOUNDS, NOW, event, make_customer, make_meter, send, send_tickets

pytestmark = pytest.mark.django_db
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
SEPTEMBER = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture
def meter() -> Meter:
    make_customer()
    return make_meter()


def count(meter: Meter, span: tuple[datetime, datetime] = OCTOBER, *, as_of: int | None = None) -> Decimal:
    return measure(meter, [Span(0, Customer.objects.get(code="acme").pk, *span)], as_of=as_of)[0].quantity


def void(key: str) -> EventCorrection:
    return void_event(find_event(key, source="api"), reason="sent by mistake", by="Ada", now=NOW)


def amend(key: str, /, **changes: Any) -> str:
    amended = amend_event(
        find_event(key, source="api"), changes, reason="wrong", by="Ada", now=NOW, bounds=BOUNDS
    )
    return amended.replacement.key or ""


def test_a_voided_event_counts_no_more_and_stays(meter: Meter) -> None:
    send_tickets(3)
    void("evt-1")
    assert count(meter) == 2
    assert Event.objects.count() == 3


def test_a_void_after_a_watermark_changes_nothing_as_of_it(meter: Meter) -> None:
    send_tickets(3)
    watermark = place_batches()
    void("evt-1")
    assert count(meter, as_of=watermark) == 3
    assert count(meter, as_of=place_batches()) == 2


def test_a_void_is_a_batch_of_the_ledger_over_the_time_of_its_event(meter: Meter) -> None:
    send_tickets(1)
    batch = EventBatch.objects.get(pk=void("evt-0").batch_id)
    stored = Event.objects.get()
    assert (batch.kind, batch.stored, stored.voided_batch_id) == ("corrected", 1, batch.pk)
    assert batch.first_occurred_at == batch.last_occurred_at == stored.occurred_at
    fold_usage()  # raises when the ledger and the rows differ


def test_voiding_twice_is_refused_with_what_was_done_before(meter: Meter) -> None:
    send_tickets(1)
    void("evt-0")
    with pytest.raises(EventVoided, match="sent by mistake"):
        void("evt-0")
    with pytest.raises(EventVoided):
        amend("evt-0", value="2")
    assert EventCorrection.objects.count() == 1


def test_a_voided_event_that_is_sent_again_is_a_duplicate_and_stays_void(meter: Meter) -> None:
    send_tickets(1)
    void("evt-0")
    assert send(event("evt-0")).results[0].status is ResultStatus.DUPLICATE
    assert count(meter) == 0


def test_an_amended_event_counts_with_its_new_content_only(meter: Meter) -> None:
    send_tickets(2)
    assert amend("evt-1", value="5") == "evt-1#2"
    assert count(meter) == 6
    replacement = Event.objects.get(key="evt-1#2")
    original = Event.objects.get(key="evt-1")
    assert (replacement.occurred_at, replacement.source, replacement.customer_id) == (
        original.occurred_at,
        "api",
        original.customer_id,
    )
    assert original.value is None


def test_an_event_moved_to_another_month_leaves_the_one_and_joins_the_other(meter: Meter) -> None:
    send_tickets(2)
    watermark = place_batches()
    amend("evt-1", occurred_at="2026-09-30T23:59:59Z")
    assert (count(meter), count(meter, SEPTEMBER)) == (1, 1)
    assert (count(meter, as_of=watermark), count(meter, SEPTEMBER, as_of=watermark)) == (2, 0)
    changed = EventBatch.objects.filter(position=None).values_list("first_occurred_at", flat=True)
    assert {each.month for each in changed if each is not None} == {9, 10}


def test_an_amendment_can_be_amended_and_the_first_can_not(meter: Meter) -> None:
    send_tickets(1)
    amend("evt-0", value="2")
    with pytest.raises(EventVoided, match="evt-0#2"):
        amend("evt-0", value="3")
    assert amend("evt-0#2", value="3") == "evt-0#3"
    assert count(meter) == 3


def test_a_key_that_an_integration_used_itself_is_stepped_over(meter: Meter) -> None:
    send(event("evt-0"), event("evt-0#2"))
    assert amend("evt-0", value="2") == "evt-0#3"
    assert count(meter) == 3


def test_a_key_of_full_length_finds_room_for_the_number(meter: Meter) -> None:
    send(event("k" * 255))
    assert amend("k" * 255, value="2") == "k" * 253 + "#2"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({}, "nothing_changed", None),
        ({"value": None, "occurred_at": "2026-10-03T12:00:00+02:00"}, "nothing_changed", None),
        ({"value": "-1"}, "negative_value", "value"),
        ({"value": "NaN"}, "invalid_value", "value"),
        ({"occurred_at": "yesterday"}, "invalid_occurred_at", "occurred_at"),
        ({"occurred_at": "2020-01-01T00:00:00Z"}, "too_old", "occurred_at"),
        ({"customer": None}, "customer_required", "customer"),
        ({"dimensions": {"channel": 5}}, "invalid_dimensions", "dimensions"),
        ({"key": "other"}, "unknown_field", "key"),
    ],
)
def test_a_bad_amendment_is_refused_and_writes_nothing(
    meter: Meter, changes: dict[str, Any], code: str, field: str | None
) -> None:
    send_tickets(1)
    batches = EventBatch.objects.count()
    with pytest.raises(CorrectionRefused) as refused:
        amend("evt-0", **changes)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert count(meter) == 1
    assert (Event.objects.count(), EventBatch.objects.count(), EventCorrection.objects.count()) == (
        1,
        batches,
        0,
    )


def test_an_event_longer_ago_than_the_bound_may_be_amended_but_not_moved(meter: Meter) -> None:
    send_tickets(1)
    later = datetime(2028, 10, 1, tzinfo=UTC)
    old = find_event("evt-0", source="api")
    with pytest.raises(CorrectionRefused, match="days ago"):
        amend_event(
            old, {"occurred_at": "2026-10-04T00:00:00Z"}, reason="r", by="A", now=later, bounds=BOUNDS
        )
    amend_event(old, {"value": "2"}, reason="r", by="A", now=later, bounds=BOUNDS)
    assert count(meter) == 2


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_correction_needs_a_reason(meter: Meter, reason: str) -> None:
    send_tickets(1)
    with pytest.raises(CorrectionRefused) as refused:
        void_event(find_event("evt-0", source="api"), reason=reason, by="Ada", now=NOW)
    assert refused.value.field == "reason"
    assert not EventCorrection.objects.exists()


def test_another_sources_event_is_unknown(meter: Meter) -> None:
    send_tickets(1)
    with pytest.raises(UnknownEvent):
        find_event("evt-0", source="other")


def test_a_voided_unmatched_event_is_never_released() -> None:
    make_meter()
    send(event("evt-0"))
    void("evt-0")
    make_customer()
    assert release_unmatched(now=NOW) == 0


def test_the_history_tells_everything_in_its_order() -> None:
    make_customer()
    send(event("evt-0"))
    make_meter()
    release_unmatched(now=NOW)
    send(event("evt-0", value="7"))
    amend("evt-0", value="2")
    void("evt-0#2")
    told = [(entry.what, entry.key) for entry in event_history(find_event("evt-0", source="api"))]
    assert told == [
        ("received", "evt-0"),
        ("received", "evt-0#2"),
        ("matched", "evt-0"),
        ("conflict refused", "evt-0"),
        ("amended", "evt-0"),
        ("voided", "evt-0#2"),
    ]
    assert event_history(find_event("evt-0#2", source="api")) == event_history(
        find_event("evt-0", source="api")
    )
    assert EventConflict.objects.count() == 1


def test_a_correction_is_never_changed(meter: Meter) -> None:
    send_tickets(1)
    void("evt-0")
    for statement in (
        "UPDATE metering_eventcorrection SET reason = 'x'",
        "DELETE FROM metering_eventcorrection",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_of_many_corrections_at_once_exactly_one_is_made() -> None:
    make_customer()
    meter = make_meter()
    send_tickets(1)

    def correct(number: int) -> None:
        if number % 2:
            amend("evt-0", value=str(number + 1))
        else:
            void("evt-0")

    told = told_at_once(*(partial(correct, number) for number in range(8)))
    assert told == ["done"] + ["event_voided"] * 7
    assert EventCorrection.objects.count() == 1
    live = Event.objects.filter(voided_batch_id=None).count()
    assert live == (1 if EventCorrection.objects.get().kind == "amend" else 0)
    assert count(meter) == (Event.objects.get(voided_batch_id=None).value if live else 0)
