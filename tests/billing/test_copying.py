"""Rows written by COPY hold every text as it is: what would end a value, a row or the whole, what looks like NULL."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db.models import JSONField, Model

from billing.close_reports import CloseReport
from billing.closing import close_period
from billing.invoice_rows import invoice_discount, invoice_line, invoice_of
from billing.models import Invoice, InvoiceDiscount, InvoiceLine
from billing.months import Month
from customers.models import BillTo, Customer
from tests.billing.money import give, tax
from tests.factories import NOW, event, make_customer, make_meter, make_plan, make_subscription, send

pytestmark = pytest.mark.django_db
ODD = (
    "Tab\there",
    "Line\nbreak\r\nand \\n, \\r, \\t",
    "Back\\slash at the end \\",
    "\\N",
    "\\.",
    "\n\\.\n",
    "{Quotes} ' \" , ; %s %(name)s $1",
    "🎟️ مرحبا \u202eabc\u202c \u200f \u2028\u2029",
    "Control \x01\x08\x0b\x0c\x1a\x1b\x7f\x85",
    "NULL",
)
LABEL = "\\N {\\n} \\. fee \\"  # the label of a fee takes no control characters
LETTERS = "ABCDEFGHIJ"
# Given by the close, so that the draft it was made from cannot know them.
BY_THE_CLOSE = {"id", "status", "series_id", "sequence", "number", "issued_at", "due_on", "watermark"}


def close(**options: Any) -> CloseReport:
    return close_period(Month(2026, 10), now=NOW, grace_days=0, **options)


def customers_with_odd_words() -> None:
    """Each with a plan, a meter, a coupon, a tax and a dimension of that name."""
    for n, name in enumerate(ODD):
        tax("X" + LETTERS[n], "19", name=name)
        meter = make_meter(f"m{n}", label=name, unit=name[:32], dimensions=["channel"])
        rate = {
            "kind": "usage",
            "meter": meter.code,
            "model": "per_unit",
            "dimensions": ["channel"],
            "rows": [{"match": {}, "unit_amount": "2.00"}],
        }
        fee = {"kind": "subscription", "label": LABEL, "amount": "10.00", "timing": "in_arrears"}
        plan = make_plan(rate, fee, code=f"p{n}", name=name)
        customer = make_customer(f"c{n}", name=name, country="X" + LETTERS[n], address=name)
        give(customer, "10%", name=name)
        make_subscription(customer, plan)
        send(event(f"e{n}", meter=meter.code, customer=customer.code, dimensions={"channel": name}))


def written(row: Model) -> dict[str, Any]:
    """What a row holds beside its keys; JSON as it is read back."""
    fields = {field.attname: field for field in row._meta.concrete_fields}
    return {
        name: json.loads(json.dumps(getattr(row, name), default=str))
        if isinstance(field, JSONField)
        else getattr(row, name)
        for name, field in fields.items()
        if name not in BY_THE_CLOSE and not name.startswith("invoice")
    }


def test_a_close_writes_the_words_of_its_drafts_as_they_are() -> None:
    customers_with_odd_words()
    drafts: list[Any] = []
    close(dry_run=True, on_chunk=lambda chunk, report: drafts.extend(chunk.drafts))
    report = close()
    assert (report.failures, report.issued) == ([], len(ODD))
    stored = {each.customer.code: each for each in Invoice.objects.select_related("customer")}
    for n, name in enumerate(ODD):
        (draft,) = [each for each in drafts if each.customer.code == f"c{n}"]
        invoice = stored[f"c{n}"]
        plain = invoice_of(draft, invoice.pk, grace_days=0)
        assert written(invoice) | {"drawn_up_at": None} == written(plain) | {"drawn_up_at": None}
        assert (invoice.recipient["name"], invoice.plan_name) == (name, name)
        lines = InvoiceLine.objects.filter(invoice=invoice).order_by("n")
        assert [written(each) for each in lines] == [
            written(invoice_line(plain, each)) for each in draft.lines
        ]
        assert [each.description for each in lines] == [name, LABEL]
        assert [each["group"]["channel"] for each in lines[0].working if each.get("group")] == [name]
        (discount,) = InvoiceDiscount.objects.filter(invoice=invoice)
        assert written(discount) == written(invoice_discount(plain, draft.discounts[0]))
        assert discount.name == name


def test_a_consolidated_invoice_has_the_words_of_its_payer() -> None:
    customers_with_odd_words()
    parent = make_customer("parent", name="\t\\N\n🎟️")
    Customer.objects.exclude(pk=parent.pk).update(parent=parent, bill_to=BillTo.PARENT)
    report = close()
    assert (report.failures, report.issued) == ([], 1)
    whole = Invoice.objects.get(kind="consolidated")
    assert whole.recipient["name"] == parent.name
    assert whole.parts.count() == len(ODD)
    assert whole.total == sum(each.total for each in whole.parts.all())
