"""Credit notes: by remainder, so that partial notes and a last full one equal the invoice to the cent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.approving import issue_draft
from billing.closing import close_period
from billing.collecting import record_payment
from billing.correcting import issue_credit_note, preview_credit_note
from billing.errors import BillingError, FiguresChanged, InvalidAmount, KeyTaken, ReasonMissing
from billing.models import CreditNote, CreditNoteLine, Invoice, InvoiceLine
from billing.months import Month
from billing.one_off import Item, create_one_off
from billing.shares import spread
from tests.billing.money import give, tax
from tests.billing.test_collecting import WHO, bill, everything, now_of, pay
from tests.factories import NOW, make_customer, make_subscription, send_tickets

pytestmark = pytest.mark.django_db


def taxed(*amounts: str, tax: str, currency: str = "USD") -> Invoice:
    """An issued invoice whose lines share a tax of a given amount."""
    invoice = bill(*amounts, currency=currency, at_once=False)
    vat = {
        "n": 1, "name": "VAT", "country": "DE", "region": "", "category": "standard", "percent": "19",
        "inclusive": False, "base": f"{invoice.subtotal:f}", "amount": tax, "treatment": "taxed", "sentence": "",
    }  # fmt: skip
    on = Decimal(tax)
    Invoice.objects.filter(pk=invoice.pk).update(tax=on, taxes=[vat], total=invoice.subtotal + on)
    invoice.lines.update(taxed_by=[1])
    return issue_draft(invoice, **WHO)


def credit(invoice: Invoice, **fields: Any) -> CreditNote:
    return issue_credit_note(invoice, **({"reason": "Wrong price"} | WHO | fields))


def by_line(note: CreditNote) -> list[tuple[str, str]]:
    return [(f"{line.amount:.2f}", f"{line.tax:.2f}") for line in note.lines.all()]


def test_a_full_credit_of_three_thirds_equals_the_invoice_to_the_cent() -> None:
    """100.00 in three lines with 19.00 tax: thirds of the tax are 6.33, 6.34 (12.67 so far), 6.33 (19.00)."""
    invoice = taxed("33.33", "33.33", "33.34", tax="19.00")
    note = credit(invoice)
    assert by_line(note) == [("33.33", "6.33"), ("33.33", "6.34"), ("33.34", "6.33")]
    assert (note.total, note.tax, note.number) == (Decimal("119.00"), Decimal("19.00"), "CN-2026-000001")
    assert now_of(invoice) == ("paid", Decimal(0))


def test_three_partial_notes_and_the_rest_equal_the_invoice() -> None:
    """Tax 0.05 on 1.00: a third (0.33) carries 0.02, the next 0.01 (of what is left), the last all that remains."""
    invoice = taxed("1.00", tax="0.05")
    notes = [credit(invoice, lines={1: Decimal("0.33")}), credit(invoice, lines={1: Decimal("0.33")})]
    notes.append(credit(invoice))
    assert [by_line(note) for note in notes] == [[("0.33", "0.02")], [("0.33", "0.01")], [("0.34", "0.02")]]
    assert sum(note.total for note in notes) == Decimal("1.05")
    assert [note.number for note in notes] == ["CN-2026-000001", "CN-2026-000002", "CN-2026-000003"]


def test_an_amount_with_tax_is_spread_over_what_is_left() -> None:
    """11.90 of 119.00 is a tenth: 10.00 net and 1.90 tax."""
    invoice = taxed("50.00", "50.00", tax="19.00")
    note = credit(invoice, amount=Decimal("11.90"))
    assert (note.subtotal, note.tax, note.total) == (Decimal("10.00"), Decimal("1.90"), Decimal("11.90"))
    assert by_line(note) == [("5.00", "0.95"), ("5.00", "0.95")]


@pytest.mark.parametrize(
    ("currency", "amounts", "tax", "first", "rest"),
    [
        ("JPY", ("333", "333", "334"), "100", "367", "733"),
        ("KWD", ("3.333", "3.333", "3.334"), "0.500", "3.500", "7.000"),
    ],
)
def test_currencies_of_no_and_three_digits(
    currency: str, amounts: tuple[str, ...], tax: str, first: str, rest: str
) -> None:
    invoice = taxed(*amounts, tax=tax, currency=currency)
    assert credit(invoice, amount=Decimal(first)).total == Decimal(first)
    assert credit(invoice).total == Decimal(rest)
    assert now_of(invoice) == ("paid", Decimal(0))


def test_a_discount_comes_off_what_is_credited() -> None:
    """50 tickets at 2.00 less a coupon of 10 %: half of the line is credited as 50.00 less 5.00."""
    give(make_subscription().customer, "10%")
    send_tickets(50)
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    note = credit(Invoice.objects.get(), lines={1: Decimal("50.00")})
    assert (note.subtotal, note.discount, note.total) == (Decimal(50), Decimal(5), Decimal(45))
    assert credit(Invoice.objects.get()).total == 45


def test_each_tax_rate_is_taken_back_by_its_own_remainder() -> None:
    """Three thirds of 100.00 at 19 % are 19.00 and 10.00 at 7 % are 0.70: two notes give back exactly that of each."""
    tax("DE", "19")
    tax("DE", "7", "reduced")
    thirds = [Item("Third", Decimal(1), Decimal(each)) for each in ("33.33", "33.33", "33.34")]
    book = Item("Book", Decimal(1), Decimal("10.00"), tax_category="reduced")
    invoice = create_one_off(make_customer(country="DE"), [*thirds, book], now=NOW)
    assert invoice.total == Decimal("129.70")
    notes = [credit(invoice, amount=Decimal("50.00")), credit(invoice)]
    assert sum(note.total for note in notes) == Decimal("129.70")
    by_rate = [[Decimal(str(each["amount"])) for each in note.taxes] for note in notes]
    assert [sum(rate) for rate in zip(*by_rate, strict=True)] == [Decimal("19.00"), Decimal("0.70")]
    bases = [[Decimal(str(each["base"])) for each in note.taxes] for note in notes]
    assert [sum(rate) for rate in zip(*bases, strict=True)] == [Decimal("100.00"), Decimal("10.00")]


def test_tax_inside_prices_is_taken_back_with_them() -> None:
    """119.00 with 19.00 inside: half is 59.50 with 9.50 inside; nothing is added on top."""
    tax("DE", "19", inclusive=True)
    gross = [Item("Gross", Decimal(1), Decimal("119.00"))]
    invoice = create_one_off(make_customer(country="DE"), gross, now=NOW)
    note = credit(invoice, amount=Decimal("59.50"))
    assert (note.total, note.tax, note.tax_included) == (Decimal("59.50"), Decimal(0), Decimal("9.50"))
    assert note.taxes[0]["base"] == "50.00"


def test_a_line_below_zero_is_credited_below_zero() -> None:
    invoice = bill("100.00", "-20.00")
    note = credit(invoice, amount=Decimal("40.00"))
    assert [line.amount for line in note.lines.all()] == [50, -10]
    assert credit(invoice).total == 40


def test_crediting_what_is_paid_leaves_a_credit_balance() -> None:
    invoice = bill("100.00")
    pay(invoice, "100.00")
    credit(invoice, amount=Decimal("30.00"))
    assert now_of(invoice) == ("paid", Decimal(-30))


def test_a_preview_shows_the_effect_and_writes_nothing() -> None:
    invoice = bill("100.00")
    before = everything()
    draft = preview_credit_note(invoice, amount=Decimal("30.00"))
    assert (draft.total, draft.due_after) == (30, 70)
    assert everything() == before


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"amount": Decimal("10.01")}, InvalidAmount),
        ({"amount": Decimal(0)}, InvalidAmount),
        ({"amount": Decimal("0.001")}, InvalidAmount),
        ({"amount": Decimal("NaN")}, InvalidAmount),
        ({"lines": {1: Decimal("10.01")}}, InvalidAmount),
        ({"lines": {1: Decimal("-1")}}, InvalidAmount),
        ({"lines": {2: Decimal("1")}}, InvalidAmount),
        ({"lines": {}}, InvalidAmount),
        ({"reason": " "}, ReasonMissing),
        ({"expected": Decimal("9.99")}, FiguresChanged),
    ],
)
def test_a_refused_credit_note_leaves_nothing_behind(
    fields: dict[str, Any], error: type[BillingError]
) -> None:
    invoice = bill("10.00")
    before = everything()
    with pytest.raises(error):
        credit(invoice, **fields)
    assert everything() == before


def test_a_key_sent_again_gives_the_first_note() -> None:
    invoice = bill("10.00")
    note = credit(invoice, amount=Decimal(4), key="k")
    assert credit(invoice, amount=Decimal(4), key="k") == note
    with pytest.raises(KeyTaken):
        credit(invoice, amount=Decimal(4), key="k", reason="Another")
    assert CreditNote.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_a_note_that_does_not_add_up_or_takes_too_much() -> None:
    invoice = bill("10.00")
    credit(invoice, amount=Decimal(4))
    note, line = CreditNote.objects.get(), InvoiceLine.objects.get()
    with pytest.raises(DatabaseError, match="record the opposite"):
        CreditNote.objects.update(reason="x")
    with pytest.raises(DatabaseError, match="do not add up"):
        CreditNoteLine.objects.create(
            credit_note=note, n=2, invoice_line=other_line(line), description="", amount=1
        )
    with pytest.raises(DatabaseError, match="more of a line than was invoiced"):
        note_over_another_line(invoice, other_line(line))


@transaction.atomic
def note_over_another_line(invoice: Invoice, line: InvoiceLine) -> None:
    wrong = CreditNote.objects.create(
        invoice=invoice, issued_at=NOW, currency="USD", subtotal=6, total=6, issuer={}, recipient={},
        series_id="CN-2026", sequence=2, number="CN-2026-000002", zone="UTC", reason="r", recorded_by="x",
    )  # fmt: skip
    CreditNoteLine.objects.create(credit_note=wrong, n=1, invoice_line=line, description="", amount=6)
    Invoice.objects.filter(pk=invoice.pk).update(amount_credited=10, status="paid")


def other_line(line: InvoiceLine) -> InvoiceLine:
    """A line of another invoice."""
    other = InvoiceLine.objects.exclude(pk=line.pk).first()
    if other is not None:
        return other
    made = create_one_off(make_customer("other"), [Item("y", Decimal(1), Decimal(100))], now=NOW)
    return made.lines.get()


def test_a_payment_and_a_full_credit_of_a_paid_invoice_show_what_to_pay_back() -> None:
    invoice = taxed("33.33", "33.33", "33.34", tax="0")
    record_payment(invoice, amount=Decimal("100.00"), received_on=NOW.date(), **WHO)
    credit(invoice)
    assert now_of(invoice) == ("paid", Decimal(-100))


CENTS = st.integers(-10_000, 10_000).map(lambda cents: Decimal(cents).scaleb(-2))


@given(st.lists(CENTS, min_size=1, max_size=8), st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_parts_add_up_and_none_exceeds_its_weight(weights: list[Decimal], percent: int) -> None:
    whole = sum(weights, Decimal(0))
    total = (whole * percent / 100).quantize(Decimal("0.01"))
    parts = spread(total, weights, digits=2)
    assert sum(parts, Decimal(0)) == total
    if whole:
        assert all(
            abs(part) <= abs(weight) and part * weight >= 0
            for part, weight in zip(parts, weights, strict=True)
        )


@given(
    st.lists(st.integers(1, 5_000), min_size=1, max_size=4),
    st.integers(0, 3_000),
    st.lists(st.integers(1, 99), max_size=4),
)
@settings(max_examples=12, deadline=None)
def test_any_partial_notes_and_the_rest_equal_the_invoice(
    cents: list[int], on: int, percents: list[int]
) -> None:
    with transaction.atomic():
        invoice = taxed(*(str(Decimal(each).scaleb(-2)) for each in cents), tax=str(Decimal(on).scaleb(-2)))
        for percent in percents:
            left = invoice.total - sum(note.total for note in invoice.credit_notes.all())
            if amount := (left * percent / 100).quantize(Decimal("0.01")):
                credit(invoice, amount=amount)
        invoice.refresh_from_db()
        if invoice.amount_credited < invoice.total:
            credit(invoice)
        notes = invoice.credit_notes.all()
        assert sum(note.total for note in notes) == invoice.total
        assert sum(note.tax for note in notes) == invoice.tax
        assert sum(note.subtotal for note in notes) == invoice.subtotal
        transaction.set_rollback(True)
