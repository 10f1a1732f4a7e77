"""Routes of plans, subscriptions, rates and invoices."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from billing.api.budgets import BudgetViewSet
from billing.api.cost_rates import CostRateViewSet
from billing.api.costs import CostsView, MarginsView
from billing.api.coupons import CouponViewSet, CustomerCouponViewSet
from billing.api.credit_alerts import CreditAlertViewSet
from billing.api.credits import CreditEntryViewSet, CreditGrantViewSet
from billing.api.disputes import DisputeViewSet
from billing.api.entitlements import EntitlementView, ReleaseView, ReservationsView, ReserveView, SettleView
from billing.api.invoices import InvoiceViewSet
from billing.api.late_usage import LateUsageViewSet
from billing.api.limits import LimitViewSet
from billing.api.outcomes import OutcomesView
from billing.api.plan_changes import PlanCompareView, PlanMoveView
from billing.api.plans import PlanViewSet
from billing.api.rates import RatePreviewView
from billing.api.reconciliation import ReconciliationView
from billing.api.recurring_grants import RecurringGrantViewSet
from billing.api.settlements import CreditNoteViewSet, PaymentViewSet
from billing.api.simulations import PlanSimulateView
from billing.api.subscriptions import SubscriptionViewSet
from billing.api.tax_rates import TaxRateViewSet
from billing.api.webhooks import WebhookDeliveryViewSet, WebhookEndpointViewSet

router = SimpleRouter()
router.register("plans", PlanViewSet)
router.register("subscriptions", SubscriptionViewSet)
router.register("invoices", InvoiceViewSet)
router.register("late-usage", LateUsageViewSet)
router.register("coupons", CouponViewSet)
router.register("customer-coupons", CustomerCouponViewSet)
router.register("credit-grants", CreditGrantViewSet)
router.register("credit-entries", CreditEntryViewSet)
router.register("recurring-grants", RecurringGrantViewSet)
router.register("credit-alerts", CreditAlertViewSet)
router.register("tax-rates", TaxRateViewSet)
router.register("credit-notes", CreditNoteViewSet)
router.register("payments", PaymentViewSet)
router.register("usage-limits", LimitViewSet)
router.register("disputes", DisputeViewSet)
router.register("cost-rates", CostRateViewSet)
router.register("budgets", BudgetViewSet)
router.register("webhook-endpoints", WebhookEndpointViewSet)
router.register("webhook-deliveries", WebhookDeliveryViewSet)

urlpatterns = [
    path("rates/preview/", RatePreviewView.as_view(), name="rate-preview"),
    path("costs/", CostsView.as_view(), name="costs"),
    path("margins/", MarginsView.as_view(), name="margins"),
    path("entitlements/<str:customer>/<str:meter>/", EntitlementView.as_view(), name="entitlement"),
    path(
        "entitlements/<str:customer>/<str:meter>/reservations/",
        ReservationsView.as_view(),
        name="reservations",
    ),
    path("entitlements/<str:customer>/<str:meter>/reserve/", ReserveView.as_view(), name="reserve"),
    path("entitlements/<str:customer>/<str:meter>/settle/", SettleView.as_view(), name="settle"),
    path("entitlements/<str:customer>/<str:meter>/release/", ReleaseView.as_view(), name="release"),
    path("outcomes/", OutcomesView.as_view(), name="outcomes"),
    path("reconciliation/", ReconciliationView.as_view(), name="reconciliation"),
    path("plans/<str:code>/compare/", PlanCompareView.as_view(), name="plan-compare"),
    path("plans/<str:code>/move/", PlanMoveView.as_view(), name="plan-move"),
    path("plans/<str:code>/simulate/", PlanSimulateView.as_view(), name="plan-simulate"),
    *router.urls,
]
