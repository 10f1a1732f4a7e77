"""Errors of the billing app. Each leaf has a stable code and a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping


class BillingError(Exception):
    """Base of everything this app refuses. `code` is stable; `fields` names what to correct, by path."""

    code = "billing_error"

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fields = dict(fields or {})


class InvalidRate(BillingError):
    code = "invalid_rate"


class InvalidExample(BillingError):
    code = "invalid_example"


class PlanFrozen(BillingError):
    code = "plan_frozen"


class PlanNotReady(BillingError):
    code = "plan_not_ready"


class PlanNotActive(BillingError):
    code = "plan_not_active"


class SubscriptionOverlap(BillingError):
    code = "subscription_overlap"


class CurrencyMismatch(BillingError):
    code = "currency_mismatch"


class InvalidDates(BillingError):
    code = "invalid_dates"


class MoveRefused(BillingError):
    code = "move_refused"


class ChangeRefused(BillingError):
    code = "change_refused"


class NoSubscription(BillingError):
    code = "no_subscription"


class PeriodNotOver(BillingError):
    code = "period_not_over"


class ReasonMissing(BillingError):
    code = "reason_missing"


class EffectChanged(BillingError):
    code = "effect_changed"


class NotCreditable(BillingError):
    """Late usage that no credit note can pay back."""

    code = "not_creditable"


class DecidedTogether(BillingError):
    """Late usage of an invoice whose plan terms look at all its usage is waived or credited as a whole."""

    code = "decided_together"


class KeptChanging(BillingError):
    """Somebody changed a customer's plans or invoices again and again while they were invoiced."""

    code = "kept_changing"


class InvalidCostRate(BillingError):
    code = "invalid_cost_rate"


class CostRateOverlap(BillingError):
    code = "cost_rate_overlap"


class CostsUnclear(BillingError):
    """Costs were asked for in a way that has no one answer, such as several currencies at once."""

    code = "costs_unclear"


class NotInThisState(BillingError):
    """What was asked for is not open to an invoice in its present state; `fields` is empty."""

    code = "not_in_this_state"


class InvalidAmount(BillingError):
    code = "invalid_amount"


class KeyTaken(BillingError):
    """The caller's own name for a record stands for another one."""

    code = "key_taken"


class FiguresChanged(BillingError):
    """What was shown before the confirmation is no longer what would be done."""

    code = "figures_changed"


class RatingFailed(BillingError):
    """A customer's usage could not be rated; the others are billed."""

    code = "rating_failed"


class InvalidCoupon(BillingError):
    code = "invalid_coupon"


class CouponNotAvailable(BillingError):
    """The coupon exists and cannot be given: archived, out of its days, given as often as it may be."""

    code = "coupon_not_available"


class InvalidCredit(BillingError):
    code = "invalid_credit"


class CreditNotVoidable(BillingError):
    code = "credit_not_voidable"


class RecurrenceStopped(BillingError):
    """A recurring grant was stopped before."""

    code = "recurrence_stopped"


class CreditsSpent(BillingError):
    """What an invoice became is used already, so it cannot be taken back."""

    code = "credits_spent"


class InvalidTaxRate(BillingError):
    code = "invalid_tax_rate"


class DisputeRefused(BillingError):
    """Outcomes that cannot be disputed: not offered, too late, disputed before, or not billed by this line."""

    code = "dispute_refused"


class DisputedBefore(DisputeRefused):
    """One of the outcomes is in a dispute already."""


class InvalidLimit(BillingError):
    code = "invalid_limit"


class LimitExists(BillingError):
    code = "limit_exists"


class LimitRefused(BillingError):
    code = "limit_refused"


class LimitReached(BillingError):
    code = "limit_reached"


class ReservationRefused(BillingError):
    code = "reservation_refused"


class AddressRefused(BillingError):
    """A webhook may not go there: no public https address, or one inside a private network."""

    code = "address_refused"

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"url": message})


class SecretLost(BillingError):
    code = "secret_lost"


class InvalidEndpoint(BillingError):
    code = "invalid_endpoint"


class InvalidBudget(BillingError):
    code = "invalid_budget"
