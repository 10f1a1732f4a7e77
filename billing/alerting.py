"""Telling a customer that its credits run low: once, and again only after the balance was above the threshold."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import DecimalField, F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.crediting import usable_grants
from billing.errors import InvalidCredit
from billing.formatting import amount_text, money
from billing.models import CreditAlert
from billing.models.plans import MAX_AMOUNT
from billing.notifying import announce, queue_mails
from billing.parties import issuer_now
from billing.rating.money import currency_digits, round_amount
from billing.webhook_types import WebhookType
from customers.errors import AlreadyExists
from customers.models import Customer


def set_alert(customer: Customer, *, currency: str, threshold: Decimal | None) -> CreditAlert | None:
    """Tell the customer below a balance; None tells nobody. Raises InvalidCredit for an amount that cannot be."""
    if threshold is None:
        CreditAlert.objects.filter(customer=customer, currency=currency).delete()
        return None
    _check(threshold, currency)
    alert, _ = CreditAlert.objects.update_or_create(
        customer=customer, currency=currency, defaults={"threshold": threshold, "notified_at": None}
    )
    return alert


def add_alert(customer: Customer, *, currency: str, threshold: Decimal) -> CreditAlert:
    """Tell the customer below a balance. Raises InvalidCredit, AlreadyExists where one of the currency is there."""
    _check(threshold, currency)
    try:
        with transaction.atomic():
            return CreditAlert.objects.create(customer=customer, currency=currency, threshold=threshold)
    except IntegrityError as refused:
        if "creditalert_one_per_currency" not in str(refused):
            raise
        message = f"{customer.name} has a balance alert in {currency} already. Change its threshold."
        raise AlreadyExists(message, field="currency") from refused


def alerts_with_balance(*, now: datetime) -> Any:
    """Give the query of all alerts, each with what its customer can use now as `left`."""
    balance = (
        usable_grants(now=now).filter(customer=OuterRef("customer"), currency=OuterRef("currency")).order_by()
    )
    summed = balance.values("customer").annotate(sum=Sum("balance")).values("sum")
    amounts = DecimalField(max_digits=24, decimal_places=4)
    return CreditAlert.objects.annotate(left=Coalesce(Subquery(summed), Decimal(0), output_field=amounts))


def _check(threshold: Decimal, currency: str) -> None:
    digits = currency_digits(currency)
    if not 0 < threshold < MAX_AMOUNT or round_amount(threshold, digits) != threshold:
        message = f"Give an amount above 0 with at most {digits} decimals."
        raise InvalidCredit(message, fields={"threshold": message})


def send_alerts(*, now: datetime) -> int:
    """Tell every customer whose balance fell below its threshold, by mail and webhook; give how many. Rerunning tells
    nobody again.

    A customer without an address is shown to staff and told by webhooks.
    """
    alerts = alerts_with_balance(now=now)
    alerts.filter(left__gte=F("threshold"), notified_at__isnull=False).update(notified_at=None)
    sent = 0
    low = alerts.filter(left__lt=F("threshold"), notified_at=None)
    for pk, left in low.values_list("pk", "left"):
        with transaction.atomic():
            alert = (
                CreditAlert.objects.select_for_update(of=("self",))
                .select_related("customer")
                .filter(pk=pk, notified_at=None)
                .first()
            )
            if alert is None:
                continue  # another run was faster
            CreditAlert.objects.filter(pk=pk).update(notified_at=now)
            _tell(alert, left, now=now)
            sent += 1
    return sent


def _tell(alert: CreditAlert, left: Decimal, *, now: datetime) -> None:
    name, customer = issuer_now()["name"], alert.customer
    announce(
        WebhookType.ALERT_FIRED,
        customer.code,
        {
            "kind": "credit_balance",
            "customer": customer.code,
            "currency": alert.currency,
            "balance": amount_text(left, alert.currency),
            "threshold": amount_text(alert.threshold, alert.currency),
        },
        now=now,
    )
    if customer.email:
        queue_mails(
            [customer.email],
            subject=f"Your credit at {name} runs low",
            body=f"Your credit balance is {money(left, alert.currency)}. "
            f"You asked to be told below {money(alert.threshold, alert.currency)}.\n\n"
            "What credits do not cover is due on the invoice.\n\n"
            f"{name}\n",
            now=now,
        )
