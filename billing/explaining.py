"""The working of a line in plain words: 120 tickets x $2.00 = $240.00."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import Any

from billing.formatting import WIDE, money, quantity, quantity_of
from billing.rating import Step, step_from_json
from billing.wording import label, word

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class StepWords:
    """One step of a working. `calculation` is what makes `amount`; it is empty where there is nothing to say.

    `group` names the dimension values the step is for; `label` its tier, package or rule.
    """

    group: str
    label: str
    calculation: str
    amount: str

    @property
    def sentence(self) -> str:
        return f"{self.calculation} = {self.amount}" if self.calculation else self.amount


@dataclass(frozen=True, slots=True)
class LineWords:
    """A line explained. `steps` is empty for a fee, which needs no working.

    `rounding` says how the sum of several steps became `amount`; empty when they are equal.
    """

    quantity: str
    unit_price: str
    steps: tuple[StepWords, ...]
    amount: str
    rounding: str


def explain_line(line: Any, *, currency: str) -> LineWords:
    """Explain an InvoiceLine or a DraftLine in words, figures exact."""
    steps = [_as_step(each) for each in line.working]
    with localcontext(WIDE):
        exact = sum((step.amount for step in steps), Decimal(0))
    if len(steps) == 1 and steps[0].kind == "flat" and steps[0].label == line.description:
        steps = []  # a fee needs no working: it would say the line again
    written = money(line.amount, currency)
    words = [explain_step(step, currency=currency, unit=line.unit) for step in steps]
    exactly = money(exact, currency)
    rounding = "" if exact == line.amount else word("rounded", exact=exactly, amount=written)
    if len(words) == 1 and rounding:
        words, rounding = [replace(words[0], amount=rounding)], ""
    return LineWords(
        quantity=quantity_of(line.quantity, line.unit)
        if line.kind in ("usage", "adjustment", "item")
        else "",
        unit_price="" if line.unit_amount is None else _price(line.unit_amount, steps, line, currency),
        steps=tuple(words),
        amount=written,
        rounding=rounding,
    )


def explain_steps(steps: Iterable[Step], *, currency: str, unit: str) -> list[StepWords]:
    """Explain a working that belongs to no line yet, as the price editor shows it."""
    return [explain_step(step, currency=currency, unit=unit) for step in steps]


def explain_step(step: Step, *, currency: str, unit: str) -> StepWords:
    """Explain one step of a working, figures exact."""
    return StepWords(
        group=_group(step.group),
        label="" if step.kind in ("units", "percentage") else label(step.label),
        calculation=_calculation(step, currency=currency, unit=unit),
        amount=money(step.amount, currency),
    )


def _calculation(step: Step, *, currency: str, unit: str) -> str:
    if step.quantity is None:
        return ""
    if step.percent is not None:
        return f"{money(step.quantity, currency)} {TIMES} {quantity(step.percent)} %"
    if step.kind in ("package", "fixed", "seats") and step.unit_amount is not None:
        return f"{quantity(step.quantity)} {TIMES} {money(step.unit_amount, currency)}"
    used = quantity_of(step.quantity, unit)
    if step.kind in ("units", "tier") and step.unit_amount is not None:
        return f"{used} {TIMES} {_per(step.unit_amount, step.per, unit=unit, currency=currency)}"
    return used if step.kind in ("included", "free", "step", "tier") else ""


def _price(unit_amount: Decimal, steps: list[Step], line: Any, currency: str) -> str:
    return _per(unit_amount, steps[0].per if steps else None, unit=line.unit, currency=currency)


def _per(unit_amount: Decimal, per: Decimal | None, *, unit: str, currency: str) -> str:
    price = money(unit_amount, currency)
    return price if per is None else word("per", price=price, quantity=quantity_of(per, unit))


def _group(values: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name}: {value or word('none')}" for name, value in (values or {}).items())


def _as_step(step: Step | Mapping[str, object]) -> Step:
    return step if isinstance(step, Step) else step_from_json(step)
