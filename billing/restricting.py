"""Restricting customers: setting, changing and taking away limits, by staff, or tighter ones by the customer itself.

Form, API and portal ask `check_limit`. One answer at a time is worked on for a customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from billing.errors import InvalidLimit, LimitExists, LimitRefused
from billing.formatting import money, quantity_of
from billing.models import LimitKind, LimitSetter, UsageLimit
from billing.rating.money import currency_digits, round_amount
from customers.models import Customer
from metering.models import Meter

MOST_REMINDERS = 20
USUAL_REMINDERS = (50, 80, 100)


@dataclass(frozen=True, slots=True)
class LimitTerms:
    """What a limit says: `quantity` in units of the meter, or `amount` in the customer's currency, one of the two."""

    quantity: Decimal | None = None
    amount: Decimal | None = None
    kind: str = LimitKind.HARD
    remind_at: Sequence[int] = USUAL_REMINDERS

    @classmethod
    def of(cls, limit: UsageLimit) -> LimitTerms:
        return cls(limit.quantity, limit.amount, limit.kind, tuple(sorted(limit.remind_at)))

    def put_on(self, limit: UsageLimit) -> None:
        limit.quantity, limit.amount, limit.kind = self.quantity, self.amount, self.kind
        limit.remind_at = sorted(self.remind_at)


def check_limit(limit: UsageLimit) -> None:
    """Refuse what cannot be a limit, with every problem at its field. In a transaction: it locks the customer.

    Raises InvalidLimit, also for a second limit of one meter and for a customer's own above the hard limit of staff.
    """
    customer = _one_at_a_time(limit.customer_id)
    problems: dict[str, str] = {}
    try:
        limit.full_clean()
    except ValidationError as refused:
        problems = {
            ("" if name == "__all__" else name): texts[0] for name, texts in refused.message_dict.items()
        }
    digits = currency_digits(customer.currency)
    amount = limit.amount
    if amount is not None and "amount" not in problems and round_amount(amount, digits) != amount:
        problems["amount"] = f"Amounts in {customer.currency} have at most {digits} decimals."
    if len(set(limit.remind_at)) != len(limit.remind_at):
        problems["remind_at"] = "A percentage is named twice."
    elif len(limit.remind_at) > MOST_REMINDERS:
        problems["remind_at"] = f"Name at most {MOST_REMINDERS} percentages."
    if limit.set_by == LimitSetter.CUSTOMER and not problems:
        problems |= _above_ours(limit)
    if problems:
        raise InvalidLimit(
            next(iter(problems.values())), fields={name: text for name, text in problems.items() if name}
        )


def _one_at_a_time(customer_id: int) -> Customer:
    """Let two answers of one moment not both find no limit."""
    return Customer.objects.select_for_update(of=("self",), no_key=True).get(pk=customer_id)


def _above_ours(limit: UsageLimit) -> dict[str, str]:
    ours = UsageLimit.objects.filter(
        customer=limit.customer_id, meter=limit.meter_id, set_by=LimitSetter.STAFF, kind=LimitKind.HARD
    ).first()
    if ours is None or ours.is_money != limit.is_money or limit.most <= ours.most:
        return {}
    if ours.is_money:
        what, name = money(ours.most, limit.customer.currency), "amount"
    else:
        what, name = quantity_of(ours.most, limit.meter.unit), "quantity"
    return {name: f"Your limit is {what} already: you can only set a lower one."}


@transaction.atomic
def add_limit(customer: Customer, meter: Meter, terms: LimitTerms) -> tuple[UsageLimit, bool]:
    """Add a limit of staff, and tell whether it is new: the same one again is the one that is there.

    Raises InvalidLimit, and LimitExists where there is one that says something else.
    """
    _one_at_a_time(customer.pk)
    there = UsageLimit.objects.filter(customer=customer, meter=meter, set_by=LimitSetter.STAFF).first()
    limit = there or UsageLimit(customer=customer, meter=meter, set_by=LimitSetter.STAFF)
    before = LimitTerms.of(limit)
    terms.put_on(limit)
    check_limit(limit)
    if there is None:
        limit.save()
    elif LimitTerms.of(limit) != before:
        raise LimitExists(
            f"{customer.name} has a limit on {meter.label} already, number {limit.pk}. Change that one.",
            fields={"meter": "It has a limit that says something else."},
        )
    return limit, there is None


@transaction.atomic
def change_limit(limit: UsageLimit, changes: Mapping[str, Any]) -> UsageLimit:
    """Let a limit of staff say something else: fields of LimitTerms. Without a difference it leaves no history.

    Raises InvalidLimit, and LimitRefused for a limit that the customer set.
    """
    if limit.set_by == LimitSetter.CUSTOMER:
        raise LimitRefused(
            "The customer set this limit, and only the customer changes it. You may take it away, or set one of yours."
        )
    _one_at_a_time(limit.customer_id)
    row = UsageLimit.objects.filter(pk=limit.pk).first()
    if row is None:
        raise LimitRefused("Somebody took this limit away. Set it again.")
    before = LimitTerms.of(row)
    replace(before, **changes).put_on(row)
    check_limit(row)
    if LimitTerms.of(row) != before:
        row.save()
    return row


@transaction.atomic
def set_limit(
    customer: Customer,
    meter: Meter,
    *,
    set_by: LimitSetter,
    quantity: Decimal | None,
    amount: Decimal | None,
    kind: str = LimitKind.HARD,
    remind_at: Sequence[int] = USUAL_REMINDERS,
) -> UsageLimit:
    """Set the limit of a customer and meter, one of those staff and the customer itself may each set.

    The same one again leaves no history. Raises InvalidLimit naming each wrong field, also for a customer's own limit
    above the hard limit of staff.
    """
    _one_at_a_time(customer.pk)
    there = UsageLimit.objects.filter(customer=customer, meter=meter, set_by=set_by).first()
    limit = there or UsageLimit(customer=customer, meter=meter, set_by=set_by)
    before = LimitTerms.of(limit)
    LimitTerms(quantity, amount, kind, remind_at).put_on(limit)
    check_limit(limit)
    if there is None or LimitTerms.of(limit) != before:
        limit.save()
    return limit


@transaction.atomic
def remove_limit(customer: Customer, meter: Meter, *, set_by: LimitSetter) -> bool:
    """Take a limit away; tell whether there was one."""
    _one_at_a_time(customer.pk)
    limit = UsageLimit.objects.filter(customer=customer, meter=meter, set_by=set_by).first()
    if limit is None:
        return False
    limit.delete()
    return True
