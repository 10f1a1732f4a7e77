"""Playbooks: what usually sells a kind of result, as one form: meter, plan, price and a guarding example in one step.

A playbook only proposes. What it makes are ordinary meters and a draft plan, by the functions that staff use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.examples import WorkedExample, work_rates
from billing.models import Plan, PlanExample
from billing.pricing import create_plan
from billing.rating.money import currency_digits
from billing.terms import parse_labelled, rate_row
from customers.errors import AlreadyExists
from metering.defining import create_meter
from metering.meter_types import MeterType, OncePerSubject
from metering.models import Meter


@dataclass(frozen=True, slots=True)
class Choices:
    """What a playbook makes, as staff may change it before. Amounts are in major units of `currency`.

    `hours` is the verification window; None counts at once. `monthly_fee` None: no fee. `with_work` also measures the
    calls and tokens behind a result, `with_attempts` what it is a share of.
    """

    meter_label: str
    meter_code: str
    unit: str
    once_per_subject: str
    hours: Decimal | None
    plan_name: str
    plan_code: str
    currency: str
    price: Decimal
    included_units: Decimal
    monthly_fee: Decimal | None
    example_quantity: Decimal
    with_work: bool = True
    with_attempts: bool = True


@dataclass(frozen=True, slots=True)
class Playbook:
    """A kind of result that is sold. `counts` says what counts and what takes it back, `subject` what it is about.

    `attempts` is the meter, fields of `create_meter`, whose events may become such a result: what is begun.
    """

    slug: str
    title: str
    icon: str
    sells: str
    counts: str
    subject: str
    dimensions: tuple[str, ...]
    attempts: Mapping[str, object]
    choices: Choices


def _attempts(code: str, unit: str, begun: str) -> Mapping[str, object]:
    return {
        "code": code, "label": code.replace("_", " ").title(), "unit": unit, "type": MeterType.COUNT,
        "description": f"{begun} Not priced: it shows which share of them ends well.",
    }  # fmt: skip


PLAYBOOKS = (
    Playbook(
        "support-tickets", "Support tickets resolved", "support_agent",
        "An assistant answers customers of your customers; you charge for each ticket it resolved without a person.",
        "A ticket that your system marked as resolved. Reopened within the window, it never counts; resolved twice, it "
        "counts once.",
        "ticket-4711", ("channel", "kind"),
        _attempts("tickets_opened", "ticket", "A ticket that the assistant began to work on."),
        Choices("Tickets Resolved", "tickets_resolved", "ticket", OncePerSubject.EVER, Decimal(72),
                "Support Outcome Plan", "support_outcome", "USD", Decimal("2.00"), Decimal(0), None, Decimal(120)),
    ),
    Playbook(
        "qualified-leads", "Qualified leads", "filter_alt",
        "An agent talks to visitors; you charge for each lead that your customer's sales team accepts.",
        "A lead that was qualified. Refused within a week, it never counts; accepted by a confirmation, it counts at "
        "once.",
        "lead-2087", ("kind", "campaign"),
        _attempts("conversations_begun", "conversation", "A visitor with whom the agent began to talk."),
        Choices("Leads Qualified", "leads_qualified", "lead", OncePerSubject.EVER, Decimal(168),
                "Lead Outcome Plan", "lead_outcome", "USD", Decimal("9.99"), Decimal(0), None, Decimal(40)),
    ),
    Playbook(
        "meetings-booked", "Meetings booked", "event_available",
        "An agent arranges meetings; you charge for each that was not called off within two days.",
        "A meeting that was booked. Called off within the window, it never counts; moved to another day, it is the "
        "same meeting and counts once.",
        "meeting-318", ("kind",),
        _attempts("meetings_proposed", "meeting", "A meeting that the agent proposed to somebody."),
        Choices("Meetings Booked", "meetings_booked", "meeting", OncePerSubject.EVER, Decimal(48),
                "Meeting Outcome Plan", "meeting_outcome", "USD", Decimal("60.00"), Decimal(2), None, Decimal(12)),
    ),
    Playbook(
        "documents-processed", "Documents processed", "description",
        "A pipeline reads documents; you charge for each that came out right, with a monthly fee that includes some.",
        "A document that was read completely. Processed again in the same month, it counts once; sent back as wrong, "
        "it is taken off.",
        "doc-90210", ("type",),
        _attempts("documents_received", "document", "A document that came in to be read."),
        Choices("Documents Processed", "documents_processed", "document", OncePerSubject.PERIOD, None,
                "Document Plan", "document_plan", "USD", Decimal("0.10"), Decimal(1000), Decimal("49.00"),
                Decimal(5000)),
    ),
)  # fmt: skip
# What the work behind results is measured by; what is there already stays as it is.
WORK: tuple[Mapping[str, object], ...] = (
    {"code": "api_calls", "label": "API Calls", "unit": "call", "type": MeterType.COUNT,
     "description": "Calls behind the results. Not priced: they show what a result costs."},
    {"code": "llm_tokens", "label": "LLM Tokens", "unit": "token", "type": MeterType.SUM,
     "dimensions": ["model", "type"],
     "description": "Tokens read and written. Not priced: they show what a result costs."},
)  # fmt: skip


def playbook(slug: str) -> Playbook | None:
    return next((each for each in PLAYBOOKS if each.slug == slug), None)


def proposed(book: Playbook) -> Choices:
    """Give the choices of a playbook with codes that are free."""
    meters = Meter.objects.values_list("code", flat=True)
    plans = Plan.objects.values_list("code", flat=True)
    return replace(
        book.choices,
        meter_code=_free(book.choices.meter_code, set(meters)),
        plan_code=_free(book.choices.plan_code, set(plans)),
    )


def taken(book: Playbook, choices: Choices) -> dict[str, str]:
    """Give a sentence for each code that something else has."""
    problems = {}
    if Meter.objects.filter(code=choices.meter_code).exists():
        problems["meter_code"] = f"There is a meter “{choices.meter_code}” already. Write another code."
    if Plan.objects.filter(code=choices.plan_code).exists():
        problems["plan_code"] = f"There is a plan “{choices.plan_code}” already. Write another code."
    if choices.meter_code in {each["code"] for each in beside(book, choices)}:
        problems["meter_code"] = (
            f"“{choices.meter_code}” is the meter of the work or the attempts behind it. Write another code."
        )
    return problems


def preview(book: Playbook, choices: Choices) -> WorkedExample:
    """Work the example by the prices as they would be, from nothing that is stored. Raises TermsError.

    The expected amount of the example is what it comes to.
    """
    meter = Meter(pk=-1, code=choices.meter_code, label=choices.meter_label, unit=choices.unit)
    plan = Plan(
        code=choices.plan_code, name=choices.plan_name, currency=choices.currency, billing_period="monthly"
    )
    rows = []
    for position, terms in enumerate(_rates(choices)):
        label, parsed = parse_labelled(terms)
        rows.append(
            rate_row(
                parsed, meter=meter if terms["kind"] == "usage" else None, position=position, label=label
            )
        )
    example = PlanExample(
        name=f"{choices.example_quantity:f} of {choices.meter_label}",
        usage=[{"meter": choices.meter_code, "quantity": f"{choices.example_quantity:f}"}],
        expected_amount=Decimal(0),
    )
    worked = work_rates(plan, rows, [example])[0]
    if worked.amount is None:
        return worked
    example.expected_amount = worked.amount
    return replace(worked, problem="")


def set_up(book: Playbook, choices: Choices, *, now: datetime) -> Plan:
    """Make the meters and a draft plan with its rates and the example as its guard; everything or nothing.

    Raises AlreadyExists for a code that is taken, ValidationError, InvalidRate and InvalidExample.
    """
    worked = preview(book, choices)
    example = {
        "name": worked.example.name,
        "usage": worked.example.usage,
        "expected_amount": f"{worked.example.expected_amount:f}",
    }
    with transaction.atomic():
        if problems := taken(book, choices):
            raise AlreadyExists(next(iter(problems.values())))
        for fields in beside(book, choices):
            if not Meter.objects.filter(code=fields["code"]).exists():
                create_meter(now=now, **fields)  # type: ignore[arg-type]  # a row of the tables above
        attempts_meter = Meter.objects.get(code=book.attempts["code"]) if choices.with_attempts else None
        create_meter(
            label=choices.meter_label,
            code=choices.meter_code,
            unit=choices.unit,
            type=MeterType.COUNT,
            dimensions=list(book.dimensions),
            description=book.counts,
            once_per_subject=choices.once_per_subject,
            verification_hours=choices.hours,
            attempts_meter=attempts_meter,
            now=now,
        )
        return create_plan(
            code=choices.plan_code,
            name=choices.plan_name,
            currency=choices.currency,
            billing_period="monthly",
            description=book.sells,
            rates=_rates(choices),
            examples=[example],
        )


def beside(book: Playbook, choices: Choices) -> list[Mapping[str, object]]:
    """Give the meters that are made beside the outcome meter, where they are not there already."""
    return [*(WORK if choices.with_work else ()), *([book.attempts] if choices.with_attempts else [])]


def new_meters(book: Playbook, choices: Choices) -> list[str]:
    """Name the meters beside it that would be made."""
    wanted = beside(book, choices)
    there = set(
        Meter.objects.filter(code__in=[each["code"] for each in wanted]).values_list("code", flat=True)
    )
    return [str(each["label"]) for each in wanted if each["code"] not in there]


def as_fields(choices: Choices) -> dict[str, object]:
    """Give the choices by name, amounts with the digits of their currency."""
    digits = currency_digits(choices.currency)
    fields = asdict(choices)
    for name in ("price", "monthly_fee"):
        if fields[name] is not None:
            fields[name] = f"{fields[name]:.{digits}f}"
    return fields


def _rates(choices: Choices) -> Sequence[Mapping[str, object]]:
    usage: dict[str, object] = {
        "kind": "usage",
        "meter": choices.meter_code,
        "model": "per_unit",
        "unit_amount": f"{choices.price:f}",
    }
    if choices.included_units:
        usage["included_units"] = f"{choices.included_units:f}"
    if choices.monthly_fee is None:
        return [usage]
    fee = {"kind": "subscription", "label": "Monthly fee", "amount": f"{choices.monthly_fee:f}"}
    return [usage, fee]


def _free(code: str, used: set[str]) -> str:
    number = 2
    free = code
    while free in used:
        free, number = f"{code}_{number}", number + 1
    return free
