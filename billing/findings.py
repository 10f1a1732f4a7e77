"""What is unusual about an invoice, beside the one before it and beside what the portal showed: pure comparisons."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.formatting import money
from billing.models import FindingKind

# Fees say the days they are for where they are not for all: it is the same line.
DAYS = re.compile(r" \(\d+ of \d+ days\)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a person may want to look at. Amounts are in major units; `subject` names the line or meter."""

    kind: str
    subject: str
    before: Decimal | None
    now: Decimal | None
    holds: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.subject

    @property
    def weight(self) -> Decimal:
        return abs((self.now or Decimal(0)) - (self.before or Decimal(0)))

    def as_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "subject": self.subject,
            "before": None if self.before is None else f"{self.before:f}",
            "now": None if self.now is None else f"{self.now:f}",
            "holds": self.holds,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Finding:
        before, now = stored["before"], stored["now"]
        return cls(
            str(stored["kind"]),
            str(stored["subject"]),
            None if before is None else Decimal(str(before)),
            None if now is None else Decimal(str(now)),
            bool(stored["holds"]),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """When a difference is a jump: at least `factor` times as much, or as little, and at least `amount` apart."""

    factor: int
    amount: int
    holds: frozenset[str]

    def is_jump(self, before: Fraction, now: Fraction) -> bool:
        if before <= 0 or abs(now - before) < self.amount:
            return False
        return now >= before * self.factor or now * self.factor <= before


@dataclass(frozen=True, slots=True)
class Bill:
    """One invoice as it is compared. `lines` are usage and fees by name: quantity and amount."""

    total: Decimal
    days: int
    lines: Mapping[tuple[str, str], tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class Shown:
    """The total that the portal showed last; `final` when the period was over by then."""

    total: Decimal
    final: bool


def line_name(kind: str, description: str) -> tuple[str, str]:
    """Name a line so that it is the same in the next period."""
    return kind, DAYS.sub("", description)


def compare(now: Bill, before: Bill | None, shown: Shown | None, limits: Limits) -> list[Finding]:
    """Give what is unusual about an invoice. `before` is the one of the period before, None for the first."""

    def finding(
        kind: str, subject: str, was: Decimal | None, amount: Decimal | None, serious: bool = True
    ) -> Finding:
        return Finding(kind, subject, was, amount, holds=serious and kind in limits.holds)

    found: list[Finding] = []
    if before is not None:
        # A period of other length is compared as if it had as many days.
        expected = Fraction(before.total) * now.days / before.days
        if limits.is_jump(expected, Fraction(now.total)):
            found.append(finding(FindingKind.JUMP, "", before.total, now.total))
        for name, (quantity, amount) in before.lines.items():
            if name not in now.lines:
                found.append(finding(FindingKind.VANISHED, name[1], amount, None))
            elif name[0] == "usage" and quantity and not now.lines[name][0]:
                found.append(finding(FindingKind.STOPPED, name[1], amount, now.lines[name][1]))
        found += [
            finding(FindingKind.NEW, name[1], None, amount)
            for name, (_, amount) in now.lines.items()
            if name not in before.lines
        ]
    if not now.total:
        found.append(finding(FindingKind.ZERO, "", before.total if before else None, now.total))
    # While a period runs its total grows, so only a smaller one differs; afterwards it should be the same.
    if shown is not None and (now.total != shown.total if shown.final else now.total < shown.total):
        serious = limits.is_jump(Fraction(shown.total), Fraction(now.total))
        found.append(finding(FindingKind.PORTAL, "", shown.total, now.total, serious))
    elif shown is not None and limits.is_jump(Fraction(shown.total), Fraction(now.total)):
        found.append(finding(FindingKind.PORTAL, "", shown.total, now.total))
    return found


def is_approved(found: Finding, approved: Collection[Finding], limits: Limits) -> bool:
    """Tell whether a person has approved this: the same thing, and not much more or less money since."""
    for each in approved:
        if each.key == found.key:
            return not limits.is_jump(Fraction(each.now or 0), Fraction(found.now or 0))
    return False


def sentence(found: Finding, currency: str) -> str:
    """Say a finding as a person would."""
    was = "nothing" if found.before is None else money(found.before, currency)
    now = "nothing" if found.now is None else money(found.now, currency)
    match found.kind:
        case FindingKind.JUMP:
            return f"{was} in the period before, {now} now"
        case FindingKind.PORTAL:
            return f"the portal last showed {was}, the invoice says {now}"
        case FindingKind.LOST_PRICE:
            return f"{found.subject} was billed before, and no plan of the customer prices it now"
        case FindingKind.MISSING_PRICE:
            return f"{found.subject} was used, and no plan of the customer prices it"
        case FindingKind.STOPPED:
            return f"{found.subject} stopped: {was} in the period before"
        case FindingKind.VANISHED:
            return f"{found.subject} is no longer on the invoice: {was} in the period before"
        case FindingKind.NEW:
            return f"{found.subject} is new: {now}"
        case _:
            return "nothing to pay" + (f", {was} in the period before" if found.before else "")
