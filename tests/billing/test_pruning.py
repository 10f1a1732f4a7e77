"""Old events go to an archive that can be read back, and only those that no invoice needs."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from billing.closing import close_period
from billing.models import InvoiceLine
from billing.months import Month
from billing.reconciling import reconcile
from customers.models import Customer
from metering.auditing import outcomes_settled_right
from metering.correcting import amend_event
from metering.errors import PruneFailed
from metering.folding import fold_usage, rebuild_usage
from metering.measuring import measure
from metering.models import Event, EventArchive, Meter, SettledOutcome
from metering.pruning import Archive, archive_events, delete_archived
from metering.rollup import daily_usage
from metering.settling_ahead import resettle_outcomes, settle_outcomes
from metering.spans import Span
from tests.at_once import wait_until_it_waits
from tests.factories import BOUNDS, NOW, event, make_customer, make_meter, make_subscription, send

THEN = datetime(2024, 6, 15, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def old(key: str, **fields: Any) -> dict[str, Any]:
    return event(key, **({"occurred_at": "2024-05-03T10:00:00Z"} | fields))


def prune(before: str, *flags: str, to: Path | None = None) -> str:
    out = StringIO()
    call_command("prune_events", "--before", before, *flags, *(["--to", str(to)] if to else []), stdout=out)
    return out.getvalue()


def make_free_events() -> None:
    """Two old events that no plan prices and a new one."""
    make_customer()
    make_meter()
    send(old("a", value="0.5", dimensions={"channel": "é"}), old("b"), now=THEN)
    send(event("c"))


def test_without_yes_nothing_is_written(tmp_path: Path) -> None:
    make_free_events()
    assert "2 events before 2024-06-01 would be archived" in prune("2024-06-01", to=tmp_path)
    assert Event.objects.count() == 3
    assert list(tmp_path.iterdir()) == []


def test_events_are_archived_with_a_checksum_and_then_gone(tmp_path: Path) -> None:
    make_free_events()
    assert "2 events archived" in prune("2024-06-01", "--yes", to=tmp_path)
    assert list(Event.objects.values_list("key", flat=True)) == ["c"]
    path, checksum = sorted(tmp_path.iterdir())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == checksum.read_text().split()[0]
    written = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines = sorted(map(json.loads, written), key=lambda each: str(each["key"]))
    assert [(each["key"], each.get("value"), each["meter"], each["customer"]) for each in lines] == [
        ("a", "0.5", "tickets_resolved", "acme"),
        ("b", None, "tickets_resolved", "acme"),
    ]
    assert lines[0]["dimensions"] == {"channel": "é"}
    assert EventArchive.objects.get().events == 2
    assert "There are no events" in prune("2024-06-01", "--yes", to=tmp_path)


def test_the_archive_of_a_reversal_says_that_it_is_one_and_of_which_event(tmp_path: Path) -> None:
    make_customer()
    make_meter(verification_hours=Decimal(24))
    reversal = old("r", reverses={"key": "a"}, occurred_at="2024-05-04T09:00:00Z")
    send(old("a"), reversal, now=THEN)
    outcome_id = Event.objects.get(key="a").pk
    prune("2024-06-01", "--yes", to=tmp_path)
    path, _ = sorted(tmp_path.iterdir())
    outcome, reversal = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
    assert (outcome["key"], "signal" in outcome, "target" in outcome) == ("a", False, False)
    assert (reversal["key"], reversal["signal"], reversal["target"]) == ("r", "reverses", str(outcome_id))


def test_a_reversal_stays_with_the_outcome_that_an_amendment_moved_past_it(tmp_path: Path) -> None:
    customer, meter = make_customer(), make_meter(verification_hours=Decimal(24))
    june = Span(0, customer.pk, datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC))
    reversal = old("r", reverses={"key": "a"}, occurred_at="2024-05-04T09:00:00Z")
    send(old("a"), old("b"), reversal, now=THEN)
    amend_event(
        Event.objects.get(key="a"),
        {"occurred_at": "2024-06-02T10:00:00Z"},
        reason="resolved in June",
        by="staff",
        now=THEN,
        bounds=BOUNDS,
    )
    assert measure(meter, [june])[0].events == 0
    assert "2 events archived" in prune("2024-06-01", "--yes", to=tmp_path)
    assert set(Event.objects.values_list("key", flat=True)) == {"a#2", "r"}
    assert measure(meter, [june])[0].events == 0


def test_the_ledger_still_agrees_with_the_rows(tmp_path: Path) -> None:
    make_free_events()
    prune("2024-06-01", "--yes", to=tmp_path)
    found = reconcile(datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert found.difference == 0
    assert (found.arrived.accepted, found.standing("accepted")) == (3, 1)


def test_usage_by_day_keeps_the_days_of_pruned_events_even_when_made_again(tmp_path: Path) -> None:
    make_free_events()
    prune("2024-06-01", "--yes", to=tmp_path)
    rebuild_usage()
    fold_usage()
    days = {"start_on": date(2024, 1, 1), "end_on": date(2026, 12, 1)}
    assert str(daily_usage(Meter.objects.get(), zone="UTC", **days).series[0].total) == "2.5"


def test_the_database_still_refuses_to_delete_an_event_by_hand(tmp_path: Path) -> None:
    make_free_events()
    prune("2024-06-01", "--yes", to=tmp_path)
    with pytest.raises(IntegrityError, match="cannot be deleted"), transaction.atomic():
        Event.objects.all()._raw_delete("default")


def test_a_damaged_archive_deletes_nothing(tmp_path: Path) -> None:
    make_free_events()
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b'{"id": "00000000-0000-0000-0000-000000000000"}\n'))
    archive = Archive(path, "0" * 64, 1)
    with pytest.raises(PruneFailed, match="Nothing was deleted"):
        delete_archived(archive, before=THEN, now=NOW, on_progress=lambda done: None)
    assert Event.objects.count() == 3


def refusal(before: str) -> str:
    with pytest.raises(CommandError) as refused:
        prune(before, "--yes")
    return str(refused.value)


def test_keys_that_may_be_sent_again_are_kept() -> None:
    make_free_events()
    assert "choose 2025-10-16 or earlier" in refusal("2025-12-01")
    assert Event.objects.count() == 3


def test_unmatched_events_are_never_pruned_unseen() -> None:
    make_customer()
    send(old("a"), now=THEN)
    assert "1 unmatched events wait" in refusal("2024-06-01")


def test_events_that_are_not_yet_billed_are_kept() -> None:
    make_subscription(start_on=date(2024, 5, 1))
    send(old("a"), now=THEN)
    assert "1 of the events are not yet billed" in refusal("2024-06-01")


def test_events_of_a_draft_or_a_verifiable_invoice_are_kept_and_later_go(tmp_path: Path) -> None:
    make_subscription(start_on=date(2024, 5, 1), end_on=date(2024, 6, 1))
    send(old("a"), now=THEN)
    with time_machine.travel(datetime(2024, 6, 1, 12, tzinfo=UTC)):
        close_period(Month(2024, 5), now=datetime(2024, 6, 1, 12, tzinfo=UTC), grace_days=20)
    assert "1 draft needs them" in refusal("2024-06-01")
    close_period(Month(2024, 5), now=NOW, grace_days=0)
    assert "1 invoice needs them (INV-2026-000001)" in refusal("2024-06-01")
    assert "choose 2024-04-30 or earlier" in refusal("2024-06-01")
    assert "choose 2024-04-30 or earlier" in refusal(
        "2024-05-01"
    )  # it is 1 May in Auckland before it is in UTC
    with time_machine.travel(datetime(2028, 12, 1, tzinfo=UTC)):
        assert "1 events archived" in prune("2024-06-01", "--yes", to=tmp_path)


def test_an_outcome_stays_while_the_invoice_of_the_month_it_settled_in_is_verifiable(tmp_path: Path) -> None:
    """Resolved on 30 May and held for 72 hours: June billed it, and May's invoice needs nothing any more."""
    make_meter(once_per_subject="period", verification_hours=Decimal(72))
    make_subscription(start_on=date(2024, 5, 1), end_on=date(2024, 7, 1))
    send(old("a", subject="t-1", occurred_at="2024-05-30T10:00:00Z"), now=THEN)
    close_period(Month(2024, 5), now=datetime(2024, 6, 1, 12, tzinfo=UTC), grace_days=0)
    close_period(Month(2024, 6), now=NOW, grace_days=0)
    assert [line.quantity for line in InvoiceLine.objects.order_by("period_start")] == [0, 1]
    assert "choose 2024-05-28 or earlier" in refusal("2024-06-01")
    assert Event.objects.filter(key="a").exists()


