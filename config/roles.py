"""What the three groups of staff may do. A migration makes the groups; staff change who is in them.

A clerk does the daily work. What commits the company or opens it to others is the Billing admin's: activating
prices, making and revoking API keys, staff users.
"""

from __future__ import annotations

from typing import Any

APPS = ("auth", "customers", "metering", "billing")

LOOK = (
    "auth.view_group",
    "auth.view_user",
    "billing.view_budget",
    "billing.view_changedline",
    "billing.view_checkrun",
    "billing.view_coupon",
    "billing.view_creditentry",
    "billing.view_creditgrant",
    "billing.view_customercoupon",
    "billing.view_recurringgrant",
    "billing.view_taxrate",
    "billing.view_closereview",
    "billing.view_costrate",
    "billing.view_closerun",
    "billing.view_creditnote",
    "billing.view_dispute",
    "billing.view_invoice",
    "billing.view_invoiceline",
    "billing.view_mailtext",
    "billing.view_outcome",
    "billing.view_parkedcustomer",
    "billing.view_payment",
    "billing.view_plan",
    "billing.view_seller",
    "billing.view_rate",
    "billing.view_subscription",
    "billing.view_usagelimit",
    "billing.view_noticemail",
    "billing.view_webhookdelivery",
    "billing.view_webhookendpoint",
    "customers.view_apikey",
    "customers.view_customer",
    "customers.view_portalaccess",
    "metering.view_event",
    "metering.view_eventbatch",
    "metering.view_eventconflict",
    "metering.view_meter",
    "metering.view_workload",
    "metering.view_workloadname",
    "metering.view_workloadrule",
)
DAILY_WORK = (
    "billing.add_budget",
    "billing.change_budget",
    "billing.delete_budget",
    "billing.add_costrate",
    "billing.add_creditgrant",
    "billing.add_customercoupon",
    "billing.add_recurringgrant",
    "billing.change_recurringgrant",
    "billing.change_creditalert",
    "billing.change_customercoupon",
    "billing.void_creditgrant",
    "billing.add_plan",
    "billing.add_subscription",
    "billing.add_usagelimit",
    "billing.approve_invoices",
    "billing.bill_late_usage",
    "billing.change_costrate",
    "billing.change_plan",
    "billing.change_subscription",
    "billing.change_usagelimit",
    "billing.delete_usagelimit",
    "billing.close_month",
    "billing.decide_dispute",
    "billing.run_checks",
    "billing.issue_invoice",
    "billing.settle_invoice",
    "billing.send_webhook",
    "customers.add_customer",
    "customers.add_portalaccess",
    "customers.change_customer",
    "customers.change_portalaccess",
    "metering.add_meter",
    "metering.add_workload",
    "metering.change_event",
    "metering.change_meter",
    "metering.add_workloadrule",
    "metering.change_workload",
    "metering.change_workloadrule",
    "metering.delete_workloadrule",
)
COMMITMENTS = (
    "auth.add_user",
    "auth.change_user",
    "billing.add_coupon",
    "billing.add_taxrate",
    "billing.add_webhookendpoint",
    "billing.change_webhookendpoint",
    "billing.delete_webhookendpoint",
    "billing.change_coupon",
    "billing.change_taxrate",
    "billing.change_taxsetup",
    "billing.activate_plan",
    "billing.change_mailtext",
    "billing.change_seller",
    "billing.correct_invoice",
    "billing.waive_late_usage",
    "customers.add_apikey",
    "customers.change_apikey",
)

ROLES: dict[str, tuple[str, ...]] = {
    "Billing admin": (*LOOK, *DAILY_WORK, *COMMITMENTS),
    "Billing clerk": (*LOOK, *DAILY_WORK),
    "Read only": LOOK,
}


def grant(groups: Any, permissions: Any) -> list[str]:
    """Make the groups where they are missing and give each the permissions of its role; take none away.

    Takes the managers of Group and Permission, so that migrations can pass historical ones. Gives the names of
    permissions that do not exist, as those of tables that a later migration makes.
    """
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in permissions.filter(content_type__app_label__in=APPS).select_related("content_type")
    }
    for name, wanted in ROLES.items():
        group, _ = groups.get_or_create(name=name)
        group.permissions.add(*(known[each] for each in wanted if each in known))
    return sorted({each for wanted in ROLES.values() for each in wanted if each not in known})
