import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.event_results import ResultStatus
from metering.incoming import IncomingEvent, Refusal, decode_event, event_id, parse_instant
from metering.models import Event, EventBatch, EventConflict, Meter, WorkloadName
from metering.releasing import release_unmatched
from tests.factories import NOW, event, make_customer, make_meter, send, send_tickets

pytestmark = pytest.mark.django_db
UUID_KEY = "018f3b1e-7a5c-7000-8000-00000000002a"


@pytest.fixture
def story() -> Meter:
    make_customer()
    return make_meter()


@pytest.mark.usefixtures("story")
def test_same_key_and_content_counts_once_and_is_answered_as_duplicate() -> None:
    first, second = send(event("evt-1")), send(event("evt-1"))
    assert [r.status for r in (*first.results, *second.results)] == ["accepted", "duplicate"]
    assert Event.objects.count() == 1


@pytest.mark.usefixtures("story")
def test_same_key_twice_in_one_batch_counts_once() -> None:
    assert [r.status for r in send(event("evt-1"), event("evt-1")).results] == ["accepted", "duplicate"]
    assert Event.objects.count() == 1


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"value": "2"}, "value"),
        ({"occurred_at": "2026-10-03T10:00:00.000001Z"}, "occurred_at"),
        ({"subject": "ticket-1"}, "subject"),
        ({"workload": "bot"}, "workload"),
        ({"dimensions": {"channel": "chat"}}, "dimensions"),
        ({"customer": "globex"}, "customer"),
        ({"meter": "other"}, "meter"),
    ],
)
def test_same_key_with_other_content_is_a_conflict_and_changes_nothing(
    change: dict[str, object], named: str
) -> None:
    send(event("evt-1"))
    result = send(event("evt-1", **change)).results[0]
    assert result.status is ResultStatus.CONFLICT
    assert named in (result.message or "")
    assert Event.objects.get().value is None
    assert EventConflict.objects.get().key == "evt-1"


@pytest.mark.usefixtures("story")
def test_equal_values_written_differently_are_the_same_content() -> None:
    send(event("evt-1", value="1.50", occurred_at="2026-10-03T10:00:00Z"))
    again = send(event("evt-1", value="1.5", occurred_at="2026-10-03T12:00:00+02:00"))
    assert again.results[0].status is ResultStatus.DUPLICATE


@pytest.mark.usefixtures("story")
def test_keys_of_different_sources_do_not_meet() -> None:
    send(event("evt-1"), source="a")
    assert send(event("evt-1", value="5"), source="b").results[0].status is ResultStatus.ACCEPTED
    assert Event.objects.count() == 2


def test_a_uuid_key_is_the_primary_key_in_either_case() -> None:
    assert event_id("a", UUID_KEY) == event_id("b", UUID_KEY.upper())
    assert str(UUID(event_id("a", UUID_KEY))) == UUID_KEY


def test_source_and_key_are_never_run_together() -> None:
    assert event_id("a", "bc") != event_id("ab", "c")


@pytest.mark.usefixtures("story")
def test_one_bad_event_never_costs_the_good_ones() -> None:
    bad = event("bad", occurred_at="yesterday")
    result = send(event("evt-1"), bad, event("evt-2"))
    assert [r.status for r in result.results] == ["accepted", "rejected", "accepted"]
    assert result.results[1].field == "occurred_at"
    assert set(Event.objects.values_list("key", flat=True)) == {"evt-1", "evt-2"}


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"value": "NaN"}, "invalid_value"),
        ({"value": "Infinity"}, "invalid_value"),
        ({"value": "1" * 40}, "invalid_value"),
        ({"value": "0." + "1" * 19}, "invalid_value"),
        ({"value": True}, "invalid_value"),
        ({"value": "ten"}, "invalid_value"),
        ({"occurred_at": "2026-10-03T10:00:00"}, "invalid_occurred_at"),
        ({"occurred_at": "2026-02-30T10:00:00Z"}, "invalid_occurred_at"),
        ({"occurred_at": 1760000000}, "invalid_occurred_at"),
        ({"occurred_at": "2025-10-16T11:59:59Z"}, "too_old"),
        ({"occurred_at": "2026-11-20T13:00:00.000001Z"}, "too_far_ahead"),
        ({"amount": "1"}, "unknown_field"),
        ({"key": None}, "key_required"),
        ({"key": ""}, "invalid_key"),
        ({"key": "a\x00b"}, "invalid_text"),
        ({"key": "k" * 256}, "invalid_key"),
        ({"customer": 5}, "invalid_customer"),
        ({"dimensions": {"channel": 5}}, "invalid_dimensions"),
        ({"dimensions": {"channel": "a\x00"}}, "invalid_text"),
        ({"dimensions": {f"d{n}": "x" for n in range(51)}}, "too_many_dimensions"),
    ],
)
def test_bad_input_is_refused_with_a_code_and_stores_nothing(change: dict[str, object], code: str) -> None:
    result = send(event("evt-1") | change).results[0]
    assert (result.status, result.code) == (ResultStatus.REJECTED, code)
    assert result.message
    assert not Event.objects.exists()