def test_levels_carry_over_so_their_events_stay(tmp_path: Path) -> None:
    make_free_events()
    make_meter("seats", type="weighted_sum")
    send(old("level", meter="seats", value="5"), now=THEN)
    assert "2 events archived" in prune("2024-06-01", "--yes", to=tmp_path)
    assert Event.objects.filter(key="level").exists()
    assert Customer.objects.exists()


def test_a_subject_that_counted_for_ever_stays_so_that_it_never_counts_again(tmp_path: Path) -> None:
    make_free_events()
    make_meter("tickets", once_per_subject="ever")
    make_meter("calls", once_per_subject="period")
    send(old("once", meter="tickets", subject="t-1"), old("each", meter="calls", subject="t-1"), now=THEN)
    fold_usage()
    settle_outcomes()
    assert SettledOutcome.objects.count() == 2
    assert "3 events archived" in prune("2024-06-01", "--yes", to=tmp_path)
    assert Event.objects.filter(key="once").exists()
    assert [str(each) for each in SettledOutcome.objects.values_list("meter__code", flat=True)] == ["tickets"]


def test_evidence_stays_while_an_outcome_counts_by_it(tmp_path: Path) -> None:
    """An outcome of June by a call of May, and one of May that counts once for ever; the call about nothing goes."""
    make_free_events()
    calls = make_meter("calls")
    make_meter("tickets", once_per_subject="period", evidence_meter=calls)
    make_meter("leads", once_per_subject="ever", evidence_meter=calls)
    worked = (old(f"call-{subject}", meter="calls", subject=subject) for subject in ("t-1", "l-1", "t-2"))
    send(*worked, old("call", meter="calls"), old("lead", meter="leads", subject="l-1"), now=THEN)
    send(old("ticket", meter="tickets", subject="t-1", occurred_at="2024-06-02T10:00:00Z"), now=THEN)
    assert "4 events archived" in prune("2024-06-01", "--yes", to=tmp_path)
    left = Event.objects.exclude(meter__code="tickets_resolved").values_list("key", flat=True)
    assert sorted(left) == ["call-l-1", "call-t-1", "lead", "ticket"]


