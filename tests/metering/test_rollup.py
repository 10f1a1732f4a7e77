"""Usage by day equals the raw events: in every zone, whatever was released, voided or committed late."""

import threading
import uuid
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from django.db import connection, transaction

from metering.aggregation import total_windows
from metering.errors import LedgerMismatch
from metering.folding import backlog, fold_usage, rebuild_usage
from metering.measuring import Series, measure_series
from metering.models import Event, EventBatch, Meter, Rollup, UsageByDay
from metering.periods import Interval
from metering.releasing import release_unmatched
from metering.rollup import daily_usage, folded_position
from tests.at_once import SECONDS, Running
from tests.factories import NOW, event, make_customer, make_meter, send

FIRST, LAST = date(2026, 10, 20), date(2026, 11, 8)
ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "Australia/Lord_Howe")


def raw(meter: Meter, zone: str, *, by_customer: bool, interval: Interval = Interval.DAY) -> list[Series]:
    from metering.periods import start_of_day

    return measure_series(
        meter,
        start=start_of_day(FIRST, zone),
        end=start_of_day(LAST, zone),
        interval=interval,
        zone=zone,
        group_by=("customer",) if by_customer else (),
    )


def rolled(meter: Meter, zone: str, *, by_customer: bool, interval: Interval = Interval.DAY) -> list[Series]:
    found = daily_usage(
        meter, start_on=FIRST, end_on=LAST, zone=zone, by_customer=by_customer, interval=interval
    )
    return list(found.series)


def assert_equals_raw() -> None:
    for meter in Meter.objects.all():
        for zone in ZONES:
            for by_customer in (False, True):
                assert rolled(meter, zone, by_customer=by_customer) == raw(
                    meter, zone, by_customer=by_customer
                )


def make_world() -> None:
    """Customers in four zones; meters of each additive type, one with a filter and a conversion."""
    for place, zone in enumerate(ZONES[:4]):
        make_customer(f"c{place}", timezone=zone)
    make_meter("count")
    make_meter("sum", type="sum", allow_negative=True)
    make_meter("average", type="average")
    make_meter(
        "emails", dimensions=["channel"], filters={"channel": ["email"]}, factor=3, rounding_function="up"
    )


def some_events(random: Random, count: int, *, prefix: str) -> list[dict[str, object]]:
    """Events of all meters and customers around the change of clocks, some of unknown ones, many at midnight."""
    events = []
    for n in range(count):
        hours = random.choice([0, 4, 5, 18.25, 10.25, 13, 7.75]) + 24 * random.randrange(18)
        at = datetime(2026, 10, 20, tzinfo=UTC) + timedelta(
            hours=hours, microseconds=random.choice([0, -1, 1])
        )
        meter = random.choice(["count", "sum", "average", "emails", "later"])
        fields = {
            "meter": meter,
            "customer": random.choice(["c0", "c1", "c2", "c3", "late"]),
            "occurred_at": at.isoformat(),
            "dimensions": {"channel": random.choice(["email", "chat"])},
        }
        if meter in ("sum", "average") or random.random() < 0.3:
            fields["value"] = str(random.randrange(1, 10**6)) + "." + str(random.randrange(10**9))
        events.append(event(f"{prefix}-{n}", **fields))
    return events


