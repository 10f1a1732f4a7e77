"""A customer's credits, and what discount, tax and credit make of an invoice, in the portal."""

from __future__ import annotations

from decimal import Decimal

from django.test import Client

from billing.alerting import set_alert
from billing.closing import close_period
from billing.crediting import void_grant
from billing.models import Invoice
from billing.months import Month
from customers.models import Customer
from tests.billing.money import credit, give, tax
from tests.factories import NOW, send_tickets


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_without_a_credit_the_page_says_what_would_stand_here(anna: Client) -> None:
    assert "Credits that you buy in advance" in text_of(anna, "/portal/credits/")


def test_balance_credits_coupons_and_every_movement_are_shown(anna: Client, acme: Customer) -> None:
    acme.country = "DE"
    acme.save()
    tax("DE", "19")
    give(acme, "10%", name="Friends", duration="repeating", invoices=3)
    credit(acme, "100", kind="prepaid", name="Prepaid 2026")
    mistake = credit(acme, "7", name="Mistake", priority=90)
    void_grant(mistake, reason="Granted twice", by="Bea", now=NOW)
    set_alert(acme, currency="USD", threshold=Decimal(100))
    send_tickets(10)
    send_tickets(5, first=500, occurred_at="2026-11-02T00:00:00Z")
    overview = text_of(anna, "/portal/")
    for words in ("$10.00", "Friends", "-$1.00", "VAT 19 %", "$1.71", "$10.71"):
        assert words in overview, words
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    number = Invoice.objects.get().number
    page = text_of(anna, "/portal/credits/")
    # 20.00 less 10 % is 18.00, with 19 % 21.42: 78.58 are left of 100.00.
    for words in (
        "$78.58", "Your credit is below $100.00", "Prepaid 2026", "No end", "Friends", "10 % off, used 1 of 3 times",
        number, "-$21.42", "+$100.00", ": Granted twice",
    ):  # fmt: skip
        assert words in page, words
    assert "Bea" not in page
    invoice = text_of(anna, f"/portal/invoices/{number}/")
    for words in (
        "Subtotal",
        "Friends",
        "-$2.00",
        "VAT 19 %",
        "on $18.00",
        "$3.42",
        "$21.42",
    ):
        assert words in invoice, words


def test_pages_of_the_ledger_beyond_the_last_are_not_found(anna: Client) -> None:
    assert anna.get("/portal/credits/?page=2").status_code == 404
    assert anna.get("/portal/credits/?page=x").status_code == 404
