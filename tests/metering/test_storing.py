"""A plain batch is stored as if all its keys were new; where one was used before, nothing of that attempt remains."""

from __future__ import annotations

import random
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection
from django.db.models import Sum

from metering import storing
from metering.event_results import BatchResult, ResultStatus
from metering.models import Event, EventBatch, EventConflict
from tests.factories import event, make_customer, make_meter, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def story() -> None:
    make_customer()
    make_meter()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that were run, in their order: new for the one that takes all keys as new."""
    ran: list[str] = []
    names = {storing.INSERT_NEW: "new", storing.INSERT: "ask", storing.INSERT_WITH_SIGNALS: "ask"}
    run = storing._execute_prepared

    def noted(statement: str, parameters: dict[str, Any]) -> Any:
        ran.append(names[statement])
        return run(statement, parameters)

    monkeypatch.setattr(storing, "_execute_prepared", noted)
    return ran


def uuid_of(n: int) -> str:
    return str(UUID(int=n + (4 << 76) + (8 << 60)))


def statuses(result: BatchResult) -> list[str]:
    return [each.status.value for each in result.results]


def assert_ledger_is_true() -> None:
    """Each stored event belongs to the one ledger row of its batch, which counts it."""
    rows = Counter(Event.objects.values_list("batch_id", flat=True))
    ledger = dict(EventBatch.objects.values_list("id", "stored"))
    assert {batch: count for batch, count in ledger.items() if count} == rows


def test_new_keys_are_stored_without_asking_for_each(statements: list[str]) -> None:
    times = ["2026-10-05T10:00:00.25+02:00", "2026-10-03T10:00:00Z", "2026-10-04T10:00:00Z"]
    result = send(*(event(f"k{n}", occurred_at=time) for n, time in enumerate(times)))
    assert (statuses(result), statements) == (["accepted"] * 3, ["new"])
    batch = EventBatch.objects.get()
    counts = (
        batch.stored,
        batch.accepted,
        batch.duplicates,
        batch.conflicts,
        batch.unmatched,
        batch.rejected,
    )
    assert counts == (3, 3, 0, 0, 0, 0)
    assert (batch.id, batch.kind, batch.source, batch.has_signals) == (result.batch, "received", "api", False)
    assert batch.first_occurred_at == datetime(2026, 10, 3, 10, tzinfo=UTC)
    assert batch.last_occurred_at == datetime(2026, 10, 5, 8, 0, 0, 250_000, tzinfo=UTC)
    assert_ledger_is_true()


@pytest.mark.parametrize("key", [uuid_of, "evt-{}".format])
def test_a_used_key_costs_the_new_ones_of_its_batch_nothing(statements: list[str], key: Any) -> None:
    send(event(key(5)), event(key(7)))
    again = send(*(event(key(n), value="9" if n == 7 else None) for n in range(4, 9)))
    assert statuses(again) == ["accepted", "duplicate", "accepted", "conflict", "accepted"]
    assert statements == ["new", "new", "ask"]
    assert (Event.objects.count(), EventBatch.objects.count(), EventConflict.objects.count()) == (5, 2, 1)
    batch = EventBatch.objects.get(pk=again.batch)
    assert (batch.stored, batch.accepted, batch.duplicates, batch.conflicts) == (3, 3, 1, 1)
    assert_ledger_is_true()


def test_a_source_that_repeats_is_asked_for_its_keys_for_a_time_and_others_are_not(
    statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send(event("a"))
    send(event("a"))
    assert statuses(send(event("b"))) == ["accepted"]
    assert statuses(send(event("c"), source="other")) == ["accepted"]
    assert statements == ["new", "new", "ask", "ask", "new"]
    clock = storing.time.monotonic
    monkeypatch.setattr(storing.time, "monotonic", lambda: clock() + storing.CAREFUL_SECONDS)
    assert statuses(send(event("d"))) == ["accepted"]
    assert statements[-1] == "new"


def test_no_more_than_so_many_sources_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "REMEMBER_AT_MOST", 3)
    for n in range(4):
        storing.repeating.note(f"source-{n}")
    assert [f"source-{n}" in storing.repeating for n in range(4)] == [False, False, False, True]


def test_what_has_to_be_looked_at_is_asked_for(statements: list[str]) -> None:
    signal = event("s", reverses={"key": "a"})
    for batch in (
        [event("a"), event("b", customer="unknown")],
        [event("c"), event("d", value="NaN")],
        [signal],
    ):
        send(*batch)
    assert statements == ["ask"] * 3


def test_another_refusal_of_the_database_is_not_taken_for_a_used_key(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = storing.INSERT_NEW.replace("%(offered)s::int, 0, 0, 0, 0", "%(offered)s::int, 0, 0, 1, 0")
    monkeypatch.setattr(storing, "INSERT_NEW", broken)  # stored is not accepted and unmatched any more
    with pytest.raises(IntegrityError, match="eventbatch_stored_is_accepted_and_unmatched"):
        send(event("a"))
    assert (Event.objects.count(), EventBatch.objects.count()) == (0, 0)
    assert "api" not in storing.repeating


def test_as_if_new_and_asked_for_come_to_the_same() -> None:
    """The same batches, with keys that repeat and differ, by both statements: same results, same rows, same ledger."""

    def batches(source: str) -> list[list[str]]:
        chance = random.Random(7)
        results = []
        for _ in range(30):
            keys = [chance.randrange(120) for _ in range(chance.randrange(1, 12))]
            results.append(
                statuses(
                    send(
                        *(event(f"k{n}", value=str(chance.choice([1, 1, 1, 2]))) for n in keys), source=source
                    )
                )
            )
            storing.repeating.forget()
            if source == "asked":
                storing.repeating.note(source)
        return results

    storing.repeating.note("asked")
    assert batches("new") == batches("asked")
    found = {
        source: (
            sorted(Event.objects.filter(source=source).values_list("key", "value")),
            EventBatch.objects.filter(source=source).aggregate(
                *map(Sum, ("stored", "accepted", "duplicates", "conflicts", "rejected"))
            ),
        )
        for source in ("new", "asked")
    }
    assert found["new"] == found["asked"]
    assert_ledger_is_true()


def test_senders_of_the_same_keys_at_once_store_each_once_and_never_deadlock() -> None:
    counts: Counter[ResultStatus] = Counter()
    problems: list[BaseException] = []
    together = threading.Barrier(4)

    def write(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for step in range(12):
                keys = chance.sample(range(step * 40, step * 40 + 40), 40)
                together.wait(timeout=60)
                storing.repeating.forget()
                counts.update(send(*(event(f"k{n}") for n in keys)).counts)
        except BaseException as problem:
            problems.append(problem)
            together.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert problems == []
    assert counts[ResultStatus.ACCEPTED] == Event.objects.count() == 480
    assert counts[ResultStatus.DUPLICATE] == 3 * 480
    assert_ledger_is_true()