@pytest.mark.usefixtures("story")
def test_missing_fields_are_named() -> None:
    decoded = decode_event(b'{"key": "evt-1", "customer": "acme", "occurred_at": "2026-10-03T10:00:00Z"}')
    assert isinstance(decoded, Refusal)
    assert (decoded.code, decoded.field, decoded.key) == ("meter_required", "meter", "evt-1")


def test_time_bounds_are_inclusive() -> None:
    make_customer()
    make_meter()
    oldest, latest = NOW - timedelta(days=400), NOW + timedelta(hours=1)
    result = send(event("a", occurred_at=oldest.isoformat()), event("b", occurred_at=latest.isoformat()))
    assert result.counts[ResultStatus.ACCEPTED] == 2


def test_digits_beyond_microseconds_never_carry_an_event_into_the_next_month() -> None:
    assert parse_instant("2026-10-31T23:59:59.9999999Z") == datetime(
        2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC
    )


def test_numbers_are_read_from_their_text_not_as_floats() -> None:
    decoded = decode_event(json.dumps(event("a")).replace("}", ', "value": 0.1}').encode())
    assert isinstance(decoded, IncomingEvent)
    assert decoded.value == Decimal("0.1")


def test_an_event_of_an_unknown_meter_is_kept_and_counts_once_the_meter_exists() -> None:
    make_customer()
    result = send(event("evt-1")).results[0]
    assert (result.status, result.code, result.field) == (ResultStatus.UNMATCHED, "unknown_meter", "meter")
    assert release_unmatched(now=NOW) == 0
    meter = make_meter()
    assert release_unmatched(now=NOW) == 1
    stored = Event.objects.get()
    assert (stored.meter_id, stored.meter_code, stored.customer_code) == (
        meter.pk,
        "tickets_resolved",
        "acme",
    )
    assert release_unmatched(now=NOW) == 0


def test_an_unmatched_event_sent_again_is_a_duplicate_before_and_after_its_release() -> None:
    make_meter()
    assert send(event("evt-1")).results[0].code == "unknown_customer"
    assert send(event("evt-1")).results[0].status is ResultStatus.DUPLICATE
    make_customer()
    release_unmatched(now=NOW)
    assert send(event("evt-1")).results[0].status is ResultStatus.DUPLICATE
    assert Event.objects.count() == 1


def test_a_sum_meter_asks_for_a_value_and_keeps_unmatched_events_without_one_unmatched() -> None:
    make_customer()
    send(event("early", meter="tokens"))
    make_meter("tokens", type="sum")
    assert release_unmatched(now=NOW) == 0
    assert send(event("late", meter="tokens")).results[0].code == "value_required"


@pytest.mark.usefixtures("story")
def test_the_ledger_row_counts_every_result_of_its_batch() -> None:
    send(event("evt-1"))
    result = send(
        event("evt-1"),
        event("evt-1", value="9"),
        event("evt-2"),
        event("x", meter="none"),
        event("y", value="?"),
    )
    ledger = EventBatch.objects.get(pk=result.batch)
    counted = (ledger.accepted, ledger.duplicates, ledger.conflicts, ledger.unmatched, ledger.rejected)
    assert counted == (1, 1, 1, 1, 1)
    assert ledger.stored == Event.objects.filter(batch_id=result.batch).count() == 2


@pytest.mark.usefixtures("story")
def test_workload_names_are_written_down_the_first_time_they_are_seen() -> None:
    send(event("a", workload="bot"), event("b", workload="bot"))
    assert WorkloadName.objects.get().workload is None


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("field", ["key", "value", "occurred_at", "customer_id"])
def test_the_database_refuses_to_change_a_stored_event(field: str) -> None:
    send_tickets(1)
    changed = {"key": "x", "value": 5, "occurred_at": NOW, "customer_id": 0}[field]
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.update(**{field: changed})


@pytest.mark.usefixtures("story")
def test_the_database_refuses_to_delete_events_meters_and_customers() -> None:
    send_tickets(1)
    for table in ("metering_event", "metering_meter", "customers_customer", "metering_eventbatch"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table}")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(
        st.fixed_dictionaries(
            {
                "key": TEXT,
                "value": st.decimals(
                    allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12
                ),
                "subject": TEXT,
                "dimensions": st.dictionaries(TEXT, TEXT, max_size=3),
            }
        ),
        max_size=12,
        unique_by=lambda each: each["key"].lower(),
    )
)
def test_any_text_and_decimal_comes_back_as_it_was_sent(events: list[dict[str, object]]) -> None:
    if not Meter.objects.exists():
        make_customer()
        make_meter(type="sum")
    source = uuid4().hex
    sent = [event("") | each | {"value": str(each["value"])} for each in events]
    send(*sent, source=source)
    stored = {row.key: row for row in Event.objects.filter(source=source)}
    for each in sent:
        row = stored[each["key"]]
        assert row.value == Decimal(each["value"])
        assert (row.subject, row.dimensions or {}) == (each["subject"], each["dimensions"])
