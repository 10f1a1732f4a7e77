"""Which outcomes count: a pure function of the times of events, the same whatever arrived when.

metering.outcome_statements does this for many customers at once; here it is in plain steps, for one subject's page and
for checking. An outcome settles when its window is over, or when it was confirmed if that is sooner. It is
reversed by the first signal about it that is not earlier: one that names its key, or one that names its subject. An
outcome that nothing reversed stands. Of a subject's standing outcomes the first to settle counts, where a subject
counts once; without evidence by then an outcome never counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from metering.meter_types import OncePerSubject, Signal

# What names the billing period that an instant of a customer lies in.
PeriodOf = Callable[[int, datetime], object]


class OutcomeState(StrEnum):
    """Where an outcome stands at an instant."""

    PENDING = "pending"
    SETTLED = "settled"
    REVERSED = "reversed"
    REPEATED = "repeated"
    UNPROVEN = "unproven"
    # Said by whoever bills them, on top of what the events say.
    DISPUTED = "disputed"
    CREDITED = "credited"


@dataclass(frozen=True, slots=True)
class OutcomeFact:
    """An event on an outcome meter: an outcome, or a signal about one. `subject` is the signal's too."""

    id: UUID
    customer_id: int
    occurred_at: datetime
    subject: str | None
    value: Decimal | None = None
    signal: str | None = None
    target_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an outcome, and the events that decided it."""

    fact: OutcomeFact
    settles_at: datetime
    confirmed_by: OutcomeFact | None
    reversed_by: OutcomeFact | None
    is_proven: bool
    repeats: OutcomeFact | None

    @property
    def counts(self) -> bool:
        """Whether it is billed in the period in which it settles."""
        return self.reversed_by is None and self.is_proven and self.repeats is None

    def state(self, now: datetime) -> OutcomeState:
        """Give the state at an instant. A reversal that is known holds, also while the window is still open."""
        if self.reversed_by is not None:
            return OutcomeState.REVERSED
        if self.settles_at > now:
            return OutcomeState.PENDING
        if not self.is_proven:
            return OutcomeState.UNPROVEN
        return OutcomeState.SETTLED if self.repeats is None else OutcomeState.REPEATED

    def reason(self, now: datetime) -> str:
        """Say in a sentence why the state is what it is."""
        match self.state(now):
            case OutcomeState.REVERSED:
                assert self.reversed_by is not None
                when = self.reversed_by.occurred_at
                before = "before it settled" if when < self.settles_at else "after it had settled"
                return f"Reversed at {_instant(when)}, {before}."
            case OutcomeState.PENDING:
                return f"Pending until {_instant(self.settles_at)}, unless it is reversed before."
            case OutcomeState.UNPROVEN:
                return "No activity for its subject by the time it settled."
            case OutcomeState.REPEATED:
                assert self.repeats is not None
                return f"Its subject counts once: by the outcome of {_instant(self.repeats.occurred_at)}."
            case OutcomeState.SETTLED if self.confirmed_by is not None:
                return f"Confirmed at {_instant(self.confirmed_by.occurred_at)}."
        return f"Held until {_instant(self.settles_at)}."


def settle(
    facts: Sequence[OutcomeFact],
    *,
    once: OncePerSubject,
    window: timedelta,
    replaced: Mapping[UUID, UUID] | None = None,
    worked_at: Mapping[tuple[int, str], datetime] | None = None,
    period_of: PeriodOf | None = None,
) -> list[Settlement]:
    """Settle the outcomes among `facts`, in the order of their times; signals are among the facts.

    `replaced` leads from an amended event to the one in its place; `worked_at` gives the first activity of each
    customer and subject, None where no evidence is asked for. `period_of` names the period in which a subject counts
    once, where it does not count once for ever.
    """
    signals = _by_target(facts, replaced or {})
    outcomes = sorted(
        (fact for fact in facts if fact.signal is None), key=lambda fact: (fact.occurred_at, fact.id)
    )
    settled = []
    for fact in outcomes:
        about = [
            *signals.get((fact.customer_id, fact.id), ()),
            *(
                signal
                for signal in signals.get((fact.customer_id, fact.subject), ())
                if signal.occurred_at >= fact.occurred_at
            ),
        ]
        confirmed_by = _first(about, Signal.CONFIRMS)
        settles_at = fact.occurred_at + window
        if confirmed_by is not None:
            settles_at = min(settles_at, max(confirmed_by.occurred_at, fact.occurred_at))
        proven = worked_at is None or (
            fact.subject is not None
            and (worked := worked_at.get((fact.customer_id, fact.subject))) is not None
            and worked <= settles_at
        )
        settled.append(
            Settlement(fact, settles_at, confirmed_by, _first(about, Signal.REVERSES), proven, None)
        )
    return settled if once is OncePerSubject.NEVER else _once_each(settled, period_of=period_of)


def _once_each(settled: Collection[Settlement], *, period_of: PeriodOf | None) -> list[Settlement]:
    first: dict[tuple[int, str | None, object], OutcomeFact] = {}
    repeats: dict[UUID, OutcomeFact] = {}
    for each in sorted(settled, key=lambda s: (s.settles_at, s.fact.occurred_at, s.fact.id)):
        if not each.counts:
            continue
        customer, subject = each.fact.customer_id, each.fact.subject
        key = (customer, subject, period_of(customer, each.settles_at) if period_of else None)
        if key in first:
            repeats[each.fact.id] = first[key]
        else:
            first[key] = each.fact
    return [replace(each, repeats=repeats.get(each.fact.id)) for each in settled]


def _by_target(
    facts: Sequence[OutcomeFact], replaced: Mapping[UUID, UUID]
) -> dict[tuple[int, UUID | str | None], list[OutcomeFact]]:
    """Give the signals by customer and what they are about: a subject, or an outcome and those in its place."""
    found: dict[tuple[int, UUID | str | None], list[OutcomeFact]] = {}
    for fact in facts:
        if fact.signal is None:
            continue
        if fact.target_id is None:
            found.setdefault((fact.customer_id, fact.subject), []).append(fact)
        target: UUID | None = fact.target_id
        while target is not None:
            found.setdefault((fact.customer_id, target), []).append(fact)
            target = replaced.get(target)
    return found


def _first(signals: Sequence[OutcomeFact], kind: Signal) -> OutcomeFact | None:
    return min(
        (each for each in signals if each.signal == kind),
        key=lambda each: (each.occurred_at, each.id),
        default=None,
    )


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
