"""An invoice drawn up and not stored. Everything that issuing freezes is here, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from billing.errors import RatingFailed
from billing.models import InvoiceKind, Subscription, TaxCategory
from billing.rating import Step
from customers.models import Customer
from metering.models import Meter
from metering.periods import Period

# Who pays, in which currency, whether for the start of periods, and the day on which they end, or begin.
GroupKey = tuple[int, str, bool, date]
# Subscription (None on a one-off invoice), first day of the period, kind.
InvoiceKey = tuple[int | None, date, str]


@dataclass(frozen=True, slots=True)
class DuePeriod:
    """The days of one billing period that one subscription covers. The plan and customer are loaded on it.

    `agreed_by` is the stored subscription whose seats and pauses hold, where another one stands in for it.
    """

    subscription: Subscription
    period: Period
    kind: str = InvoiceKind.PERIODIC
    agreed_by: int | None = None

    @property
    def key(self) -> InvoiceKey:
        """Name the invoice: there is at most one live invoice of a key."""
        return self.subscription.id, self.period.start_on, self.kind  # an id costs less than a pk

    @property
    def group(self) -> GroupKey:
        """Name the consolidated invoice that the period goes on, where customers are billed together."""
        subscription, at_start = self.subscription, self.kind == InvoiceKind.AT_START
        day = self.period.start_on if at_start else self.period.end_on
        return subscription.customer.payer_id, subscription.plan.currency, at_start, day


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One line as it will be printed. `amount` is rounded; `working` adds up to the amount before rounding.

    `rate_id` is None for what the plan as a whole charges or includes.
    """

    n: int
    kind: str
    description: str
    rate_id: int | None
    meter: Meter | None
    unit: str
    quantity: Decimal
    events: int
    unit_amount: Decimal | None
    amount: Decimal
    terms: Mapping[str, object]
    working: tuple[Step, ...]
    period: Period
    adjusts_id: int | None = None
    adjustment_n: int | None = None
    adjusts_plan: bool = False
    subscription_id: int | None = None
    fee_start: date | None = None
    fee_n: int | None = None
    discount: Decimal = Decimal(0)
    tax_category: str = TaxCategory.STANDARD.value
    taxed_by: tuple[int, ...] = ()

    @property
    def rate_code(self) -> str:
        """Name the rate across the versions of a plan: the code of its meter, or the name of a fee."""
        return self.meter.code if self.meter else str(self.terms.get("label", ""))


