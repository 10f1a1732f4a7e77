"""The groups of staff: what each may open, and that the others are refused with nothing written."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.agreed_changes import Author
from billing.budget_terms import BudgetTerms
from billing.budgeting import save_budget
from billing.changing import pause
from billing.closing import close_period
from billing.collecting import record_payment
from billing.correcting import issue_credit_note
from billing.cost_rates import Validity, add_cost_rate
from billing.models import (
    Budget,
    ChangedLine,
    CheckRun,
    CloseRun,
    CostRate,
    Coupon,
    CreditEntry,
    CustomerCoupon,
    Dispute,
    Invoice,
    MailText,
    NoticeMail,
    ParkedCustomer,
    Plan,
    Subscription,
    TaxRate,
    TaxSetup,
    UsageLimit,
    WebhookDelivery,
    WebhookEndpoint,
)
from billing.months import Month
from billing.notifying import queue_mails
from billing.pricing import create_version, put_example
from billing.registering import EndpointTerms, register_endpoint, send_test
from config.roles import ROLES, grant
from customers.models import ApiKey, Customer, PortalAccess
from customers.portal_access import create_portal_access
from metering.models import Event, EventConflict, Meter, Workload, WorkloadName
from tests.billing.money import credit, give, tax
from tests.billing.test_recurring import regularly
from tests.factories import NOW, event, make_subscription, send, send_tickets
from tests.staff import sign_in, text_of

pytestmark = pytest.mark.django_db(transaction=True)


def stored() -> dict[str, int]:
    tables: tuple[type[Model], ...] = (
        ApiKey, Budget, CostRate, Coupon, CreditEntry, Customer, CustomerCoupon, Event, Group,
        Invoice, Meter, Plan, PortalAccess, Subscription, TaxRate, TaxSetup, WebhookEndpoint, Workload,
    )  # fmt: skip
    return {table.__name__: table._default_manager.count() for table in tables}


@pytest.fixture
def pages() -> dict[str, str]:
    """Every page of the admin with something on it, by its name."""
    subscription = make_subscription()
    send_tickets(3)
    send(event("evt-0", value="9"))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    plan, customer = subscription.plan, subscription.customer
    draft = create_version(plan)
    example = put_example(draft, {"name": "None", "usage": [], "expected_amount": "0"})
    invoice, rate = Invoice.objects.get(), draft.rates.get()
    who: dict[str, Any] = {"by": "clerk", "now": NOW}
    note = issue_credit_note(invoice, reason="Goodwill", amount=Decimal("0.50"), **who)
    payment = record_payment(invoice, amount=Decimal("0.50"), received_on=NOW.date(), **who)
    MailText.objects.get_or_create(kind="invoice", defaults={"subject": "x", "body": "x"})
    access = create_portal_access(customer, "anna@acme.example")
    workload = Workload.objects.create(code="bot", name="Bot")
    costs = add_cost_rate({"kind": "fixed", "workload": "bot", "amount": "1"}, Validity())
    name = WorkloadName.objects.create(name="old", first_seen_at=NOW)
    key = ApiKey(name="Platform", scopes=["read"])
    ApiKey.objects.assign_key(key)
    key.save()
    limit = UsageLimit.objects.create(customer=customer, meter=Meter.objects.get(), quantity=10)
    group = Group.objects.get_or_create(name="Read only")[0]
    run = CloseRun.objects.create(
        month=date(2026, 10, 1), grace_days=0, entrance="command", state="done", asked_at=NOW, finished_at=NOW
    )
    change = ChangedLine.objects.create(line=invoice.lines.get(), position=1, found_at=NOW)
    parked = ParkedCustomer.objects.create(
        customer=customer,
        month=date(2026, 9, 1),
        code="rating_failed",
        reason="No price.",
        parked_at=NOW,
        tried_at=NOW,
    )
    check = CheckRun.objects.create(kind="audit", asked_by="night", asked_at=NOW)
    counted = Event.objects.all()[0]
    disputed = Dispute.objects.create(
        customer=customer, invoice=invoice, line=invoice.lines.get(), opened_at=NOW, opened_by="anna"
    )
    monthly = regularly(customer, start_on=None, now=timezone.now())
    held, granted, rate_of_tax = give(customer, "10%"), credit(customer, "100"), tax("DE", "19")
    paused = pause(subscription, when=date(2027, 1, 1), author=Author(NOW, "anna"))
    bounds: dict[str, Any] = {"measure": "cost", "currency": "USD", "amount": Decimal(50), "thresholds": [80]}
    budget = save_budget(BudgetTerms(name="Bot", workload=workload, **bounds), by="anna", now=NOW)
    hook, _ = register_endpoint(EndpointTerms("https://hooks.example.com/"), by="anna", now=NOW)
    send_test(hook, by="anna", now=NOW)
    sent = WebhookDelivery.objects.get()
    queue_mails(["anna@acme.example"], subject="x", body="x", now=NOW)
    notice = NoticeMail.objects.get()
    targets: dict[str, tuple[Any, ...]] = {
        "index": (), "auth_group_changelist": (), "auth_group_add": (), "auth_group_change": (group.pk,),
        "auth_user_changelist": (), "auth_user_add": (),
        "billing_changedline_changelist": (), "billing_changedline_change": (change.pk,),
        "billing_changedline_export": (),
        "billing_closereview_changelist": (), "billing_closereview_export": (),
        "billing_checkrun_changelist": (), "billing_checkrun_change": (check.pk,),
        "billing_closerun_changelist": (), "billing_closerun_change": (run.pk,),
        "billing_parkedcustomer_changelist": (), "billing_parkedcustomer_change": (parked.pk,),
        "billing_costrate_changelist": (), "billing_costrate_add": (), "billing_costrate_add_fixed": (),
        "billing_costrate_change": (costs.pk,),
        "billing_costrate_import": (), "billing_costrate_withdraw": (costs.pk,),
        "billing_costrate_free": (plan.rates.get().meter_id,),
        "billing_costs_spend": (), "billing_costs_focus": (), "billing_costs_margins": (),
        "billing_costs_statement": (workload.pk, Month.of(timezone.now().date())), "billing_costs_name": (name.pk,),
        "billing_costs_invoice": (invoice.pk,), "billing_costs_break_even": (plan.pk,),
        "billing_invoice_changelist": (), "billing_invoice_change": (invoice.pk,), "billing_invoice_close": (),
        "billing_invoice_do": (invoice.pk, "pay"), "billing_invoice_mail": (invoice.pk,),
        "billing_mailtext_changelist": (), "billing_mailtext_change": ("invoice",),
        "billing_invoice_credit": (invoice.pk,),
        "billing_invoice_issue": (), "billing_invoice_one_off": (), "billing_invoice_journal": (),
        "billing_invoice_reverse": (invoice.pk, payment.pk), "billing_payment_changelist": (),
        "billing_payment_export": (), "billing_creditnote_export": (),
        "billing_creditnote_changelist": (), "billing_creditnote_change": (note.pk,),
        "billing_creditnote_pdf": (note.pk,),
        "billing_invoice_events": (invoice.pk, 1), "billing_invoice_export": (), "billing_invoice_pdf": (invoice.pk,),
        "billing_invoice_evidence": (invoice.pk, "csv"),
        "billing_plan_changelist": (), "billing_plan_add": (), "billing_plan_change": (draft.pk,),
        "billing_plan_activate": (draft.pk,), "billing_plan_discard": (draft.pk,), "billing_plan_price": (plan.pk,),
        "billing_plan_example": (draft.pk, example.pk), "billing_plan_example_add": (draft.pk,),
        "billing_plan_example_remove": (draft.pk, example.pk),
        "billing_plan_rate": (draft.pk, rate.pk), "billing_plan_rate_add": (draft.pk,),
        "billing_plan_rate_remove": (draft.pk, rate.pk), "billing_plan_version": (plan.pk,),
        "billing_plan_moves": (plan.pk,), "billing_plan_what_if": (plan.pk,),
        "billing_plan_playbooks": (), "billing_plan_playbook": ("support-tickets",),
        "billing_outcome_changelist": (), "billing_outcome_quality": (), "billing_outcome_forecast": (),
        "billing_dispute_changelist": (), "billing_dispute_export": (), "billing_dispute_change": (disputed.pk,),
        "billing_usagelimit_export": (), "billing_budget_export": (),
        "billing_usagelimit_changelist": (), "billing_usagelimit_add": (), "billing_usagelimit_change": (limit.pk,),
        "billing_coupon_changelist": (), "billing_coupon_add": (), "billing_coupon_change": (held.coupon_id,),
        "billing_coupon_archive": (held.coupon_id,), "billing_taxrate_changelist": (), "billing_taxrate_add": (),
        "billing_taxrate_change": (rate_of_tax.pk,), "billing_taxrate_setup": (),
        "billing_seller_changelist": (), "billing_seller_logo": (), "billing_seller_details": (),
        "customers_customer_statement": (customer.pk,),
        "customers_customer_statement_file": (customer.pk, "csv"),
        "customers_customer_money": (customer.pk,), "customers_customer_grant": (customer.pk,),
        "customers_customer_coupon": (customer.pk,), "customers_customer_credit_alert": (customer.pk,),
        "customers_customer_grant_void": (customer.pk, granted.pk),
        "customers_customer_coupon_remove": (customer.pk, held.pk),
        "customers_customer_recurring": (customer.pk,),
        "customers_customer_recurring_stop": (customer.pk, monthly.pk),
        "billing_reconciliationrun_changelist": (),
        "billing_budget_changelist": (), "billing_budget_add": (), "billing_budget_change": (budget.pk,),
        "billing_webhookendpoint_changelist": (), "billing_webhookendpoint_add": (),
        "billing_webhookendpoint_change": (hook.pk,), "billing_webhookendpoint_secret": (hook.pk,),
        "billing_webhookendpoint_remove": (hook.pk,),
        "billing_webhookdelivery_changelist": (), "billing_webhookdelivery_change": (sent.pk,),
        "billing_noticemail_changelist": (), "billing_noticemail_change": (notice.pk,),
        "customers_apikey_changelist": (), "customers_apikey_add": (), "customers_apikey_change": (key.prefix,),
        "customers_apikey_revoke": (key.prefix,),
        "customers_customer_changelist": (), "customers_customer_add": (), "customers_customer_change": (customer.pk,),
        "customers_customer_archive": (customer.pk,), "customers_customer_assign": (customer.pk,),
        "customers_customer_prices": (customer.pk, subscription.pk),
        "customers_customer_price": (customer.pk, subscription.pk, plan.rates.get().pk),
        "customers_customer_plan": (customer.pk, subscription.pk),
        "customers_customer_plan_change": (customer.pk, subscription.pk, "cancel"),
        "customers_customer_plan_undo": (customer.pk, subscription.pk, paused.pk),
        "customers_customer_portal": (customer.pk,),
        "customers_customer_portal_link": (customer.pk, access.pk),
        "customers_customer_portal_mail": (customer.pk, access.pk),
        "customers_customer_portal_revoke": (customer.pk, access.pk), "customers_customer_preview": (customer.pk,),
        "metering_event_changelist": (), "metering_event_change": (counted.pk,),
        "metering_event_void": (counted.pk,),
        "metering_event_unmatched": (), "metering_eventconflict_changelist": (),
        "metering_eventconflict_change": (EventConflict.objects.get().pk,),
        "metering_meter_changelist": (), "metering_meter_add": (), "metering_meter_change": (Meter.objects.get().pk,),
        "metering_workload_changelist": (), "metering_workload_add": (), "metering_workload_change": (workload.pk,),
    }  # fmt: skip
    return {name: reverse(f"admin:{name}", args=arguments) for name, arguments in targets.items()}


WRITES = {
    "billing_budget_add",
    "billing_webhookendpoint_add", "billing_webhookendpoint_secret", "billing_webhookendpoint_remove",
    "billing_seller_logo", "billing_seller_details",
    "billing_coupon_add", "billing_coupon_archive", "billing_taxrate_add", "billing_taxrate_setup",
    "customers_customer_grant", "customers_customer_coupon", "customers_customer_credit_alert",
    "customers_customer_grant_void", "customers_customer_coupon_remove",
    "customers_customer_recurring", "customers_customer_recurring_stop",
    "billing_costrate_add", "billing_costrate_add_fixed",
    "billing_costrate_import", "billing_costrate_withdraw", "billing_costrate_free",
    "billing_costs_name",
    "billing_invoice_mail", "billing_invoice_do", "billing_invoice_credit", "billing_invoice_issue",
    "billing_invoice_one_off", "billing_invoice_reverse",
    "auth_group_add", "auth_user_add", "billing_plan_add", "billing_plan_activate", "billing_plan_discard",
    "billing_plan_rate", "billing_plan_rate_add", "billing_plan_rate_remove",
    "billing_plan_example", "billing_plan_example_add", "billing_plan_example_remove", "billing_plan_version",
    "billing_plan_playbook",
    "customers_apikey_add", "customers_apikey_revoke", "customers_customer_add", "customers_customer_archive",
    "customers_customer_assign", "customers_customer_price", "customers_customer_plan_change",
    "customers_customer_plan_undo", "customers_customer_portal_link",
    "customers_customer_portal_mail", "customers_customer_portal_revoke", "metering_event_void", "metering_meter_add",
    "metering_workload_add", "billing_usagelimit_add",
}  # fmt: skip
# Pages without a form: a POST shows what a GET shows.
ONLY_SHOWS = {
    "billing_budget_changelist",
    "billing_webhookendpoint_changelist", "billing_webhookdelivery_changelist", "billing_webhookdelivery_change",
    "billing_noticemail_changelist",
    "billing_seller_changelist", "customers_customer_statement", "customers_customer_statement_file",
    "billing_coupon_changelist", "billing_taxrate_changelist", "customers_customer_money",
    "billing_costrate_changelist", "billing_costs_spend", "billing_costs_focus", "billing_costs_margins",
    "billing_costs_statement", "billing_costs_invoice", "billing_costs_break_even",
    "billing_mailtext_changelist",
    "billing_payment_export", "billing_creditnote_export",
    "billing_invoice_journal", "billing_payment_changelist", "billing_creditnote_changelist", "billing_creditnote_pdf",
    "index", "auth_group_changelist", "auth_user_changelist", "billing_closerun_changelist",
    "billing_changedline_export", "billing_changedline_change", "billing_closereview_export",
    "billing_parkedcustomer_changelist",
    "billing_checkrun_changelist",
    "billing_invoice_changelist", "billing_invoice_events",
    "billing_invoice_evidence",
    "billing_invoice_export", "billing_invoice_pdf", "billing_plan_changelist", "billing_plan_price",
    "billing_plan_playbooks", "billing_outcome_quality", "billing_outcome_forecast",
    "billing_outcome_changelist", "billing_plan_what_if", "billing_reconciliationrun_changelist",
    "billing_dispute_changelist", "billing_dispute_export",
    "customers_apikey_changelist", "customers_apikey_change", "customers_customer_changelist",
    "customers_customer_plan", "customers_customer_preview", "customers_customer_prices",
    "metering_event_changelist", "metering_event_unmatched", "metering_eventconflict_changelist",
    "metering_meter_changelist", "metering_workload_changelist", "billing_usagelimit_changelist",
    "billing_usagelimit_export", "billing_budget_export",
}  # fmt: skip


def test_the_list_of_pages_leaves_none_out(pages: dict[str, str]) -> None:
    """A new page of the admin must be added above, so that the tests of permissions open it."""
    generic = re.compile(
        "_(history|simple_history|delete)$"
        "|^(app_list|autocomplete|jsi18n|log.*|password_.*|search|view_on_site)$"
    )
    tested_apart = {
        "billing_invoice_mail_doubt",
        "billing_budget_look",
        "billing_webhookendpoint_test", "billing_webhookendpoint_again", "billing_webhookdelivery_again",
        "billing_webhookdelivery_add", "billing_noticemail_add",
        "billing_checkrun_add", "billing_checkrun_run",
        "auth_user_change", "auth_user_password_change",
        "billing_closerun_add", "billing_invoice_add",
        "billing_creditnote_add", "billing_dispute_add", "billing_mailtext_add",
        "billing_payment_add", "billing_payment_change",
        "billing_invoice_events_csv", "billing_invoice_events_json",
        "billing_outcome_subject", "billing_parkedcustomer_add",
        "billing_plan_rate_preview", "billing_plan_break_even", "billing_costrate_preview",
            "customers_customer_price_preview",
        "billing_reconciliation_events", "billing_reconciliationrun_add", "metering_event_add",
        "metering_eventconflict_add",
    }  # fmt: skip
    patterns = [*admin.site.urls[0], *(p for r in admin.site.urls[0] for p in getattr(r, "url_patterns", []))]
    names = {pattern.name for pattern in patterns if getattr(pattern, "name", None)}
    assert {name for name in names if not generic.search(name)} - tested_apart == set(pages)


def test_every_permission_of_a_role_exists() -> None:
    assert grant(Group.objects, Permission.objects) == []
    for name, wanted in ROLES.items():
        assert Group.objects.get(name=name).permissions.count() == len(wanted)


def test_read_only_sees_every_page_and_writes_nothing(pages: dict[str, str]) -> None:
    reader = sign_in("Read only")
    before = stored()
    for name, page in pages.items():
        assert reader.get(page).status_code == (403 if name in WRITES else 200), f"GET {name}"
        if name not in ONLY_SHOWS:
            assert reader.post(page, {"post": "yes", "_confirm": "1"}).status_code == 403, f"POST {name}"
        else:
            assert reader.post(page).status_code < 400, f"POST {name}"
    assert stored() == before


def test_a_clerk_does_the_daily_work_and_commits_nothing(pages: dict[str, str]) -> None:
    clerk = sign_in("Billing clerk")
    refused = {
        "billing_webhookendpoint_add", "billing_webhookendpoint_secret", "billing_webhookendpoint_remove",
        "billing_seller_logo", "billing_seller_details",
        "billing_coupon_add", "billing_coupon_archive", "billing_taxrate_add", "billing_taxrate_setup",
        "auth_group_add", "auth_user_add", "billing_invoice_credit", "billing_plan_activate",
        "customers_apikey_add", "customers_apikey_revoke",
    }  # fmt: skip
    links = {
        "customers_customer_portal_link",
        "customers_customer_portal_mail",
        "billing_costrate_free",
        "billing_costs_name",
    }  # POST only: a GET leads back
    for name, page in pages.items():
        expected = 403 if name in refused else 302 if name in links else 200
        assert clerk.get(page).status_code == expected, f"GET {name}"
    for name in refused:
        assert (
            clerk.post(pages[name], {"name": "x", "scopes": ["manage"], "source": "api"}).status_code == 403
        ), name
    assert ApiKey.objects.filter(revoked=False).count() == 1
    assert Plan.objects.filter(status="draft").count() == 1


@pytest.mark.parametrize("group", ["Read only", "Billing clerk"])
def test_no_page_offers_a_link_that_is_then_refused(pages: dict[str, str], group: str) -> None:
    client = sign_in(group)
    offered: dict[str, tuple[str, str]] = {}
    answered: dict[str, int] = {}

    def kind(address: str) -> str:
        return re.sub(r"\d+", "N", address)

    def status(link: str) -> int:
        return answered[kind(link)] if kind(link) in answered else client.get(link).status_code

    for name, page in pages.items():
        answer = client.get(page)
        answered.setdefault(kind(page), answer.status_code)
        if answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html"):
            for link in re.findall(r'<a\b[^>]*\bhref="(/admin/[^"#?]*)', answer.content.decode()):
                offered.setdefault(kind(link), (link, name))
    refused = [f"{link} on {name}" for link, name in offered.values() if status(link) == 403]
    assert not refused


def test_a_billing_admin_opens_every_page(pages: dict[str, str]) -> None:
    admin = sign_in("Billing admin")
    links = {
        "customers_customer_portal_link", "customers_customer_portal_mail", "billing_costrate_free",
        "billing_costs_name",
    }  # fmt: skip
    for name, page in pages.items():
        expected = 403 if name == "auth_group_add" else 302 if name in links else 200
        assert admin.get(page).status_code == expected, f"GET {name}"


def test_nobody_without_a_staff_account_sees_anything(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        answer = Client().get(page)
        assert answer.status_code == 302, name
        assert answer.headers["Location"].startswith(reverse("admin:login")), name


def test_the_menu_leaves_out_what_a_person_may_not_open(pages: dict[str, str]) -> None:
    reader = sign_in("Read only")
    Group.objects.get(name="Read only").permissions.remove(
        Permission.objects.get(codename="view_apikey", content_type__app_label="customers")
    )
    menu = [
        item for group in reader.get(pages["index"]).context["sidebar_navigation"] for item in group["items"]
    ]
    assert [item["title"] for item in menu if item["has_permission"]] == [
        "Dashboard", "Meters", "Pricing", "Customers", "Invoices", "Credit notes", "Payments", "Outcomes",
        "Disputes", "Usage limits",
        "Workloads", "Budgets",
        "Closes", "Unusual invoices", "Late usage", "Customers not billed",
        "Events", "Unmatched events", "Event conflicts", "Reconciliation", "Checks",
        "Coupons", "Tax rates", "Seller", "Webhook endpoints", "Webhook deliveries", "Notices",
        "Mail texts", "Users", "Groups",
    ]  # fmt: skip


@pytest.mark.parametrize("group", ["Billing admin", "Read only"])
def test_every_history_can_be_read(pages: dict[str, str], group: str) -> None:
    client = sign_in(group)
    rows = {
        "billing_plan": Plan.objects.all()[0].pk,
        "customers_customer": Customer.objects.get().pk,
        "metering_meter": Meter.objects.get().pk,
        "metering_workload": Workload.objects.get().pk,
        "billing_invoice": Invoice.objects.get().pk,
        "billing_budget": Budget.objects.get().pk,
        "billing_coupon": Coupon.objects.get().pk,
        "billing_taxrate": TaxRate.objects.get().pk,
    }
    for name, pk in rows.items():
        assert client.get(reverse(f"admin:{name}_history", args=[pk])).status_code == 200, name


@pytest.mark.parametrize("group", ["Billing admin", "Billing clerk", "Read only"])
def test_the_past_is_shown_and_never_put_back(pages: dict[str, str], group: str) -> None:
    """What a row was can be looked at, and nothing sent there changes the row, whoever sends it."""
    client = sign_in(group)
    customer = Customer.objects.get()
    customer.name = "Renamed"
    customer.save()
    rows = [
        Plan.objects.all()[0],
        customer,
        Meter.objects.get(),
        Workload.objects.get(),
        Coupon.objects.get(),
    ]
    before = stored()
    for row in rows:
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}_simple_history"
        version = reverse(name, args=[row.pk, row.history.earliest().pk])
        shown = client.get(version)
        assert shown.status_code == 200, version
        form = shown.context["adminform"].form
        sent = {each.html_name: each.value() for each in form if each.value() is not None}
        assert client.post(version, sent).status_code == 403, version
    assert stored() == before
    customer.refresh_from_db()
    assert customer.name == "Renamed"
    customer.archived_at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    customer.save()
    page = text_of(client.get(reverse("admin:customers_customer_history", args=[customer.pk])))
    history = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "Name: Acme → Renamed" in history
    assert "Archived at: empty → 20 Nov 2026, 12:00:00 UTC" in history  # what no form offers too
    for wrong in ("x", "99999999999999999999"):
        at = reverse("admin:customers_customer_simple_history", args=[customer.pk, wrong])
        assert client.get(at).status_code == 404
