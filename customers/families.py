"""Parents and children: one level, and who pays in which currency. The database holds all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError

from customers.errors import FamilyRefused
from customers.models import BillTo, Customer


def family_problems(
    customer: Customer | None, *, parent: Customer | None, bill_to: str, currency: str
) -> dict[str, str]:
    """Say, by field, why a customer cannot have a parent or be billed to it; empty when it can. None: a new one."""
    if parent is None:
        if bill_to == BillTo.PARENT:
            return {"parent": "Choose the parent that pays, or bill the customer itself."}
        return _children_problems(customer, currency)
    if customer is not None and parent.pk == customer.pk:
        return {"parent": "A customer cannot be its own parent. Choose another one."}
    if parent.parent_id is not None:
        return {
            "parent": f"{parent.name} has a parent itself, and families have one level. Choose that parent instead."
        }
    if customer is not None and customer.children.exists():
        return {"parent": f"{customer.name} has children, so it can have no parent itself."}
    if bill_to == BillTo.PARENT and parent.currency != currency:
        return {
            "bill_to": f"{parent.name} is billed in {parent.currency}, this customer in {currency}. "
            "What is on one invoice has one currency: bill the customer itself."
        }
    return {}


def _children_problems(customer: Customer | None, currency: str) -> dict[str, str]:
    if customer is None:
        return {}
    other = customer.children.filter(bill_to=BillTo.PARENT).exclude(currency=currency).first()
    if other is None:
        return {}
    return {"currency": f"{other.name} is billed to this customer in {other.currency}. Bill it itself first."}


@contextmanager
def family_held() -> Iterator[None]:
    """Raise FamilyRefused where somebody changed the family at the same moment, and the database refused it."""
    try:
        yield
    except IntegrityError as refused:
        said = str(refused)
        if "customer_family_of_one_level" in said:
            message = "The family changed meanwhile: a parent has no parent, a child no children. Look again."
            raise FamilyRefused(message, field="parent") from refused
        if "customer_family_in_one_currency" in said:
            message = "The family changed meanwhile: who is billed to a parent has its currency. Look again."
            raise FamilyRefused(message, field="bill_to") from refused
        raise
