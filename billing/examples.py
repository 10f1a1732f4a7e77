"""Examples that guard a plan: usages with the amounts they must come to, worked by the function that makes invoices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from billing.drafts import DraftLine, DuePeriod
from billing.errors import InvalidExample
from billing.fee_books import FeeBook
from billing.lines import draft_lines
from billing.models import AnchorRule, Plan, PlanExample, Rate, RateKind, Subscription
from billing.plan_rates import MeasureKey, PlanRate, read_plan_rate
from billing.rating import TermsError, UsageRate, parse_rate, usage_of
from billing.rating.decimals import exact_decimal
from billing.rating.errors import RatingError
from billing.subscription_periods import whole_period
from customers.models import Customer
from metering.measuring import GroupMeasure, Measure
from metering.models import Meter

MAX_EXAMPLES = 100
MAX_ROWS = 1_000
FIRST_QUANTITY = "120"
# An invoice that is not the first of its subscription: one-time fees are not on it. Where usage settles within the
# period of the fees it is the first of a period, so fees in advance are.
SOME_DAY = date(2026, 1, 1)
FIELDS = frozenset({"name", "usage", "quantity", "expected_amount"})
ROW_FIELDS = frozenset({"meter", "quantity", "dimensions"})


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """An example with the invoice it comes to. `problem` says why it fails; empty when it passes."""

    example: PlanExample
    lines: tuple[DraftLine, ...]
    amount: Decimal | None
    problem: str

    @property
    def passes(self) -> bool:
        return not self.problem


def read_examples(sent: Sequence[Mapping[str, object]]) -> list[PlanExample]:
    """Check examples as the API writes them and give unsaved rows.

    `{name, usage: [{meter, quantity, dimensions}], quantity: seats, expected_amount}`. Raises InvalidExample naming
    every wrong field by path: `examples.0.usage.1.quantity`.
    """
    problems: dict[str, str] = {}
    known = set(Meter.objects.filter(code__in=_meter_codes(sent)).values_list("code", flat=True))
    rows = [_read(each, f"examples.{index}", index, known, problems) for index, each in enumerate(sent)]
    names = [row.name for row in rows]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            problems.setdefault(f"examples.{index}.name", f"There is an example “{name}” already.")
    if problems:
        raise InvalidExample(next(iter(problems.values())), fields=problems)
    return rows


def written_example(example: PlanExample) -> dict[str, object]:
    """Give an example in the form that `read_examples` takes."""
    return {
        "name": example.name,
        "usage": example.usage,
        "quantity": example.seats,
        "expected_amount": f"{example.expected_amount:f}",
    }


def work_examples(plan: Plan, examples: Sequence[PlanExample] | None = None) -> list[WorkedExample]:
    """Work the examples of a plan, or these, by its rates as they are now."""
    chosen = list(plan.examples.all()) if examples is None else list(examples)
    return work_rates(plan, list(plan.rates.all()), chosen) if chosen else []


def work_rates(plan: Plan, rows: Sequence[Rate], chosen: Sequence[PlanExample]) -> list[WorkedExample]:
    """Work examples by rates; neither they nor the plan need be stored."""
    try:
        rates = [read_plan_rate(row, plan=plan) for row in rows]
    except TermsError as unreadable:
        return [WorkedExample(each, (), None, unreadable.message) for each in chosen]
    return [_work(plan, rates, each) for each in chosen]


def first_example(plan: Plan) -> PlanExample | None:
    """Offer a ready-made example, with the amount it comes to now: 120 of the first usage rate. Nothing is written.

    None while the plan has no usage rate that can be rated.
    """
    row = next((rate for rate in plan.rates.all() if rate.kind == RateKind.USAGE), None)
    if row is None or row.meter is None:
        return None
    try:
        terms = parse_rate(row.terms)
    except TermsError:
        return None
    assert isinstance(terms, UsageRate)
    usage: dict[str, object] = {"meter": row.meter.code, "quantity": FIRST_QUANTITY}
    if terms.rows:
        usage["dimensions"] = {name: terms.rows[0].match.get(name, "") for name in terms.dimensions}
    example = PlanExample(
        plan=plan, name=f"{FIRST_QUANTITY} of {row.meter.label}", usage=[usage], expected_amount=Decimal(0)
    )
    worked = work_examples(plan, [example])[0]
    if worked.amount is None:
        return None
    example.expected_amount = worked.amount
    return example


def _work(plan: Plan, rates: Sequence[PlanRate], example: PlanExample) -> WorkedExample:
    priced = {rate.row.meter.code for rate in rates if rate.row.meter is not None}
    for row in example.usage:
        if row["meter"] not in priced:
            problem = f"No rate of the plan prices {row['meter']}."
            return WorkedExample(example, (), None, problem)
    subscription = Subscription(
        customer=Customer(code="example", name="Example", currency=plan.currency),
        plan=plan,
        start_on=date(SOME_DAY.year - 1, 1, 1),
        anchor=AnchorRule.CALENDAR,
        timezone="UTC",
        quantity=example.seats,
    )
    due = DuePeriod(subscription, whole_period(subscription, SOME_DAY))
    try:
        lines = draft_lines(due, rates, 0, _measures(rates, example), FeeBook())
    except RatingError as refused:
        return WorkedExample(example, (), None, refused.message)
    amount = sum((line.amount for line in lines), Decimal(0))
    problem = ""
    if amount != example.expected_amount:
        problem = f"It comes to {amount:f}, not to {example.expected_amount:f}."
    return WorkedExample(example, tuple(lines), amount, problem)


def _measures(rates: Sequence[PlanRate], example: PlanExample) -> dict[MeasureKey, dict[int, Measure]]:
    """Give the usage of an example in the form that measuring gives."""
    measures: dict[MeasureKey, dict[int, Measure]] = {}
    for rate in rates:
        if rate.key is None or rate.row.meter is None:
            continue
        parts = [
            (dict(row.get("dimensions", {})), Decimal(row["quantity"]))
            for row in example.usage
            if row["meter"] == rate.row.meter.code
        ]
        usage = usage_of(parts, dimensions=rate.key[1], windowed=bool(rate.row.meter.window))
        measures[rate.key] = {
            0: Measure(
                usage.quantity,
                len(parts),
                tuple(
                    GroupMeasure(group.dimensions, group.quantity, 1, group.event_amounts, group.windows)
                    for group in usage.groups
                ),
                usage.event_amounts,
                usage.windows,
            )
        }
    return measures


def _read(
    sent: Mapping[str, object], at: str, position: int, known: set[str], problems: dict[str, str]
) -> PlanExample:
    _refuse_unknown(sent, FIELDS, at, "an example", problems)
    name = sent.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 200 or not name.isprintable():
        problems[f"{at}.name"] = "Give the example a name of 1 to 200 characters."
        name = ""
    seats = sent.get("quantity", 1)
    if isinstance(seats, bool) or not isinstance(seats, int) or not 0 <= seats < 2**31:
        problems[f"{at}.quantity"] = "quantity is the number of seats: a whole number."
        seats = 1
    usage = sent.get("usage", [])
    rows = []
    if not isinstance(usage, list) or len(usage) > MAX_ROWS:
        problems[f"{at}.usage"] = f"usage is a list of at most {MAX_ROWS:,} quantities."
    else:
        rows = [_read_row(row, f"{at}.usage.{index}", known, problems) for index, row in enumerate(usage)]
    expected = _number(sent.get("expected_amount"), f"{at}.expected_amount", problems)
    return PlanExample(position=position, name=name, usage=rows, seats=seats, expected_amount=expected)


def _read_row(row: object, at: str, known: set[str], problems: dict[str, str]) -> dict[str, object]:
    if not isinstance(row, Mapping):
        problems[at] = "Give an object with meter, quantity and, where prices depend on them, dimensions."
        return {}
    _refuse_unknown(row, ROW_FIELDS, at, "a quantity", problems)
    meter = row.get("meter")
    if not isinstance(meter, str) or meter not in known:
        problems[f"{at}.meter"] = f"There is no meter “{meter}”." if meter else "meter is missing."
    dimensions = row.get("dimensions", {})
    if not isinstance(dimensions, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in dimensions.items()
    ):
        problems[f"{at}.dimensions"] = "dimensions is an object of texts."
        dimensions = {}
    quantity = _number(row.get("quantity"), f"{at}.quantity", problems)
    result: dict[str, object] = {"meter": meter, "quantity": f"{quantity:f}"}
    return result | {"dimensions": dict(dimensions)} if dimensions else result


def _number(value: object, at: str, problems: dict[str, str]) -> Decimal:
    try:
        return exact_decimal(value)
    except ValueError as refused:
        problems[at] = str(refused)
        return Decimal(0)


def _refuse_unknown(
    sent: Mapping[str, object], known: frozenset[str], at: str, what: str, problems: dict[str, str]
) -> None:
    for name in sorted(set(map(str, sent)) - known):
        problems[f"{at}.{name}"] = f"{name} is not a field of {what}. Known: {', '.join(sorted(known))}."


def _meter_codes(sent: Sequence[Mapping[str, object]]) -> set[str]:
    return {
        row["meter"]
        for each in sent
        if isinstance(usage := each.get("usage"), list)
        for row in usage
        if isinstance(row, Mapping) and isinstance(row.get("meter"), str) and "\x00" not in row["meter"]
    }
