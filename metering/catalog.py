"""The ids behind the codes that events use, remembered: what a meter asks for for seconds, plain ids for minutes.

Only what exists is remembered: meters and customers are never deleted and never renamed, so an id once seen
stays right; a code that is unknown now is looked up again each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from customers.models import Customer
from metering.meter_types import Need, need_of
from metering.models import Meter, MeterStatus, WorkloadName

REMEMBER_SECONDS = 5.0  # what a meter asks of events may change
REMEMBER_IDS_SECONDS = 600.0  # an id never does
REMEMBER_AT_MOST = 200_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KnownMeter:
    """What ingestion must know of a meter: what an event has to carry, and whether its value may be
    negative.
    """

    id: int
    need: Need
    value_dimension: str
    refuses_negative: bool
    is_outcome: bool = False


class Remembered(Generic[T]):
    """Values by code, looked up in the database again after so many seconds."""

    def __init__(self, look_up: Callable[[list[str]], dict[str, T]], *, seconds: float) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._known: dict[str, T] = {}
        self._forget_at = 0.0

    def find(self, codes: Iterable[str]) -> Mapping[str, T]:
        """Give what is known by code, at least for these codes as far as they exist. One query at most."""
        clock = time.monotonic()
        if clock >= self._forget_at or len(self._known) > REMEMBER_AT_MOST:
            self._known = {}
            self._forget_at = clock + self._seconds
        known = self._known
        missing = set(codes).difference(known)
        if missing:
            known.update(self._look_up(list(missing)))
        return known

    def forget(self) -> None:
        """Look everything up again, as tests need after a rollback."""
        self._known = {}


def _meters(codes: list[str]) -> dict[str, KnownMeter]:
    rows = Meter.objects.filter(code__in=codes).exclude(status=MeterStatus.DRAFT)
    return {
        meter.code: KnownMeter(
            meter.pk,
            need_of(meter.type, meter.value_dimension, meter.once_per_subject),
            meter.value_dimension,
            meter.refuses_negative,
            meter.is_outcome,
        )
        for meter in rows.only(
            "code",
            "type",
            "value_dimension",
            "allow_negative",
            "once_per_subject",
            "verification_hours",
            "evidence_meter",
        )
    }


def _customers(codes: list[str]) -> dict[str, int]:
    return dict(Customer.objects.filter(code__in=codes).values_list("code", "id"))


def _workload_names(names: list[str]) -> dict[str, int]:
    return dict(WorkloadName.objects.filter(name__in=names).values_list("name", "id"))


meters = Remembered(_meters, seconds=REMEMBER_SECONDS)
customers = Remembered(_customers, seconds=REMEMBER_IDS_SECONDS)
_named_workloads = Remembered(_workload_names, seconds=REMEMBER_IDS_SECONDS)


def workload_names(names: Iterable[str], *, now: datetime) -> Mapping[str, int]:
    """Give the ids of workload names, writing down those never seen before."""
    wanted = set(names)
    if not wanted:
        return {}
    known = _named_workloads.find(wanted)
    unseen = wanted.difference(known)
    if unseen:
        WorkloadName.objects.bulk_create(
            [WorkloadName(name=name, first_seen_at=now) for name in sorted(unseen)],
            ignore_conflicts=True,
        )
        known = _named_workloads.find(wanted)
    return known


def forget() -> None:
    """Forget everything remembered."""
    meters.forget()
    customers.forget()
    _named_workloads.forget()
