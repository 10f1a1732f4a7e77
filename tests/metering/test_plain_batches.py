"""Checking a batch column by column gives exactly what checking each event by itself gives, or leaves it to that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metering import ingesting
from metering.columns import Columns, columns_of
from metering.event_results import ResultStatus
from metering.incoming import decode_event, decode_events
from metering.models import Event
from metering.plain_batches import plain_columns
from tests.factories import BOUNDS, NOW, event, make_customer, make_meter, send

pytestmark = pytest.mark.django_db
UUID_KEYS = st.uuids().map(str)
KEYS = st.one_of(
    UUID_KEYS,
    UUID_KEYS.map(str.upper),
    st.sampled_from(["evt-1", "a" * 36, "-" * 36, 'quo"te', "back\\slash", "ü", "a\x00", "a,b{}", "NULL"]),
)
TIMES = st.one_of(
    st.integers(0, 400 * 86_400_000_000).map(
        lambda microseconds: (NOW - timedelta(days=380) + timedelta(microseconds=microseconds)).isoformat()
    ),
    st.sampled_from(
        [
            "2026-10-03T10:00:00Z",
            "2026-10-03T10:00:00.5Z",
            "2026-10-03T10:00:00.1234567Z",
            "2026-10-03t10:00:00z",
            "2026-10-03 10:00:00Z",
            "2026-10-15T10:00:00+14:00",
            "2026-10-15T10:00:00-20:00",
            "2026-10-15T10:00:00-13:59",
            "2026-10-03T10:00:00",
            "2026-02-30T10:00:00Z",
            "2026-10-03T24:00:00Z",
            "2026-10-03T10:00:60Z",
            "20261003T100000Z",
            "2026-W40-6T10:00:00Z",
            "2026-10-03T10:00:00Z,2026-10-03T10:00:00Z",
            "2026-10-03T10:00:00,5Z",
        ]
    ),
)
VALUES = st.one_of(
    st.none(),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.decimals(min_value=-100, max_value=100, places=4).map(str),
    st.sampled_from(["1", "-1", "1e3", "0.000", "1e-18", "1e-19", "9" * 20, "9" * 21, "0E-18", "NaN"]),
)
DIMENSIONS = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["channel", 'na"me', "ü"]),
        st.sampled_from(["mail", "", "a\\b", "\x00", "\x7f", "😀"]),
    ),
    st.just({f"d{n}": "x" for n in range(51)}),
)
EVENTS = st.fixed_dictionaries(
    {
        "key": KEYS,
        "meter": st.sampled_from(["tickets_resolved", "tokens", "agents", "models", "unknown"]),
        "customer": st.sampled_from(["acme", "globex", "unknown"]),
        "occurred_at": TIMES,
        "value": VALUES,
        "subject": st.sampled_from([None, "ticket-1", 'ti"cket']),
        "workload": st.sampled_from([None, "bot"]),
        "dimensions": DIMENSIONS,
        "reverses": st.sampled_from([None, None, None, {"key": "evt-1"}, {"subject": "ticket-1"}, {}]),
    }
)
PLAIN = st.fixed_dictionaries(
    {
        "key": UUID_KEYS,
        "meter": st.sampled_from(["tickets_resolved", "tokens"]),
        "customer": st.sampled_from(["acme", "globex"]),
        "occurred_at": st.sampled_from(["2026-10-03T10:00:00Z", "2026-10-03T10:00:00.25+02:00"]),
        "value": st.sampled_from(["0", "1", "2.50"]),
        "subject": st.sampled_from([None, "ticket-1"]),
        "workload": st.sampled_from([None, "bot"]),
        "dimensions": st.sampled_from([None, {}, {"channel": "e\\mail"}, {"channel": "phone"}]),
    }
)


@pytest.fixture
def story() -> None:
    make_customer()
    make_customer("globex")
    make_meter()
    make_meter("tokens", type="sum")
    make_meter("agents", type="unique")
    make_meter("models", type="unique", value_dimension="channel", dimensions=["channel"])


def _same(column: Sequence[str | None], count: int) -> list[str | None]:
    """An empty column holds nothing in any row, which others write as NULL or None."""
    return [None if each == "NULL" else each for each in column] or [None] * count


def _instants(column: Sequence[str]) -> list[datetime]:
    return [datetime.fromisoformat(each) for each in column]


def _assert_same(found: Columns, expected: Columns) -> None:
    count = len(expected.ids)
    ids = [each.replace("-", "") for each in found.ids]
    assert ids == list(expected.ids)
    assert list(found.keys or found.ids) == list(expected.keys)
    assert _instants(found.occurred) == _instants(expected.occurred)
    for name in (
        "meters",
        "customers",
        "workloads",
        "values",
        "subjects",
        "meter_codes",
        "customer_codes",
        "signals",
        "targets",
    ):
        assert _same(getattr(found, name), count) == _same(getattr(expected, name), count), name
    dimensions = [
        [None if each is None else json.loads(each) for each in _same(columns.dimensions, count)]
        for columns in (found, expected)
    ]
    assert dimensions[0] == dimensions[1]


@pytest.mark.usefixtures("story")
@given(rows=st.one_of(st.lists(EVENTS, min_size=1, max_size=4), st.lists(PLAIN, min_size=1, max_size=6)))
@settings(max_examples=400, deadline=None)
@example(rows=[event("018f3b1e-7a5c-7000-8000-00000000002a"), event("018F3B1E-7A5C-7000-8000-00000000002A")])
@example(rows=[event("018f3b1e-7a5c-7000-8000-00000000002a")] * 2)
@example(rows=[event("0" * 35), event("018f3b1e-7a5c-7000-8000-00000000002a0")])
def test_columns_are_those_of_the_events_one_by_one(rows: list[dict[str, Any]]) -> None:
    events = [decode_event(json.dumps(row).encode()) for row in rows]
    columns = plain_columns(events, source="api", now=NOW, bounds=BOUNDS)
    if columns is None:
        return
    sorting = ingesting.sort_offers(events, source="api", now=NOW, bounds=BOUNDS)
    matched = ingesting._match(sorting, source="api", now=NOW)
    assert not sorting.results
    assert not sorting.again
    _assert_same(columns, columns_of(matched))


@pytest.mark.usefixtures("story")
@given(rows=st.lists(PLAIN, min_size=1, max_size=8, unique_by=lambda row: row["key"]))
@settings(max_examples=100, deadline=None)
def test_ordinary_batches_are_plain(rows: list[dict[str, Any]]) -> None:
    events = decode_events(json.dumps(rows).encode())
    assert events is not None
    assert plain_columns(events, source="api", now=NOW, bounds=BOUNDS) is not None


@given(rows=st.lists(EVENTS, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_list_decoded_at_once_is_its_events_decoded_one_by_one(rows: list[dict[str, Any]]) -> None:
    together = decode_events(json.dumps(rows).encode())
    if together is not None:
        one_by_one = [decode_event(json.dumps(row).encode()) for row in rows]
        assert repr(together) == repr(one_by_one)  # NaN equals nothing


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("keys", [[str(uuid4()) for _ in range(5)], ["b", 'a"', "c\\", "ü", "x,y"]])
def test_a_plain_batch_is_stored_as_sent_and_its_repeats_are_told_apart(keys: list[str]) -> None:
    rows = [
        event(
            key,
            value=str(n),
            subject=f"ticket {n}" if n % 2 else None,
            dimensions={"channel": 'a"\\' * n} if n else None,
        )
        for n, key in enumerate(keys)
    ]
    assert send(*rows[:3]).counts == {ResultStatus.ACCEPTED: 3}
    changed = rows[1] | {"value": "7"}
    again = send(rows[0], changed, rows[2], rows[3], rows[4])
    statuses = [result.status.value for result in again.results]
    assert statuses == ["duplicate", "conflict", "duplicate", "accepted", "accepted"]
    stored = {
        row.key: (row.value, row.subject, row.dimensions, row.meter_code) for row in Event.objects.all()
    }
    assert stored == {
        row["key"]: (Decimal(row["value"]), row["subject"], row["dimensions"], None) for row in rows
    }


@pytest.mark.usefixtures("story")
def test_a_zone_further_away_than_the_database_reads_is_taken() -> None:
    """PostgreSQL reads offsets below 16 hours, RFC 3339 allows 23:59."""
    result = send(event("far", occurred_at="2026-10-03T10:00:00+23:59")).results[0]
    assert result.status is ResultStatus.ACCEPTED
    assert Event.objects.get().occurred_at == datetime.fromisoformat("2026-10-02T10:01:00+00:00")
