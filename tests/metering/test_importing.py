"""`manage.py import_events`: files of any size, resumed after anything, with a report of what was not accepted."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from metering import importing
from metering.importing import Totals
from metering.models import Event, EventBatch
from tests.factories import event, make_customer, make_meter

HEADER = "key,meter,customer,occurred_at,value,dimensions.channel"


@pytest.fixture(autouse=True)
def story(fresh: None, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_meter(dimensions=["channel"])
    make_customer()
    monkeypatch.setattr(importing, "BATCH_LINES", 10)


def row(key: str, *, value: str = "1", customer: str = "acme") -> str:
    return f"{key},tickets_resolved,{customer},2026-10-03T10:00:00Z,{value},email"


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """25 tickets in three batches."""
    path = tmp_path / "october.csv"
    path.write_text("\n".join([HEADER, *(row(f"evt-{n}") for n in range(25))]) + "\n")
    return path


def run(*arguments: object) -> tuple[int, str]:
    """Run the command; give its exit status and its last line."""
    out = io.StringIO()
    try:
        call_command("import_events", *map(str, arguments), stdout=out, stderr=io.StringIO())
    except CommandError as refused:
        return refused.returncode, str(refused)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue().splitlines()[-1]
    return 0, out.getvalue().splitlines()[-1]


def reported(path: Path) -> list[list[str]]:
    with path.with_name(f"{path.name}.not-accepted.csv").open() as file:
        return list(csv.reader(file))


def stop_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the database fail after some batches, as one that is shut down does."""
    real: Callable[..., Any] = importing.record_events
    left = iter(range(batches))

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise OperationalError("the server is gone")
        return real(*arguments, **options)

    monkeypatch.setattr(importing, "record_events", failing)


def test_every_line_of_a_csv_file_is_an_event(csv_file: Path) -> None:
    status, said = run(csv_file)
    assert (status, Event.objects.filter(source="import").count()) == (0, 25)
    assert said == (
        f"{csv_file}: 25 lines: 25 accepted, 0 duplicates, 0 conflicts, 0 unmatched, 0 rejected."
    ).replace("25 lines", "26 lines")
    assert reported(csv_file) == [["line", "key", "status", "code", "field", "message"]]
    assert EventBatch.objects.count() == 3


def test_a_second_run_finds_duplicates_only(csv_file: Path) -> None:
    run(csv_file)
    status, said = run(csv_file)
    assert (status, Event.objects.count()) == (0, 25)
    assert "0 accepted, 25 duplicates" in said


def test_ndjson_packed_with_gzip_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "october.ndjson.gz"
    lines = [json.dumps(event(f"evt-{n}")) for n in range(12)]
    path.write_bytes(
        gzip.compress("\n".join(lines[:6]).encode() + b"\n") + gzip.compress("\n".join(lines[6:]).encode())
    )
    status, said = run(path)
    assert (status, Event.objects.count()) == (0, 12)
    assert "12 accepted" in said


def test_standard_input_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, csv_file: Path) -> None:
    monkeypatch.chdir(tmp_path)
    reading, writing = os.pipe()
    os.write(writing, csv_file.read_bytes())
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        status, said = run("-", "--source", "crm")
    assert (status, Event.objects.filter(source="crm").count()) == (0, 25)
    assert said.startswith("-: 26 lines: 25 accepted")
    assert not list(tmp_path.glob("*.progress"))


def test_what_was_not_accepted_is_reported_by_line_key_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_bytes(
        "\n".join(
            [
                HEADER,
                row("good"),
                row("bad", value="many"),
                "",
                row("lost", customer="nobody"),
                row("=1+1", value="x"),
            ]
        ).encode()
        + b"\n\xff\n"
        + row("good", value="2").encode()
    )
    status, said = run(path)
    assert status == 1
    assert "1 accepted, 0 duplicates, 1 conflicts, 1 unmatched, 3 rejected" in said
    assert [each[:4] for each in reported(path)[1:]] == [
        ["3", "bad", "rejected", "invalid_value"],
        ["5", "lost", "unmatched", "unknown_customer"],
        ["6", "'=1+1", "rejected", "invalid_value"],
        ["7", "", "rejected", "invalid_text"],
        ["8", "good", "conflict", "key_conflict"],
    ]
    assert all(each[5] for each in reported(path))


def test_a_line_without_key_is_not_accepted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sent = event("x")
    del sent["key"]
    path.write_text(json.dumps(sent))
    assert run(path)[0] == 1
    assert reported(path)[1][:4] == ["1", "", "rejected", "key_required"]


def test_an_endless_line_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join([json.dumps(event("a")), "x" * 3_000_000, json.dumps(event("b"))]))
    assert run(path)[0] == 1
    assert Event.objects.count() == 2
    assert reported(path)[1][:4] == ["2", "", "rejected", "line_too_long"]