def void(count: int, random: Random) -> None:
    """Void some events as a correction does: mark them and write its batch."""
    live = list(Event.objects.filter(voided_batch_id=None, customer__isnull=False).order_by("id"))
    chosen = random.sample(live, min(count, len(live)))
    if not chosen:
        return
    batch = uuid.uuid4()
    with transaction.atomic():
        Event.objects.filter(pk__in=[each.pk for each in chosen]).update(voided_batch_id=batch)
        EventBatch.objects.create(
            id=batch,
            kind="corrected",
            source="",
            received_at=NOW,
            stored=len(chosen),
            first_occurred_at=min(each.occurred_at for each in chosen),
            last_occurred_at=max(each.occurred_at for each in chosen),
        )


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(6))
def test_usage_by_day_equals_the_raw_events_in_every_zone(seed: int) -> None:
    random = Random(seed)
    make_world()
    for step in range(8):
        send(*some_events(random, 40, prefix=f"{seed}-{step}"))
        void(random.randrange(4), random)
        if step == 3:
            make_meter("later")
            release_unmatched(now=NOW)
        if step == 5:
            make_customer("late", timezone="Australia/Lord_Howe")
            release_unmatched(now=NOW)
        if random.random() < 0.6:
            fold_usage(at_most=random.choice([None, 1, 2]))
    fold_usage()
    assert backlog() == 0
    assert_equals_raw()
    before = sorted(UsageByDay.objects.filter(events__gt=0).values_list("pk", "amount", "events"))
    rebuild_usage()
    assert sorted(UsageByDay.objects.filter(events__gt=0).values_list("pk", "amount", "events")) == before
    assert_equals_raw()


@pytest.mark.django_db
def test_a_row_is_cut_at_midnight_in_utc_and_in_the_zone_of_the_customer() -> None:
    make_customer(timezone="America/New_York")
    make_meter()
    # 03:59 UTC is 23:59 of the day before in New York, 04:00 is midnight there.
    send(
        event("a", occurred_at="2026-10-03T03:59:00Z"),
        event("b", occurred_at="2026-10-03T04:00:00Z"),
        event("c", occurred_at="2026-10-03T23:59:59Z"),
        event("d", occurred_at="2026-10-04T00:00:00Z"),
    )
    fold_usage()
    rows = UsageByDay.objects.order_by("starts_at").values_list("starts_at", "ends_at", "events")
    hours = [(f"{start:%d-%H}", f"{end:%d-%H}", events) for start, end, events in rows]
    assert hours == [("03-00", "03-04", 1), ("03-04", "04-00", 2), ("04-00", "04-04", 1)]


@pytest.mark.django_db
def test_a_customer_that_moves_to_another_zone_keeps_exact_days() -> None:
    customer, meter = make_customer("c0"), make_meter()
    send(*(event(f"a{n}", customer="c0", occurred_at=f"2026-10-25T{n:02d}:30:00Z") for n in range(24)))
    fold_usage()
    customer.timezone = "Asia/Kathmandu"
    customer.save()
    send(*(event(f"b{n}", customer="c0", occurred_at=f"2026-10-25T{n:02d}:30:00Z") for n in range(24)))
    fold_usage()
    for zone in ZONES:
        assert rolled(meter, zone, by_customer=True) == raw(meter, zone, by_customer=True)


@pytest.mark.django_db
def test_months_are_sums_of_whole_days() -> None:
    make_world()
    send(*some_events(Random(7), 200, prefix="m"))
    fold_usage()
    meter = Meter.objects.get(code="sum")
    for zone in ZONES:
        months = rolled(meter, zone, by_customer=True, interval=Interval.MONTH)
        assert months == raw(meter, zone, by_customer=True, interval=Interval.MONTH)


@pytest.mark.django_db
def test_folding_again_changes_nothing() -> None:
    make_customer()
    make_meter()
    send(event("a"))
    assert fold_usage() == 1
    assert fold_usage() == 1
    assert UsageByDay.objects.get().events == 1


@pytest.mark.django_db
def test_a_batch_with_a_missing_row_stops_the_fold_before_it() -> None:
    make_customer()
    make_meter()
    send(event("a"))
    send(event("b"), event("c"))
    send(event("d"))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL reckoner.prune = 'on'")
        cursor.execute("DELETE FROM metering_event WHERE key = 'c'")
    assert fold_usage(at_most=1) == 1
    with pytest.raises(LedgerMismatch, match="has 1 event rows, but the ledger says 2"):
        fold_usage()
    assert folded_position() == 1
    assert UsageByDay.objects.get().events == 1


@pytest.mark.django_db
def test_meters_that_are_not_sums_are_not_rolled_up() -> None:
    make_customer()
    meter = make_meter("seats", type="max")
    send(event("a", meter="seats", value="5"))
    fold_usage()
    assert not UsageByDay.objects.exists()
    with pytest.raises(ValueError, match="not a sum of its days"):
        daily_usage(meter, start_on=FIRST, end_on=LAST, zone="UTC")


