"""The admin's side menu, in the order in which billing staff set things up."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Give the groups of the menu. Unmatched events show how many wait, because each is money not yet billed."""
    badges = _badges(request)
    return [
        {
            "title": None,
            "items": [
                _item("Dashboard", "dashboard", "index"),
                _item("Meters", "speed", "metering_meter_changelist", "metering.view_meter"),
                _item("Pricing", "sell", "billing_plan_changelist", "billing.view_plan"),
                _item("Customers", "group", "customers_customer_changelist", "customers.view_customer"),
                _item("Invoices", "receipt_long", "billing_invoice_changelist", "billing.view_invoice"),
                _item(
                    "Credit notes",
                    "assignment_return",
                    "billing_creditnote_changelist",
                    "billing.view_creditnote",
                ),
                _item("Payments", "payments", "billing_payment_changelist", "billing.view_payment"),
                _item("Outcomes", "task_alt", "billing_outcome_changelist", "billing.view_outcome"),
                _item("Disputes", "gavel", "billing_dispute_changelist", "billing.view_dispute")
                | badges["disputed"],
                _item(
                    "Usage limits", "speed_camera", "billing_usagelimit_changelist", "billing.view_usagelimit"
                ),
                _item("Workloads", "memory", "metering_workload_changelist", "metering.view_workload")
                | {"active": _is_costs},
                _item("Budgets", "savings", "billing_budget_changelist", "billing.view_budget"),
            ],
        },
        {
            "title": "Closing",
            "separator": True,
            "items": [
                _item("Closes", "event_available", "billing_closerun_changelist", "billing.view_closerun"),
                _item(
                    "Unusual invoices",
                    "rule",
                    "billing_closereview_changelist",
                    "billing.view_closereview",
                )
                | badges["held"],
                _item(
                    "Late usage",
                    "history_toggle_off",
                    "billing_changedline_changelist",
                    "billing.view_changedline",
                ),
                _item(
                    "Customers not billed",
                    "error",
                    "billing_parkedcustomer_changelist",
                    "billing.view_parkedcustomer",
                )
                | badges["parked"],
            ],
        },
        {
            "title": "Data",
            "separator": True,
            "items": [
                _item("Events", "data_object", "metering_event_changelist", "metering.view_event")
                | {"active": _is_events},
                _item("Unmatched events", "link_off", "metering_event_unmatched", "metering.view_event")
                | _waiting(request),
                _item(
                    "Event conflicts",
                    "difference",
                    "metering_eventconflict_changelist",
                    "metering.view_eventconflict",
                ),
                _item(
                    "Reconciliation",
                    "balance",
                    "billing_reconciliationrun_changelist",
                    "billing.view_invoice",
                ),
                _item("Checks", "verified", "billing_checkrun_changelist", "billing.view_checkrun"),
            ],
        },
        {
            "title": "Money",
            "separator": True,
            "items": [
                _item("Coupons", "percent_discount", "billing_coupon_changelist", "billing.view_coupon"),
                _item("Tax rates", "account_balance", "billing_taxrate_changelist", "billing.view_taxrate"),
                _item("Seller", "storefront", "billing_seller_changelist", "billing.view_seller"),
            ],
        },
        {
            "title": "Access",
            "separator": True,
            "items": [
                _item("API keys", "key", "customers_apikey_changelist", "customers.view_apikey"),
                _item(
                    "Webhook endpoints",
                    "webhook",
                    "billing_webhookendpoint_changelist",
                    "billing.view_webhookendpoint",
                )
                | badges["broken"],
                _item(
                    "Webhook deliveries",
                    "send",
                    "billing_webhookdelivery_changelist",
                    "billing.view_webhookdelivery",
                ),
                _item("Notices", "notifications", "billing_noticemail_changelist", "billing.view_noticemail"),
                _item("Mail texts", "mail", "billing_mailtext_changelist", "billing.view_mailtext"),
                _item("Users", "badge", "auth_user_changelist", "auth.view_user"),
                _item("Groups", "shield_person", "auth_group_changelist", "auth.view_group"),
            ],
        },
    ]


def _item(title: str, icon: str, url: str, *permissions: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{url}"),
        "permission": lambda request: request.user.has_perms(permissions),
    }


def _is_costs(request: HttpRequest) -> bool:
    return request.path.startswith(
        (reverse("admin:metering_workload_changelist"), reverse("admin:billing_costrate_changelist"))
    )


def _is_events(request: HttpRequest) -> bool:
    path, start = request.path, reverse("admin:metering_event_changelist")
    return path.startswith(start) and path != reverse("admin:metering_event_unmatched")


def _waiting(request: HttpRequest) -> dict[str, Any]:
    if not request.user.has_perm("metering.view_event"):
        return {}
    from metering.unmatched import WAITING_AT_MOST, count_waiting

    waiting = count_waiting()
    if not waiting:
        return {}
    badge = f"{waiting}+" if waiting == WAITING_AT_MOST else waiting
    return {"badge": badge, "badge_variant": "warning"}


def _badges(request: HttpRequest) -> dict[str, dict[str, Any]]:
    """Count what waits for a person in the lists that this one may open, all in one query."""
    from django.db.models import Count, QuerySet, Value

    from billing.models import CloseReview, Dispute, ParkedCustomer, WebhookEndpoint

    waiting: dict[str, tuple[QuerySet[Any], str, str]] = {
        "disputed": (Dispute.objects.filter(state="open"), "billing.view_dispute", "warning"),
        "held": (CloseReview.objects.filter(held=True), "billing.view_closereview", "warning"),
        "broken": (
            WebhookEndpoint.objects.filter(removed_at=None, switched_off_at__isnull=False),
            "billing.view_webhookendpoint",
            "danger",
        ),
        "parked": (ParkedCustomer.objects.filter(cleared_at=None), "billing.view_parkedcustomer", "danger"),
    }
    counts = [
        rows.order_by().values(name=Value(name)).annotate(count=Count("pk"))
        for name, (rows, permission, _) in waiting.items()
        if request.user.has_perm(permission)
    ]
    found: dict[str, dict[str, Any]] = {name: {} for name in waiting}
    if counts:
        for row in counts[0].union(*counts[1:], all=True):
            found[row["name"]] = {"badge": row["count"], "badge_variant": waiting[row["name"]][2]}
    return found


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Reckoner",
    "SITE_HEADER": "Reckoner",
    "SITE_SUBHEADER": "Billing for results",
    "SITE_SYMBOL": "receipt_long",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "billing.admin.dashboard.fill",
    "STYLES": [lambda request: static("reckoner/admin.css")],
    "SCRIPTS": [
        lambda request: static("reckoner/admin.js"),
        lambda request: static("reckoner/accessible.js"),
    ],
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": navigation,
    },
}