# ---- going on ------------------------------------------------------------------------------------------


def test_an_interrupted_import_goes_on_where_it_stopped(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = csv_file.read_text().replace("evt-3,", "evt-3,x").replace("evt-22,", "evt-22,x")
    csv_file.write_text(lines)
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        assert run(csv_file) == (
            3,
            "The database failed: the server is gone. Run the same command again to go on.",
        )
    assert EventBatch.objects.count() == 2
    status, said = run(csv_file)
    assert EventBatch.objects.count() == 3
    assert status == 1
    assert "26 lines, of which 21 by an earlier run: 23 accepted, 0 duplicates" in said
    assert [each[:2] for each in reported(csv_file)[1:]] == [["5", "evt-3"], ["24", "evt-22"]]
    assert not list(csv_file.parent.glob("*.progress*"))


def test_a_file_that_changed_is_read_from_its_beginning(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        run(csv_file)
    csv_file.write_text(csv_file.read_text().replace("evt-0", "new-0"))
    status, said = run(csv_file)
    assert (status, Event.objects.count()) == (0, 26)
    assert "26 lines: 16 accepted, 9 duplicates" in said


def test_a_database_that_lost_the_last_batch_gets_everything_again(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        run(csv_file)
    progress = next(csv_file.parent.glob("*.progress"))
    kept = json.loads(progress.read_text())
    progress.write_text(json.dumps(kept | {"batch": "0" * 32}))  # as after restoring an older backup
    status, said = run(csv_file)
    assert (status, Event.objects.count()) == (0, 25)
    assert "15 accepted, 10 duplicates" in said


def test_another_source_does_not_go_on_with_the_work_of_the_first(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        run(csv_file)
    assert "25 accepted" in run(csv_file, "--source", "crm")[1]


def test_what_stands_before_a_cut_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_LINES", 500)
    path = tmp_path / "cut.ndjson.gz"
    # Random keys, so that the packed file has several blocks to be cut between.
    lines = [json.dumps(event(os.urandom(40).hex())) for _ in range(3_000)]
    whole = gzip.compress("\n".join(lines).encode())
    path.write_bytes(whole[: len(whole) // 2])
    status, said = run(path)
    assert status == 2
    assert "cannot be read after line" in said
    stored = Event.objects.count()
    assert 0 < stored < 3_000
    path.write_bytes(whole)
    status, said = run(path)
    assert (status, Event.objects.count()) == (0, 3_000)
    assert f"of which {stored:,} by an earlier run" in said


# ---- files that cannot be used -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty."),
        (b"\x1f\x8bno gzip", "cannot be read after line 0"),
        (b"key,meter\n", "Line 1: The column customer is missing."),
        (b"colour\n", "Line 1: 'colour' is not a column of events."),
        (b"\xff\n", "Line 1: The header is not UTF-8 text."),
    ],
)
def test_an_unusable_file_ends_with_status_2_and_its_reason(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "events"
    path.write_bytes(content)
    status, said = run(path)
    assert status == 2
    assert sentence in said
    assert not EventBatch.objects.exists()


def test_a_missing_file_and_a_folder_are_unusable(tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere.csv")[0] == 2
    assert run(tmp_path)[0] == 2


def test_a_source_too_long_is_refused(csv_file: Path) -> None:
    status, said = run(csv_file, "--source", "s" * 101)
    assert status == 2
    assert said.startswith("--source:")


def test_a_header_alone_is_a_file_of_no_events(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text(HEADER)
    assert run(path)[0] == 0


def test_two_imports_cannot_write_one_report(csv_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second: list[tuple[int, str]] = []
    real = importing.record_events

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        if not second:
            second.append((0, ""))
            second[0] = run(csv_file)
        return real(*arguments, **options)

    monkeypatch.setattr(importing, "record_events", meanwhile)
    assert run(csv_file)[0] == 0
    assert second[0][0] == 2
    assert "Another import is writing" in second[0][1]


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_LINES", 1_000)
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write(HEADER + "\n")
        file.writelines(row(f"evt-{n}") + "\n" for n in range(20_000))
    seen: list[int] = []
    real: Callable[..., Any] = importing.import_events

    def watched(plan: Any, *, clock: Any, on_progress: Callable[[Totals], None]) -> Totals:
        def look(totals: Totals) -> None:
            seen.append(tracemalloc.get_traced_memory()[0])
            on_progress(totals)

        return real(plan, clock=clock, on_progress=look)

    monkeypatch.setattr("metering.management.commands.import_events.import_events", watched)
    tracemalloc.start()
    try:
        assert run(path)[0] == 0
    finally:
        tracemalloc.stop()
    assert len(seen) == 20
    assert seen[-1] < seen[2] + 1024 * 1024
