"""Months of three customers at random, in any order: everything is billed once, and what was issued stays.

Plans of several kinds change, pause and end; events come late, are voided, amended, reversed, disputed; months are
closed in any order, at any time, by closers that are killed; invoices are voided, credited, paid, written off. In the
end all is closed, and what each customer was billed is what plain Python says (tests.stories.world_sums).
"""

from __future__ import annotations

from random import Random

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering import catalog
from tests.stories.world import CURRENCIES, ZONES, World
from tests.stories.world_sums import RATES

EXAMPLES = 12
PLANS = sorted(RATES)


@pytest.mark.django_db
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_everything_is_billed_once_whatever_the_order(seed: int) -> None:
    before = transaction.savepoint()
    catalog.forget()
    try:
        live(Random(seed))
    finally:
        transaction.savepoint_rollback(before)
        catalog.forget()


def live(chance: Random) -> None:
    """Let a world go through two to four months, then close everything and compare."""
    world = World()
    begin(world, chance)
    for _ in range(chance.randint(2, 4)):
        for _ in range(chance.randint(2, 6)):
            an_event(world, chance)
        for _ in range(chance.randint(0, 3)):
            a_change(world, chance)
        world.time_passes(days=chance.choice([10, 17, 31, 31]), hours=chance.randrange(24))
        if chance.random() < 0.15:
            at = chance.choice(["settle_changes", "issue_unwritten", "store_lines", "park", "clear"])
            world.closer_is_killed(back=chance.randint(0, 1), at=at, whole=chance.randrange(2))
        for back in chance.choice([[1], [1, 0], [0], [2, 1], [1]]):
            world.month_is_closed(back=back, grace=chance.choice([0, 0, 0, 5]))
        for _ in range(chance.randint(0, 3)):
            money(world, chance)
    world.settle_everything()


def begin(world: World, chance: Random) -> None:
    world.begin(
        zones=[chance.choice(ZONES) for _ in range(3)],
        plans=[chance.choice(PLANS) for _ in range(3)],
        currency=chance.choice(CURRENCIES),
        family=chance.random() < 0.3,
        taxed=chance.random() < 0.5,
        days=[chance.choice([0, 0, chance.randrange(46)]) for _ in range(3)],
        anniversary=chance.random() < 0.3,
        trial=chance.choice([0, 0, 0, 9]),
    )


def an_event(world: World, chance: Random) -> None:
    """Something is used, now or months ago; or what was used is taken back, replaced, reversed, confirmed."""
    customer, subject = chance.randrange(3), chance.randint(1, 4)
    hours_ago = chance.choice([chance.randrange(48), chance.randrange(900), chance.randrange(2500)])
    what = chance.random()
    if what < 0.4:
        value = chance.choice(["1", "2.5", "12", "0.001", "30"])
        world.usage_arrives(customer=customer, hours_ago=hours_ago, value=value)
    elif what < 0.7:
        world.result_arrives(customer=customer, hours_ago=hours_ago, subject=subject)
    elif what < 0.8:
        kind = chance.choice(["reverses", "confirms"])
        world.signal_arrives(customer=customer, hours_ago=hours_ago, subject=subject, kind=kind)
    elif what < 0.86:
        world.usage_at_midnight(
            at_edge=chance.choice([0, 1, -1]), customer=customer, month=chance.randint(3, 9)
        )
    elif what < 0.93 and world.told:
        world.event_is_voided(pick=chance)
    elif world.told:
        field = chance.choice(["value", "occurred_at", "customer"])
        world.event_is_amended(pick=chance, what=field, hours_ago=chance.randrange(1500))


def a_change(world: World, chance: Random) -> None:
    """What a customer has changes, now, at the end of the period, or on a day before or after."""
    when = chance.choice(["now", "period_end", "now", chance.randint(-20, 70), chance.randint(0, 40)])
    match chance.choice(
        ["plan", "seats", "pause", "resume", "cancel", "again", "undo", "time", "coupon", "credit"]
    ):
        case "plan":
            world.plan_is_changed(pick=chance, when=when, to=chance.choice(PLANS))
        case "seats":
            world.seats_are_changed(pick=chance, when=when, seats=chance.randint(1, 5))
        case "pause":
            world.it_is_paused(pick=chance, when=when, days=chance.choice([None, 5, 40]))
        case "resume":
            world.it_is_resumed(pick=chance, when=when)
        case "cancel":
            world.it_is_cancelled(pick=chance, when=when)
        case "again":
            world.it_is_reactivated(pick=chance, when=when)
        case "undo":
            world.a_change_is_taken_back(pick=chance)
        case "time":
            world.time_passes(days=chance.choice([1, 3, 10]), hours=3)
        case "coupon" if chance.random() < 0.3:
            world.coupon_is_given(customer=chance.randrange(3), value=chance.choice(["10%", "33%", "5"]))
        case "credit":
            amount, days = chance.choice(["1", "20", "500"]), chance.choice([None, 20])
            world.credit_is_granted(customer=chance.randrange(3), amount=amount, days=days)


def money(world: World, chance: Random) -> None:
    """What happens to issued invoices."""
    match chance.choice(
        ["void", "void", "credit", "pay", "move", "one-off", "late", "late", "dispute", "dispute"]
    ):
        case "void":
            world.it_is_void(pick=chance)
        case "credit":
            world.it_is_credited(pick=chance, share=chance.choice([None, 2, 3]))
        case "pay":
            world.it_is_paid(pick=chance, share=chance.choice([1, 2, 3]))
        case "move":
            world.money_moves(pick=chance, what=chance.randrange(4))
        case "one-off":
            world.one_off_is_made(customer=chance.randrange(3), quantity=chance.choice(["1", "2.5", "-1"]))
        case "late":
            world.late_usage_is_decided(pick=chance, how=chance.choice(["waive", "credit"]))
        case "dispute":
            world.results_are_disputed(pick=chance, remedy=chance.choice(["credit_note", "adjustment"]))
