"""The audit: equations over everything stored, each in plain words, each able to name the rows that break it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from django.db import connection, transaction

from billing.auditing.credits import amount_due_is_the_rest, ledger_balances
from billing.auditing.customers import rows_stay_with_their_customer
from billing.auditing.invoices import (
    amount_is_rating,
    numbers_gapless,
    one_live_invoice,
    periods_tile,
    total_is_sum,
)
from billing.auditing.quantities import quantity_is_measure
from metering.auditing import (
    Question,
    acknowledged_keys_stored,
    keys_unique,
    outcomes_settled_right,
)

NAMED = 20


@dataclass(frozen=True, slots=True)
class Equation:
    """What must be equal, in plain words, and what asks for that which is not."""

    code: str
    words: str
    ask: Callable[[], Question | Iterator[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """How many things break an equation, and the first of them by name."""

    equation: Equation
    differences: int
    named: tuple[str, ...]


EQUATIONS = (
    Equation("keys_stored", "Every key that was acknowledged is stored.", acknowledged_keys_stored),
    Equation("keys_unique", "Every key stands for one event.", keys_unique),
    Equation(
        "outcomes_settled",
        "What is noted of an outcome that was settled ahead is what its events say.",
        outcomes_settled_right,
    ),
    Equation(
        "quantity_is_measure",
        "The quantity of a usage line is what its events measure.",
        quantity_is_measure,
    ),
    Equation("amount_is_rating", "The amount of a line is its working, rounded once.", amount_is_rating),
    Equation(
        "total_is_sum", "A total is the sum of the lines, less discounts, with the tax added.", total_is_sum
    ),
    Equation(
        "periods_tile",
        "The periods of a subscription follow each other without gap or overlap.",
        periods_tile,
    ),
    Equation(
        "one_live_invoice",
        "A subscription has one invoice for each period and kind, void ones aside.",
        one_live_invoice,
    ),
    Equation("numbers_gapless", "The numbers of invoices and credit notes have no gaps.", numbers_gapless),
    Equation("ledger_balances", "The balance of a credit is the sum of its ledger.", ledger_balances),
    Equation(
        "amount_due",
        "What is due is the total less credits, payments, credit notes and write-offs that are recorded.",
        amount_due_is_the_rest,
    ),
    Equation("customers_apart", "No row of one customer points to another's.", rows_stay_with_their_customer),
)


def audit(*, on_progress: Callable[[Equation], None] | None = None) -> list[Answer]:
    """Ask every equation, in one snapshot of the database. Writes nothing; rerunning asks again.

    `on_progress` is told each equation before it is asked.
    """
    answers = []
    with transaction.atomic():
        if not connection.savepoint_ids:  # the outermost transaction may choose what it sees
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for equation in EQUATIONS:
            if on_progress is not None:
                on_progress(equation)
            answers.append(ask(equation))
    return answers


def ask(equation: Equation) -> Answer:
    """Ask one equation."""
    found = equation.ask()
    if isinstance(found, Question):
        with connection.cursor() as cursor:  # the question is a text of the program
            cursor.execute(
                f"SELECT what, count(*) OVER () FROM ({found.sql}) AS wrong (what) LIMIT %(named)s",  # noqa: S608
                found.parameters | {"named": NAMED},
            )
            rows = cursor.fetchall()
        return Answer(equation, rows[0][1] if rows else 0, tuple(row[0] for row in rows))
    named = tuple(islice(found, NAMED))
    return Answer(equation, len(named) + sum(1 for _ in found), named)
