"""Taking back what was agreed about a subscription, as long as no invoice has charged its days."""

from __future__ import annotations

from django.db import transaction

from billing.agreed_changes import Author, write_down
from billing.agreements import locked_agreement
from billing.ending import invoiced_until, is_settled_short, reopen
from billing.errors import ChangeRefused
from billing.models import (
    AgreementKind,
    Invoice,
    InvoiceStatus,
    Subscription,
    SubscriptionChange,
)


def undo(change: SubscriptionChange, *, author: Author) -> SubscriptionChange:
    """Take a change back, as long as no invoice has charged its days. Raises ChangeRefused, SubscriptionOverlap."""
    with transaction.atomic():
        current, _ = locked_agreement(change.subscription)
        if problem := undo_problem(change):
            raise ChangeRefused(problem)
        if change.kind in (AgreementKind.PLAN, AgreementKind.REACTIVATE):
            assert change.following is not None  # it is written down with the subscription that follows
            following = Subscription.objects.select_for_update().get(pk=change.following.pk)
            following.moved_from = None
            following.save(update_fields=["moved_from"])
            reopen(following, end_on=following.start_on)
        if change.kind in (AgreementKind.PLAN, AgreementKind.CANCEL):
            reopen(current, end_on=change.previous_end_on)
        return write_down(
            current, AgreementKind.UNDO, effective_on=change.effective_on, author=author, undoes=change
        )


def undo_problem(change: SubscriptionChange) -> str:
    """Say why a change cannot be taken back; empty when it can."""
    subscription = change.subscription
    if change.kind == AgreementKind.UNDO:
        return "Taking back cannot be taken back. Make the change again."
    if SubscriptionChange.objects.filter(undoes=change).exists():
        return "It was taken back already."
    if change.kind in (AgreementKind.PLAN, AgreementKind.REACTIVATE):
        following = change.following
        assert following is not None
        if Invoice.objects.filter(subscription=following).exclude(status=InvoiceStatus.VOID).exists():
            return f"{following.plan} has an invoice already. Change the plan again instead."
        if (
            SubscriptionChange.objects.filter(subscription=following, undone_by=None)
            .exclude(kind=AgreementKind.UNDO)
            .exists()
        ):
            return f"{following.plan} was changed since. Take those changes back first."
    if (
        change.kind in (AgreementKind.PLAN, AgreementKind.CANCEL)
        and subscription.end_on != change.effective_on
    ):
        return "Its end was changed since."
    if change.kind == AgreementKind.CANCEL and _is_followed(subscription):
        return "It was reactivated since."
    billed = invoiced_until(subscription)
    if change.kind != AgreementKind.REACTIVATE and billed is not None and change.effective_on < billed:
        return f"Days before {billed} are invoiced already."
    if change.kind in (AgreementKind.PLAN, AgreementKind.CANCEL) and is_settled_short(subscription):
        return f"The last invoice, up to {billed}, is drawn up already. Reactivate it instead."
    if (
        change.kind == AgreementKind.PAUSE
        and SubscriptionChange.objects.filter(
            subscription=subscription, kind=AgreementKind.RESUME, pk__gt=change.pk, undone_by=None
        ).exists()
    ):
        return "It was resumed since. Take that back first."
    return ""


def _is_followed(subscription: Subscription) -> bool:
    return Subscription.objects.filter(moved_from=subscription).exists()
