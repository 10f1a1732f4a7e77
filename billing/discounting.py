"""Coupons on invoices: which of them a draft uses, what they take off, and its share on each line.

A coupon is used by the invoices that carry it, drafts included; one drawn up again gives its use back first. So drafts
may be refreshed as often as one likes, and voiding an invoice gives the use back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from django.db.models import Count, Max, Q

from billing.drafts import DraftDiscount, DraftLine, DuePeriod
from billing.models import CustomerCoupon, InvoiceDiscount, InvoiceStatus, LineKind
from billing.rating.discounts import Coupon, CouponKind, discount
from billing.rating.exact import ZERO, exactly
from billing.rating.splitting import split_by_largest_remainder
from customers.lookups import Ids
from metering.periods import Period

# An adjustment carries the discount of the line it adjusts; included spend is taken off before coupons.
NEVER_DISCOUNTED = frozenset({LineKind.ADJUSTMENT, LineKind.INCLUDED_SPEND})


@dataclass(slots=True)
class Uses:
    """How often a customer's coupon was used on live invoices, and the number of its last use."""

    live: int = 0
    last_n: int = 0


@dataclass(slots=True)
class HeldCoupons:
    """The coupons of some customers. `take` remembers what it used, so that a chunk shares them in its order."""

    by_customer: dict[int, list[CustomerCoupon]] = field(default_factory=dict)
    uses: dict[int, Uses] = field(default_factory=dict)

    def take(
        self, due: DuePeriod, lines: Sequence[DraftLine], *, currency: str, digits: int
    ) -> tuple[list[DraftLine], tuple[DraftDiscount, ...]]:
        """Discount the lines of one invoice and use the coupons that took something off."""
        held = [
            each
            for each in self.by_customer.get(due.subscription.customer_id, ())
            if _is_for(each, due.period, currency)
            and (not each.coupon.plan_codes or due.subscription.plan.code in each.coupon.plan_codes)
        ]
        return self._take(held, lines, digits=digits)

    def take_without_plan(
        self, customer_id: int, period: Period, lines: Sequence[DraftLine], *, currency: str, digits: int
    ) -> tuple[list[DraftLine], tuple[DraftDiscount, ...]]:
        """Discount the lines of an invoice that belongs to no plan: with coupons that are for no plan or rate."""
        held = [
            each
            for each in self.by_customer.get(customer_id, ())
            if _is_for(each, period, currency) and not (each.coupon.plan_codes or each.coupon.rates)
        ]
        return self._take(held, lines, digits=digits)

    def _take(
        self, found: Iterable[CustomerCoupon], lines: Sequence[DraftLine], *, digits: int
    ) -> tuple[list[DraftLine], tuple[DraftDiscount, ...]]:
        held = [each for each in found if self._is_open(each)]
        if not held:
            return list(lines), ()
        bases = discountable(lines, digits=digits)
        coupons = [
            Coupon(CouponKind(each.coupon.kind), each.coupon.value, _places(each, lines)) for each in held
        ]
        off = discount(bases, coupons, digits=digits)
        used: list[DraftDiscount] = []
        for each, amount in sorted(
            zip(held, off.by_coupon, strict=True), key=lambda pair: pair[0].coupon.kind == CouponKind.FIXED
        ):
            if amount:
                uses = self.uses.setdefault(each.pk, Uses())
                uses.live += 1
                uses.last_n += 1
                coupon = each.coupon
                used.append(
                    DraftDiscount(
                        len(used) + 1, each.pk, uses.last_n, coupon.name, coupon.kind, coupon.value, amount
                    )
                )
        shared = [
            replace(line, discount=part) if part else line
            for line, part in zip(lines, off.by_line, strict=True)
        ]
        return shared, tuple(used)

    def _is_open(self, held: CustomerCoupon) -> bool:
        limit = held.coupon.limit
        return limit is None or self.uses.get(held.pk, Uses()).live < limit


def held_coupons(customer_ids: Collection[int], *, replaced: Collection[int] = ()) -> HeldCoupons:
    """Read the coupons of customers and their uses, in two queries. Drafts in `replaced` have used none."""
    found = HeldCoupons()
    rows = CustomerCoupon.objects.filter(customer__among=Ids(customer_ids), removed_at=None).select_related(
        "coupon"
    )
    for row in rows.order_by("given_at", "id"):
        found.by_customer.setdefault(row.customer_id, []).append(row)
    if found.by_customer:
        found.uses = uses_of(
            (each for held in found.by_customer.values() for each in held), replaced=replaced
        )
    return found


def uses_of(held: Iterable[CustomerCoupon], *, replaced: Collection[int] = ()) -> dict[int, Uses]:
    """Count the uses of customers' coupons, in one query. Void invoices and those in `replaced` have used none."""
    live = ~Q(invoice__status=InvoiceStatus.VOID) & ~Q(invoice__in=list(replaced))
    counted = (
        InvoiceDiscount.objects.filter(customer_coupon__in=[each.pk for each in held])
        .values("customer_coupon")
        .annotate(live=Count("id", filter=live), last=Max("use_n", filter=~Q(invoice__in=list(replaced))))
    )
    return {row["customer_coupon"]: Uses(row["live"], row["last"] or 0) for row in counted}


@exactly
def discountable(lines: Sequence[DraftLine], *, digits: int) -> list[Decimal]:
    """Give what coupons may take off each line: nothing of adjustments, and of usage what is not included."""
    bases = [ZERO if line.kind in NEVER_DISCOUNTED else max(line.amount, ZERO) for line in lines]
    included = -sum((line.amount for line in lines if line.kind == LineKind.INCLUDED_SPEND), ZERO)
    usage = [base if line.kind == LineKind.USAGE else ZERO for line, base in zip(lines, bases, strict=True)]
    parts = split_by_largest_remainder(min(included, sum(usage, ZERO)), usage, digits=digits)
    return [base - part for base, part in zip(bases, parts, strict=True)]


def _is_for(held: CustomerCoupon, period: Period, currency: str) -> bool:
    return held.coupon.currency in ("", currency) and period.end_on > held.start_on


def _places(held: CustomerCoupon, lines: Sequence[DraftLine]) -> frozenset[int] | None:
    wanted = held.coupon.rates
    if not wanted:
        return None
    return frozenset(n for n, line in enumerate(lines) if line.rate_code in wanted)
