"""Running the checks and keeping what they found: asked for in the admin, by a command or by the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from billing.auditing import Equation, audit
from billing.models import CheckKind, CheckRun
from billing.months import Month
from billing.verification import invoices_to_verify, verify

KEPT = 200  # findings kept of one run; a command names all of them


@dataclass(frozen=True, slots=True)
class LastRuns:
    """The latest run of a check, asked for or done, the latest that came to an end, and the latest clean one of all."""

    latest: CheckRun | None
    finished: CheckRun | None
    clean: CheckRun | None


def ask_for_check(kind: CheckKind, *, by: str, now: datetime, scope: str = "") -> CheckRun:
    """Write down that a check is wanted. A run over a `scope` in words is not one over everything."""
    return CheckRun.objects.create(kind=kind, asked_by=by, asked_at=now, scope=scope, whole=not scope)


def run_check(run: CheckRun) -> CheckRun:
    """Run what was asked for, over everything."""
    if run.kind == CheckKind.AUDIT:
        return run_audit(run)
    run_verification(run)
    return run


def run_audit(run: CheckRun, *, on_progress: Callable[[Equation], None] | None = None) -> CheckRun:
    """Ask every equation and keep the answers."""
    _start(run)
    try:
        answers = audit(on_progress=on_progress)
    except Exception as problem:
        _fail(run, problem)
        raise
    run.checked = len(answers)
    run.differing = sum(1 for answer in answers if answer.differences)
    run.findings = [
        {
            "code": answer.equation.code,
            "words": answer.equation.words,
            "differences": answer.differences,
            "named": list(answer.named),
        }
        for answer in answers
    ]
    return _finish(run)


def run_verification(
    run: CheckRun,
    *,
    month: Month | None = None,
    customer_codes: Sequence[str] = (),
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Compute issued invoices again and keep what differs; give every difference in words."""
    _start(run)
    try:
        invoices = invoices_to_verify(month=month, customer_codes=customer_codes)
        verified = verify(invoices, processes=processes, on_progress=on_progress)
    except Exception as problem:
        _fail(run, problem)
        raise
    run.checked = verified.checked
    run.differing = verified.differing
    run.not_computable = verified.not_computable
    if verified.differing:
        run.findings = [
            {
                "code": "same_to_the_cent",
                "words": "An invoice computed again comes to the same cents.",
                "differences": verified.differing,
                "named": verified.differences[:KEPT],
            }
        ]
    _finish(run)
    return verified.differences


def last_runs(kind: CheckKind) -> LastRuns:
    """Give the runs that a page shows of a check."""
    runs = CheckRun.objects.filter(kind=kind)
    ended = runs.exclude(finished_at=None)
    return LastRuns(
        runs.first(),
        ended.first(),
        ended.filter(whole=True, differing=0, failure="").first(),
    )


def failed_checks() -> list[CheckRun]:
    """Give the last whole run of each check where it found a difference or came to no end: the dashboard's alarm."""
    found = []
    for kind in CheckKind:
        last = CheckRun.objects.filter(Q(whole=True), kind=kind).exclude(finished_at=None).first()
        if last is not None and not last.is_clean:
            found.append(last)
    return found


def _start(run: CheckRun) -> None:
    run.started_at = timezone.now()
    run.save(update_fields=["started_at"])


def _finish(run: CheckRun) -> CheckRun:
    run.finished_at = timezone.now()
    run.save()
    return run


def _fail(run: CheckRun, problem: Exception) -> None:
    run.failure = f"{type(problem).__name__}: {problem}"[:2_000]
    _finish(run)
