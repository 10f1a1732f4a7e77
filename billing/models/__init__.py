"""WHAT IT COSTS: plans and their rates, subscriptions, invoices."""

from billing.models.adjustments import (
    AdjustmentNumber,
    AdjustmentScan,
    AdjustmentWaiver,
    ChangedLine,
    LineSettlement,
)
from billing.models.budgets import AlarmKind, Budget, BudgetAlarm, BudgetMeasure, BudgetPoint
from billing.models.checks import CheckKind, CheckRun
from billing.models.closes import CloseEntrance, CloseRun, CloseState, ParkedCustomer
from billing.models.costs import CostRate, CostRateKind
from billing.models.coupons import Coupon, CouponDuration, CouponType, CustomerCoupon, InvoiceDiscount
from billing.models.credits import (
    CreditAlert,
    CreditEntry,
    CreditEntryKind,
    CreditGrant,
    CreditKind,
    GrantInterval,
    RecurringGrant,
)
from billing.models.deliveries import Delivery, MailKind, MailState, MailText
from billing.models.disputes import (
    Dispute,
    DisputedOutcome,
    DisputedState,
    DisputeRemedy,
    DisputeState,
    DisputeStep,
    DisputeStepKind,
)
from billing.models.invoices import BILLED, Invoice, InvoiceKind, InvoiceSeries, InvoiceStatus
from billing.models.limits import (
    LimitKind,
    LimitReminder,
    LimitSetter,
    Reservation,
    ReservationState,
    UsageLimit,
)
from billing.models.lines import InvoiceLine, LineKind
from billing.models.outcomes import Outcome
from billing.models.papers import DocumentWords, Logo, Seller
from billing.models.payments import (
    ChangeKind,
    CreditNote,
    CreditNoteLine,
    InvoiceChange,
    Payment,
    PaymentKind,
    PaymentMethod,
)
from billing.models.plans import BillingPeriod, Plan, PlanExample, PlanStatus
from billing.models.rates import Rate, RateKind
from billing.models.reconciliations import ReconciliationRun
from billing.models.reviews import CloseReview, FindingKind, PortalTotal
from billing.models.subscriptions import (
    AgreementKind,
    AnchorRule,
    MeterCoverage,
    Subscription,
    SubscriptionChange,
)
from billing.models.taxes import TaxCategory, TaxRate, TaxSetup
from billing.models.webhooks import (
    NoticeMail,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
    WebhookState,
)

__all__ = [
    "BILLED",
    "AdjustmentNumber",
    "AdjustmentScan",
    "AdjustmentWaiver",
    "AgreementKind",
    "AlarmKind",
    "AnchorRule",
    "BillingPeriod",
    "Budget",
    "BudgetAlarm",
    "BudgetMeasure",
    "BudgetPoint",
    "ChangeKind",
    "ChangedLine",
    "CheckKind",
    "CheckRun",
    "CloseEntrance",
    "CloseReview",
    "CloseRun",
    "CloseState",
    "CostRate",
    "CostRateKind",
    "Coupon",
    "CouponDuration",
    "CouponType",
    "CreditAlert",
    "CreditEntry",
    "CreditEntryKind",
    "CreditGrant",
    "CreditKind",
    "CreditNote",
    "CreditNoteLine",
    "CustomerCoupon",
    "Delivery",
    "Dispute",
    "DisputeRemedy",
    "DisputeState",
    "DisputeStep",
    "DisputeStepKind",
    "DisputedOutcome",
    "DisputedState",
    "DocumentWords",
    "FindingKind",
    "GrantInterval",
    "Invoice",
    "InvoiceChange",
    "InvoiceDiscount",
    "InvoiceKind",
    "InvoiceLine",
    "InvoiceSeries",
    "InvoiceStatus",
    "LimitKind",
    "LimitReminder",
    "LimitSetter",
    "LineKind",
    "LineSettlement",
    "Logo",
    "MailKind",
    "MailState",
    "MailText",
    "MeterCoverage",
    "NoticeMail",
    "Outcome",
    "ParkedCustomer",
    "Payment",
    "PaymentKind",
    "PaymentMethod",
    "Plan",
    "PlanExample",
    "PlanStatus",
    "PortalTotal",
    "Rate",
    "RateKind",
    "ReconciliationRun",
    "RecurringGrant",
    "Reservation",
    "ReservationState",
    "Seller",
    "Subscription",
    "SubscriptionChange",
    "TaxCategory",
    "TaxRate",
    "TaxSetup",
    "UsageLimit",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookMessage",
    "WebhookState",
]
