"""The rows between the lines of an invoice and what is due, in words: discounts, taxes, credits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from billing.drafts import DraftCredit, DraftDiscount, DraftTax
from billing.formatting import money
from billing.models import CouponType, CreditEntryKind, Invoice
from billing.parts import discounts_of


@dataclass(frozen=True, slots=True)
class TotalRow:
    """One row. `note` explains it; `kind` is subtotal, discount, tax, included, sentence, total, credit or due."""

    kind: str
    label: str
    amount: str
    note: str = ""


class Drawn(Protocol):
    """What is drawn up and not stored: an invoice of a period, or a one-off one."""

    @property
    def currency(self) -> str: ...
    @property
    def subtotal(self) -> Decimal: ...
    @property
    def total(self) -> Decimal: ...
    @property
    def credits_applied(self) -> Decimal: ...
    @property
    def discounts(self) -> Sequence[DraftDiscount]: ...
    @property
    def taxes(self) -> Sequence[DraftTax]: ...
    @property
    def credits(self) -> Sequence[DraftCredit]: ...


def total_rows(invoice: Invoice | Drawn) -> list[TotalRow]:
    """Give the rows of an invoice, stored or only drawn up; those of a preview say what would be paid."""
    currency = invoice.currency
    discounts, taxes, credits_used = _parts(invoice)
    rows = []
    if discounts or taxes:
        rows.append(TotalRow("subtotal", "Subtotal", money(invoice.subtotal, currency)))
    for each in discounts:
        fixed = each.kind == CouponType.FIXED
        off = money(each.value, currency) if fixed else f"{each.value.normalize():f} %"
        note = f"{off} off" if off not in each.name else ""
        rows.append(TotalRow("discount", each.name, money(-each.amount, currency), note))
    rows += _tax_rows(taxes, currency)
    rows.append(TotalRow("total", "Total", money(invoice.total, currency)))
    if invoice.credits_applied < 0:
        label = "Carried over as a credit"
        rows.append(TotalRow("credit", label, money(-invoice.credits_applied, currency)))
    rows += [TotalRow("credit", f"Credit: {name}", money(-amount, currency)) for name, amount in credits_used]
    if invoice.credits_applied:
        rows.append(TotalRow("due", "To pay", money(invoice.total - invoice.credits_applied, currency)))
    return rows


def _parts(
    invoice: Invoice | Drawn,
) -> tuple[list[Any], list[Mapping[str, Any]], list[tuple[str, Decimal]]]:
    if not isinstance(invoice, Invoice):
        taxes: list[Mapping[str, Any]] = [tax.as_json() for tax in invoice.taxes]
        return list(invoice.discounts), taxes, [(each.name, each.amount) for each in invoice.credits]
    entries = (
        invoice.credit_entries.filter(kind=CreditEntryKind.APPLIED).select_related("grant").order_by("id")
    )
    used = [(entry.grant.name, -entry.amount) for entry in entries] if invoice.credits_applied > 0 else []
    return discounts_of(invoice), list(invoice.taxes), used


def _tax_rows(taxes: Iterable[Mapping[str, Any]], currency: str) -> Iterable[TotalRow]:
    for tax in taxes:
        base = money(Decimal(tax["base"]), currency)
        if tax["treatment"] != "taxed":
            yield TotalRow(
                "sentence", tax["name"], money(Decimal(0), currency), tax["sentence"] or f"on {base}"
            )
        elif tax["inclusive"]:
            label = f"{tax['name']} {tax['percent']} %, inside the prices"
            yield TotalRow("included", label, money(Decimal(tax["amount"]), currency), f"on {base}")
        else:
            label = f"{tax['name']} {tax['percent']} %"
            yield TotalRow("tax", label, money(Decimal(tax["amount"]), currency), f"on {base}")