@pytest.mark.django_db(transaction=True)
def test_while_one_folder_works_another_leaves_it_alone() -> None:
    make_customer()
    make_meter()
    send(event("a"))
    fold_usage()
    send(event("b"))
    seen: list[int | None] = []

    def second() -> None:
        try:
            seen.append(fold_usage())
        finally:
            connection.close()

    with transaction.atomic():
        Rollup.objects.select_for_update().get()
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=30)
    assert seen == [None]
    assert fold_usage() == 2


@pytest.mark.django_db(transaction=True)
def test_writers_that_commit_late_voids_and_releases_at_once_lose_nothing() -> None:
    make_world()
    stop = threading.Event()

    def write(seed: int) -> None:
        random = Random(seed)
        for step in range(15):
            send(*some_events(random, 10, prefix=f"w{seed}-{step}"))

    def write_late(seed: int) -> None:
        """Hold each transaction open until a later batch was placed and folded."""
        random = Random(seed)
        for step in range(4):
            rows = some_events(random, 5, prefix=f"late{seed}-{step}")
            with transaction.atomic():
                send_inside(rows)
                reached = folded_position()
                send_elsewhere(f"other{seed}-{step}")
                for _ in range(200):
                    if folded_position() > reached:
                        break
                    fold_elsewhere()
                else:
                    raise AssertionError("nobody folded")

    def fold() -> None:
        while not stop.is_set():
            fold_usage(at_most=3)

    def correct() -> None:
        random = Random(99)
        for _ in range(10):
            void(2, random)

    def release() -> None:
        for code in ("x1", "x2", "late"):
            make_customer(code, timezone="Asia/Kathmandu")
            release_unmatched(now=NOW)

    folders = [Running(fold), Running(fold)]
    workers = [
        Running(write, 1), Running(write, 2), Running(write_late, 3), Running(correct), Running(release)
    ]  # fmt: skip
    for each in workers:
        each.join(timeout=SECONDS)
    make_meter("later")
    release_unmatched(now=NOW)
    stop.set()
    for each in (*workers, *folders):
        each.result()
    fold_usage()
    assert_equals_raw()
    total = sum(
        each.events
        for meter in Meter.objects.all()
        for each in total_windows(
            [(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))], meter=meter, zone="UTC"
        )
    )
    assert sum(UsageByDay.objects.values_list("events", flat=True)) == total


def elsewhere(work: object, *arguments: object) -> None:
    """Do something on another connection and wait for it."""

    def inner() -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        finally:
            connection.close()

    thread = threading.Thread(target=inner)
    thread.start()
    thread.join(timeout=60)


def send_elsewhere(key: str) -> None:
    elsewhere(lambda: send(event(key, meter="count", customer="c1")))


def fold_elsewhere() -> None:
    elsewhere(fold_usage)


def send_inside(rows: list[dict[str, object]]) -> None:
    """Store events in the open transaction of the caller, as a writer whose commit takes long."""
    from metering.columns import Row
    from metering.storing import insert_batch

    customers = {f"c{n}": make_id("customers_customer", f"c{n}") for n in range(4)}
    meters = {code: make_id("metering_meter", code) for code in ("count", "sum", "average", "emails")}
    known = [row for row in rows if row["customer"] in customers and row["meter"] in meters]
    insert_batch(
        [
            Row(
                id=uuid.uuid4().hex,
                key=str(row["key"]),
                meter_id=meters[str(row["meter"])],
                customer_id=customers[str(row["customer"])],
                workload_id=None,
                value=row.get("value"),  # type: ignore[arg-type]
                occurred_at=str(row["occurred_at"]),
                subject=None,
                dimensions=None,
                meter_code=None,
                customer_code=None,
            )
            for row in known
        ],
        batch=uuid.uuid4(),
        source="slow",
        received_at=NOW - timedelta(minutes=1),
        rejected=0,
    )


def make_id(table: str, code: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} WHERE code = %s", [code])
        return int(cursor.fetchone()[0])
