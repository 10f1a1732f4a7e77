"""The gate of a close: customers with serious findings keep their drafts until a person approves, with a reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from billing.comparing import find_unusual, limits
from billing.drafts import InvoiceDraft
from billing.errors import ReasonMissing
from billing.findings import Finding, is_approved
from billing.models import CloseReview
from billing.months import Month
from customers.lookups import Ids
from customers.models import Customer

MAX_REASON = 400


@dataclass(frozen=True, slots=True)
class Review:
    """What was found about one customer; `held` while something serious is not approved."""

    customer: Customer
    currency: str
    findings: tuple[Finding, ...]
    held: bool

    @property
    def worst_first(self) -> list[Finding]:
        return sorted(self.findings, key=lambda found: (not found.holds, -found.weight))


def review_drafts(drafts: Sequence[InvoiceDraft], month: Month) -> list[Review]:
    """Compare drafts and say which customers are held. Writes nothing."""
    found = find_unusual(drafts, month)
    if not found:
        return []
    customers = {draft.due.subscription.customer_id: draft for draft in drafts}
    serious = {pk for pk, findings in found.items() if any(each.holds for each in findings)}
    approved = {
        pk: [Finding.from_json(each) for each in stored]
        for pk, stored in CloseReview.objects.filter(month=month.first, customer__in=serious)
        .exclude(approved_at=None)
        .values_list("customer_id", "approved")
    }
    within = limits()
    return [
        Review(
            customer=customers[pk].due.subscription.customer,
            currency=customers[pk].currency,
            findings=tuple(findings),
            held=any(each.holds and not is_approved(each, approved.get(pk, []), within) for each in findings),
        )
        for pk, findings in found.items()
    ]


def save_reviews(
    reviews: Sequence[Review], month: Month, *, looked_at: Collection[int], now: datetime
) -> None:
    """Keep what was found about customers; what is no longer so goes, what a person approved stays."""
    found = {review.customer.pk for review in reviews}
    old = CloseReview.objects.filter(month=month.first, customer__among=Ids(set(looked_at) - found))
    old.filter(approved_at=None).delete()
    old.update(held=False)
    CloseReview.objects.bulk_create(
        [
            CloseReview(
                customer=review.customer,
                month=month.first,
                kinds=sorted({found.kind for found in review.findings}),
                findings=[found.as_json() for found in review.worst_first],
                held=review.held,
                currency=review.currency,
                weight=max(found.weight for found in review.findings),
                found_at=now,
            )
            for review in reviews
        ],
        update_conflicts=True,
        unique_fields=["customer", "month"],
        update_fields=["kinds", "findings", "held", "currency", "weight", "found_at"],
    )


def approve(review_ids: Collection[int], *, reason: str, by: User, now: datetime) -> int:
    """Let held invoices go, as they are now; give how many customers. The next close of the month issues them.

    Raises ReasonMissing. One that changes a lot after it was approved is held again.
    """
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON:
        text = f"Say in a sentence of at most {MAX_REASON} characters why these are right."
        raise ReasonMissing(text, fields={"reason": text})
    with transaction.atomic():
        held = list(
            CloseReview.objects.select_for_update(of=("self",))
            .filter(pk__in=review_ids, held=True)
            .order_by("id")
        )
        for review in held:
            review.approved = review.findings
            review.approved_at, review.approved_by, review.reason = now, by, reason
            review.held = False
            review.save()
    return len(held)
