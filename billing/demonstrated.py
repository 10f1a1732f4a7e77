"""What happens in the demonstration: tickets, the calls and tokens behind each, and what was said about them later.

Every month of a customer has 40 calls, 80,000 input tokens and 10,000 output tokens for each ticket that counts. So
Acme's last closed month can be checked by hand: 120 tickets at $2.00 are $240.00; 4,800 calls, 9.6 and 1.2 million
tokens and the index cost 9.60 + 4.80 + 3.00 + 30.00 = $47.40, and $192.60 is left.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.months import Month
from metering.periods import Period

RESOLVED, CALLS, TOKENS = "tickets_resolved", "api_calls", "llm_tokens"
INDEX = "acme_index"
# How long a resolved ticket is held before it counts.
WINDOW = timedelta(hours=24)
# For each ticket that counts; who reopened one has used as much.
EACH = {"calls": 40, "input": 80_000, "output": 10_000}
# One in so many is reopened in time and never billed.
REOPENED = 25
# What goes in circles uses so many times as much.
IN_CIRCLES = 30
KINDS = ("question", "question", "refund", "technical")
CHANNELS = ("email", "chat", "chat", "phone")

Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class Story:
    """One customer and the tickets resolved for it in each closed month, oldest first, and so far in this one."""

    code: str
    name: str
    email: str
    timezone: str
    closed: tuple[int, int, int]
    running: int
    address: str = ""


STORIES = (
    Story("acme", "Acme Outdoor Gear", "billing@acme.example", "America/New_York", (74, 95, 120), 63,
          "214 Harbor Street\nPortland, ME 04101\nUnited States"),
    Story("globex", "Globex Travel", "accounts@globex.example", "Europe/Berlin", (32, 41, 50), 22,
          "Lindenallee 8\n10115 Berlin\nGermany"),
    Story("initech", "Initech Software", "finance@initech.example", "UTC", (0, 3, 1), 4),
    Story("umbrella", "Umbrella Bikes", "office@umbrella.example", "Pacific/Auckland", (12, 0, 0), 0,
          "5 Queen Street\nAuckland 1010\nNew Zealand"),
)  # fmt: skip


def events_of(story: Story, *, months: Sequence[Month], now: datetime) -> Iterator[Event]:
    """Give the events of one customer that were known when its months were closed."""
    chance = random.Random(story.code)  # noqa: S311 - the same demonstration every time, nothing secret
    spans = [Period(month.first, month.following, story.timezone) for month in months]
    for count, span in zip(story.closed, spans, strict=True):
        # Everything happens and settles within the month, in every time zone.
        yield from _month(story, span.start, (span.start + WINDOW, span.end - 2 * WINDOW), count, chance)
    yield from _month(story, spans[-1].end, (spans[-1].end, now), story.running, chance)


def reopened_later(*, months: Sequence[Month], now: datetime) -> list[Event]:
    """Give two tickets of Acme's last month but one that were reopened today, long after their invoice."""
    acme = STORIES[0]
    start = Period(months[-2].first, months[-2].following, acme.timezone).start
    return [
        {
            "key": f"demo-acme-{_subject(start, n)}-late",
            "meter": RESOLVED,
            "customer": acme.code,
            "occurred_at": now.isoformat(),
            "reverses": {"subject": _subject(start, n)},
        }
        for n in (1, 2)
    ]


def _month(
    story: Story, start: datetime, between: tuple[datetime, datetime], count: int, chance: random.Random
) -> Iterator[Event]:
    reopened = count // REOPENED
    tickets = count + reopened
    # The first ten are left out: guides and the tickets reopened later speak of them.
    not_for_good = set(chance.sample(range(10, tickets), reopened)) if reopened else set()
    heavy = [
        IN_CIRCLES if story.code == "initech" or (story.code == "acme" and n == 6) else 1
        for n in range(tickets)
    ]
    times = IN_CIRCLES if story.code == "initech" else 1
    used = {
        name: _spread(each * count * times, [chance.randint(20, 60) * factor for factor in heavy])
        for name, each in EACH.items()
    }
    step = (between[1] - between[0]) / max(tickets, 1)
    for n in range(tickets):
        at = between[0] + step * n + step * chance.random()
        subject = _subject(start, n)
        yield from _activity(story, subject, at, {name: amounts[n] for name, amounts in used.items()})
        yield _resolved(story, subject, at, chance)
        if n in not_for_good:
            yield from _said(story, subject, "reverses", at + WINDOW * chance.uniform(0.1, 0.9), between[1])
        elif n % 5 == 4:
            yield from _said(story, subject, "confirms", at + WINDOW * chance.uniform(0.1, 0.5), between[1])
        elif n == 11 and at + 1.5 * WINDOW < between[1]:
            # Resolved a second time: its ticket counts once.
            yield _resolved(story, subject, at + 1.5 * WINDOW, chance) | {
                "key": f"demo-{story.code}-{subject}-again"
            }


def _subject(start: datetime, n: int) -> str:
    return f"ticket-{start:%Y%m}-{n + 1}"


def _resolved(story: Story, subject: str, at: datetime, chance: random.Random) -> Event:
    return {
        "key": f"demo-{story.code}-{subject}-resolved", "meter": RESOLVED, "customer": story.code, "value": "1",
        "occurred_at": at.isoformat(), "subject": subject, "workload": "support_bot",
        "dimensions": {"channel": chance.choice(CHANNELS), "kind": chance.choice(KINDS)},
    }  # fmt: skip


def _activity(story: Story, subject: str, at: datetime, used: dict[str, int]) -> Iterator[Event]:
    """Give the calls and tokens that led to a ticket, a little before it."""
    key = f"demo-{story.code}-{subject}"
    common: Event = {
        "customer": story.code, "occurred_at": (at - timedelta(minutes=2)).isoformat(), "subject": subject,
    }  # fmt: skip
    yield common | {
        "key": f"{key}-calls", "meter": CALLS, "value": str(used["calls"]),
        "workload": INDEX if story.code == "acme" else "retrieval",
    }  # fmt: skip
    for kind in ("input", "output"):
        yield common | {
            "key": f"{key}-{kind}", "meter": TOKENS, "value": str(used[kind]),
            "workload": "support_bot", "dimensions": {"model": "model-a", "type": kind},
        }  # fmt: skip


def _said(story: Story, subject: str, what: str, at: datetime, until: datetime) -> Iterator[Event]:
    """Say something about a ticket, unless it is still to come."""
    if at < until:
        yield {
            "key": f"demo-{story.code}-{subject}-{what}", "meter": RESOLVED, "customer": story.code,
            "occurred_at": at.isoformat(), what: {"subject": subject},
        }  # fmt: skip


def _spread(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total in proportion to weights, exactly."""
    whole = sum(weights)
    parts, running, given = [], 0, 0
    for weight in weights:
        running += weight
        parts.append(total * running // whole - given)
        given += parts[-1]
    return parts