@dataclass(frozen=True, slots=True)
class DraftDiscount:
    """What one coupon takes off. `value` is a percentage or an amount, by `kind`; `amount` is above 0."""

    n: int
    customer_coupon_id: int
    use_n: int
    name: str
    kind: str
    value: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class DraftTax:
    """One line of the tax summary. `base` is without tax; `amount` is inside the prices where `inclusive`.

    `treatment` other than "taxed" says why there is none; `sentence` is what the invoice must then say.
    """

    n: int
    name: str
    country: str
    region: str
    category: str
    percent: Decimal
    inclusive: bool
    base: Decimal
    amount: Decimal
    treatment: str
    sentence: str

    def as_json(self) -> dict[str, object]:
        """Give what an invoice freezes, decimals as text."""
        return {
            "n": self.n,
            "name": self.name,
            "country": self.country,
            "region": self.region,
            "category": self.category,
            "percent": f"{self.percent.normalize():f}",
            "inclusive": self.inclusive,
            "base": f"{self.base:f}",
            "amount": f"{self.amount:f}",
            "treatment": self.treatment,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class DraftCredit:
    """What would be taken from one credit grant if the invoice were issued now; None: one that is granted by then."""

    grant_id: int | None
    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class InvoiceDraft:
    """An invoice drawn up and not stored: everything that issuing would freeze. Amounts are in major units.

    `total` is `subtotal - discount + tax`. `examined` are the changed lines of closed periods that it settles, also
    those whose difference is zero. Credits are known in previews only: stored drafts get them when they are issued.
    """

    due: DuePeriod
    currency: str
    lines: tuple[DraftLine, ...]
    subtotal: Decimal
    tax: Decimal
    total: Decimal
    issuer: Mapping[str, str]
    recipient: Mapping[str, str]
    watermark: int
    examined: tuple[int, ...]
    drawn_up_at: datetime
    discount: Decimal = Decimal(0)
    tax_included: Decimal = Decimal(0)
    credits_applied: Decimal = Decimal(0)
    discounts: tuple[DraftDiscount, ...] = ()
    taxes: tuple[DraftTax, ...] = ()
    credits: tuple[DraftCredit, ...] = ()
    plan_terms: Mapping[str, object] | None = None
    part_n: int | None = None

    @property
    def customer(self) -> Customer:
        return self.due.subscription.customer

    @property
    def period(self) -> Period:
        return self.due.period

    @property
    def title(self) -> str:
        """What is billed, in words."""
        return str(self.due.subscription.plan)

    @property
    def amount_due(self) -> Decimal:
        """What is to pay once it is issued; nothing of a part, which is paid on the consolidated invoice."""
        return self.total - self.credits_applied


@dataclass(frozen=True, slots=True)
class ConsolidatedDraft:
    """One invoice for several subscriptions, drawn up and not stored. Its parts are drafts of their own, before tax.

    `period` reaches from the first day of any part to the last, in the payer's time zone.
    """

    customer: Customer
    parts: tuple[InvoiceDraft, ...]
    period: Period
    currency: str
    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    tax_included: Decimal
    taxes: tuple[DraftTax, ...]
    total: Decimal
    issuer: Mapping[str, str]
    recipient: Mapping[str, str]
    credits_applied: Decimal = Decimal(0)
    credits: tuple[DraftCredit, ...] = ()

    @property
    def amount_due(self) -> Decimal:
        """What is to pay once it is issued."""
        return self.total - self.credits_applied

    @property
    def title(self) -> str:
        """What is billed, in words."""
        return plans_of(len({part.customer.pk for part in self.parts}))

    @property
    def lines(self) -> tuple[DraftLine, ...]:
        return tuple(line for part in self.parts for line in part.lines)

    @property
    def discounts(self) -> tuple[DraftDiscount, ...]:
        return tuple(discount for part in self.parts for discount in part.discounts)

    @property
    def watermark(self) -> int:
        """The position up to which all of its parts were measured."""
        return min(part.watermark for part in self.parts)

    @property
    def drawn_up_at(self) -> datetime:
        return max(part.drawn_up_at for part in self.parts)


def plans_of(customers: int) -> str:
    """Say what a consolidated invoice is for."""
    return "Plans of 1 customer" if customers == 1 else f"Plans of {customers} customers"


AnyDraft = InvoiceDraft | ConsolidatedDraft


def customers_of(draft: AnyDraft) -> set[int]:
    """Give the customers whose plans are billed on an invoice, and the one that pays for it."""
    parts = draft.parts if isinstance(draft, ConsolidatedDraft) else ()
    return {draft.customer.pk, *(part.customer.pk for part in parts)}


@dataclass(frozen=True, slots=True)
class DrawnUp:
    """The drafts of a chunk of customers, and the error of each that could not be drawn up.

    The parts of consolidated invoices are among `drafts`, with a `part_n`.
    """

    drafts: list[InvoiceDraft] = field(default_factory=list)
    consolidated: list[ConsolidatedDraft] = field(default_factory=list)
    failures: list[tuple[DuePeriod, RatingFailed]] = field(default_factory=list)

    @property
    def documents(self) -> list[AnyDraft]:
        """What would be sent: the drafts that are no parts, then the consolidated ones."""
        return [*(draft for draft in self.drafts if draft.part_n is None), *self.consolidated]
