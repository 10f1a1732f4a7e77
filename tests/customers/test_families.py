"""Parents and children: one level, no cycle, one currency where they are billed together; the database holds it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from customers.families import family_problems
from customers.models import BillTo, Customer
from tests.at_once import at_once
from tests.factories import make_customer

pytestmark = pytest.mark.django_db


def refused(name: str, **changes: Any) -> None:
    """Change a customer past every check of the program."""
    pk = changes.pop("pk")
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        Customer.objects.filter(pk=pk).update(**changes)


def test_a_customer_is_not_its_own_parent() -> None:
    acme = make_customer()
    refused("customer_not_its_own_parent|customer_family_of_one_level", pk=acme.pk, parent=acme)
    said = family_problems(acme, parent=acme, bill_to=BillTo.ITSELF, currency="USD")
    assert said == {"parent": "A customer cannot be its own parent. Choose another one."}


def test_a_parent_has_no_parent_and_a_child_no_children() -> None:
    top, middle, bottom = make_customer("top"), make_customer("middle"), make_customer("bottom")
    middle.parent = top
    middle.save()
    refused("customer_family_of_one_level", pk=bottom.pk, parent=middle)
    refused("customer_family_of_one_level", pk=top.pk, parent=bottom)
    refused("customer_family_of_one_level", pk=top.pk, parent=middle)
    said = family_problems(bottom, parent=middle, bill_to=BillTo.ITSELF, currency="USD")
    assert said["parent"].startswith("Middle has a parent itself")
    said = family_problems(top, parent=bottom, bill_to=BillTo.ITSELF, currency="USD")
    assert said["parent"].startswith("Top has children")


def test_only_a_child_is_billed_to_its_parent() -> None:
    acme = make_customer()
    refused("customer_billed_to_a_parent", pk=acme.pk, bill_to=BillTo.PARENT)
    assert family_problems(acme, parent=None, bill_to=BillTo.PARENT, currency="USD").keys() == {"parent"}


def test_what_is_billed_together_has_one_currency() -> None:
    parent, child = make_customer("parent"), make_customer("child", currency="EUR")
    refused("customer_family_in_one_currency", pk=child.pk, parent=parent, bill_to=BillTo.PARENT)
    child.parent = parent
    child.save()  # a child that pays itself may have any currency
    said = family_problems(child, parent=parent, bill_to=BillTo.PARENT, currency="EUR")
    assert said["bill_to"].startswith("Parent is billed in USD, this customer in EUR.")
    Customer.objects.filter(pk=child.pk).update(currency="USD", bill_to=BillTo.PARENT)
    refused("customer_family_in_one_currency", pk=parent.pk, currency="EUR")
    assert family_problems(parent, parent=None, bill_to=BillTo.ITSELF, currency="EUR").keys() == {"currency"}


@pytest.mark.django_db(transaction=True)
def test_two_that_take_each_other_as_parent_at_once_do_not_both_succeed() -> None:
    one, other = make_customer("one"), make_customer("other")

    def take(child: Customer, parent: Customer) -> str:
        try:
            Customer.objects.filter(pk=child.pk).update(parent=parent)
        except DatabaseError:  # a refusal, or a deadlock that PostgreSQL ended
            return "refused"
        return "taken"

    assert sorted(at_once(partial(take, one, other), partial(take, other, one))) == ["refused", "taken"]
    assert Customer.objects.exclude(parent=None).count() == 1