def test_a_day_that_is_none_is_refused_by_name() -> None:
    assert "--before: “soon” is not a day" in refusal("soon")


@pytest.mark.django_db(transaction=True)
def test_outcomes_settled_anew_while_their_events_are_pruned_leave_no_note_without_an_event(
    tmp_path: Path,
) -> None:
    make_customer()
    make_meter(once_per_subject="period")
    send(old("a", subject="t-1"), old("b", subject="t-2"), now=THEN)
    send(event("c", subject="t-1"))
    fold_usage()
    settle_outcomes()
    before = datetime(2024, 6, 1, tzinfo=UTC)
    archive = archive_events(before, folder=tmp_path, now=NOW, on_progress=lambda done: None)
    deleted: list[int] = []

    def prune_too() -> None:
        try:
            deleted.append(delete_archived(archive, before=before, now=NOW, on_progress=lambda done: None))
        finally:
            connection.close()

    pruning = threading.Thread(target=prune_too)

    def when_all_are_noted(done: int, last: int) -> None:
        pruning.start()
        wait_until_it_waits(pruning)

    resettle_outcomes(on_progress=when_all_are_noted)
    pruning.join()
    assert (deleted, Event.objects.count()) == ([2], 1)
    assert list(outcomes_settled_right()) == []
    assert SettledOutcome.objects.count() == 1
