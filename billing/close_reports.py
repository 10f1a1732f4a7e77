"""How a month is closed, and what that did.

Counts and totals are of the whole; drafts only of one chunk at a time, so that memory stays flat.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from billing.drafts import AnyDraft
from billing.holding import Review
from billing.months import Month
from customers.models import Customer


@dataclass(frozen=True, slots=True)
class CloseTerms:
    """How a month is closed. `grace_days` 0 issues at once; `dry_run` writes nothing."""

    month: Month
    now: datetime
    grace_days: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A customer that could not be billed. `code` is stable, `message` says why and what to do."""

    customer: Customer
    code: str
    message: str


@dataclass(slots=True)
class ChunkResult:
    """What came of one chunk of customers. `drafts` are those drawn up, stored unless it was a dry run.

    Parts are inside the consolidated ones.
    """

    drafts: list[AnyDraft] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    issued: int = 0
    drafted: int = 0
    held: int = 0
    unchanged: int = 0
    not_over: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)

    def without_drafts(self) -> ChunkResult:
        """Give the counts and totals, and the reviews that hold something: what is cheap to hand on."""
        return replace(self, drafts=[], reviews=[review for review in self.reviews if review.held])

    def count_total(self, amount: Decimal, currency: str) -> None:
        self.totals[currency] = self.totals.get(currency, Decimal(0)) + amount

    def add(self, other: ChunkResult) -> None:
        self.drafts += other.drafts
        self.failures += other.failures
        self.reviews += other.reviews
        self.held += other.held
        self.issued += other.issued
        self.drafted += other.drafted
        self.unchanged += other.unchanged
        self.not_over += other.not_over
        for currency, amount in other.totals.items():
            self.count_total(amount, currency)


@dataclass(slots=True)
class CloseReport:
    """What a close did, or with `dry_run` would do, without the drafts. Totals are in major units, by currency.

    `held` invoices wait for approval. `done` of `total` subscriptions were looked at so far.
    """

    month: Month
    dry_run: bool
    total: int = 0
    done: int = 0
    issued: int = 0
    drafted: int = 0
    held: int = 0
    unchanged: int = 0
    not_over: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def found_nothing_over(self) -> bool:
        """Tell whether the month is not over for any customer that has a plan."""
        return bool(self.not_over) and not (
            self.issued or self.drafted or self.held or self.unchanged or self.failures
        )

    def add(self, chunk: ChunkResult, *, subscriptions: int) -> None:
        self.done += subscriptions
        self.issued += chunk.issued
        self.drafted += chunk.drafted
        self.held += chunk.held
        self.unchanged += chunk.unchanged
        self.not_over += chunk.not_over
        self.failures += chunk.failures
        for currency, amount in chunk.totals.items():
            self.totals[currency] = self.totals.get(currency, Decimal(0)) + amount
