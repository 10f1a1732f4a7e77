"""The OpenAPI description: complete, valid, and true of what the routes really do."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.test.client import ClientHandler
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core import NOT_SET
from schemathesis.core.result import Ok

from billing.alerting import set_alert
from billing.api import urls as billing_urls
from billing.budget_terms import BudgetTerms
from billing.budgeting import save_budget
from billing.closing import close_period
from billing.collecting import record_payment
from billing.correcting import issue_credit_note
from billing.cost_rates import Validity, add_cost_rate
from billing.couponing import remove_coupon
from billing.models import (
    Budget,
    CostRate,
    CreditAlert,
    CreditGrant,
    CustomerCoupon,
    Dispute,
    DisputedOutcome,
    DisputeStep,
    Invoice,
    LimitSetter,
    Payment,
    RecurringGrant,
    Subscription,
    TaxRate,
    UsageLimit,
    WebhookDelivery,
    WebhookEndpoint,
)
from billing.months import Month
from billing.registering import EndpointTerms, register_endpoint, send_test
from billing.restricting import set_limit
from customers.models import Customer
from metering.api import urls as metering_urls
from metering.models import Event, Meter, Workload
from tests.billing.money import credit, give, tax
from tests.billing.test_recurring import regularly
from tests.factories import NOW, make_customer, make_meter, make_plan, make_subscription, send_tickets
from tests.integrator import Integrator

load_all_checks()
# What a status means for generated bodies is told by the tests of each route: an event that is wrong is a result of
# its batch and answered with 200. Here every answer must be described, and look as described.
HELD = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


def test_the_description_is_valid_and_without_warnings() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_route_is_described(client: Any) -> None:
    described = client.get("/api/schema/", headers={"Accept": "application/json"}).json()["paths"]
    assert len(described) == len([*metering_urls.urlpatterns, *billing_urls.urlpatterns])
    for path, operations in described.items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["security"] == [{"bearer": []}, {"header": []}]
            assert {"400", "401", "403", "429"} <= set(operation["responses"])
            if method == "post" and "requestBody" in operation and "versions" not in path:
                assert operation["requestBody"]["content"]["application/json"]["examples"], path


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The application as the test client calls it: inside the transaction of the test."""
    response = ClientHandler(enforce_csrf_checks=False)(environ)
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return list(response.streaming_content) if response.streaming else [response.content]


@pytest.fixture
def described(db: None, fresh: None) -> Any:
    make_meter(dimensions=["channel"])
    make_meter("llm_tokens", dimensions=["model", "type"])
    make_plan()
    make_subscription(make_customer())
    send_tickets(3)
    Workload.objects.create(code="support_bot", name="Support bot")
    customer = Customer.objects.get()
    give(customer, "10%", code="tenth")
    give(customer, "5", code="welcome")
    remove_coupon(CustomerCoupon.objects.get(coupon__code="welcome"), by="tests", now=NOW)
    credit(customer, "100")
    regularly(customer)
    set_alert(customer, currency="EUR", threshold=Decimal(5))
    tax("FR", "20")
    bounds: dict[str, Any] = {"measure": "cost", "currency": "USD", "amount": Decimal(50), "thresholds": [80]}
    for n in range(30):  # some are deleted
        save_budget(BudgetTerms(name=f"Acme {n}", customer=customer, **bounds), by="tests", now=NOW)
    for n in range(3):  # one is removed
        hook, _ = register_endpoint(EndpointTerms(f"https://hooks.example.com/{n}"), by="tests", now=NOW)
        send_test(hook, by="tests", now=NOW)
    add_cost_rate({"kind": "fixed", "workload": "support_bot", "amount": "30.00"}, Validity())
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    who: dict[str, Any] = {"by": "clerk", "now": NOW}
    billed = Invoice.objects.get()
    dispute = Dispute.objects.create(
        customer=customer,
        invoice=billed,
        line=billed.lines.get(),
        state="decided",
        opened_at=NOW,
        opened_by="anna",
    )
    counted = Event.objects.get(key="evt-1")
    DisputeStep.objects.create(dispute=dispute, kind="decided", at=NOW, by="clerk", amount=0)
    DisputedOutcome.objects.create(
        dispute=dispute, event_id=counted.pk, key="evt-1", occurred_at=counted.occurred_at
    )
    issue_credit_note(Invoice.objects.get(), reason="Goodwill", amount=Decimal("0.50"), **who)
    paid = {"amount": Decimal("0.50"), "received_on": NOW.date(), "overpaid": True}
    record_payment(Invoice.objects.get(), **paid, **who)
    return schemathesis.openapi.from_wsgi("/api/schema/", application)


@pytest.fixture
def headers(described: Any) -> dict[str, str]:
    key = Integrator("ingest", "read", "manage").key
    return {"Authorization": f"Bearer {key}", "X-API-KEY": key}


def operations_of(described: Any) -> list[Any]:
    operations = [found.ok() for found in described.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 25
    return operations


def existing(path: str) -> dict[str, Any]:
    """Names of things that exist, for the places in a path."""
    if path.startswith("/api/v1/credit-alerts/"):  # the one before may be deleted
        set_alert(Customer.objects.get(code="acme"), currency="EUR", threshold=Decimal(5))
    if path.startswith("/api/v1/usage-limits/") and not UsageLimit.objects.exists():
        who, tickets = Customer.objects.get(code="acme"), Meter.objects.get(code="tickets_resolved")
        set_limit(who, tickets, set_by=LimitSetter.STAFF, quantity=Decimal(9), amount=None)
    codes = {
        "meters": "tickets_resolved",
        "customers": "acme",
        "plans": "support",
        "workloads": "support_bot",
        "coupons": "tenth",
    }
    rows = {
        "cost-rates": CostRate,
        "customer-coupons": CustomerCoupon,
        "credit-alerts": CreditAlert,
        "credit-grants": CreditGrant,
        "disputes": Dispute,
        "payments": Payment,
        "recurring-grants": RecurringGrant,
        "tax-rates": TaxRate,
        "webhook-deliveries": WebhookDelivery,
        "budgets": Budget,
        "usage-limits": UsageLimit,
    }
    model = rows.get(path.split("/")[3])
    hook = WebhookEndpoint.objects.filter(removed_at=None).order_by("-id").first()
    return {
        "key": {"void": "evt-0", "amend": "evt-1"}.get(path.split("/")[-2], "evt-2"),
        "code": codes.get(path.split("/")[3]),
        "customer": "acme",
        "meter": "tickets_resolved",
        "number": "CN-2026-000001" if path.startswith("/api/v1/credit-notes") else "INV-2026-000001",
        "n": 1,
        "id": (hook.pk if hook else 1)
        if "webhook-endpoints" in path
        else model.objects.order_by("id")[0].pk
        if model
        else Subscription.objects.get(customer__code="acme").pk,
    }


def test_documented_examples_are_answered_as_described(described: Any, headers: dict[str, str]) -> None:
    called = 0
    for operation in operations_of(described):
        path = existing(operation.path)
        content = operation.definition.raw.get("requestBody", {}).get("content", {})
        bodies = [each["value"] for each in content.get("application/json", {}).get("examples", {}).values()]
        for body in bodies or [NOT_SET]:
            sent = {} if body is NOT_SET else {"body": body, "media_type": "application/json"}
            if operation.method == "get" and operation.path.endswith("/usage/"):
                sent["query"] = {"meter": "tickets_resolved", "interval": "day", "group_by": "channel"}
            names = {name: path[name] for name in path if f"{{{name}}}" in operation.path}
            case = operation.Case(path_parameters=names, **sent)
            response = case.call_and_validate(headers=headers, checks=HELD)
            changes_nothing = operation.method == "patch" or "activate" in operation.path
            settled = response.status_code == 400 and "invalid_amount" in response.text  # credited before
            expected = response.status_code < 300 or response.status_code == 409
            assert expected or changes_nothing or settled, response.text
            called += 1
    assert called > 30


def test_answers_to_generated_requests_are_as_described(described: Any, headers: dict[str, str]) -> None:
    for operation in operations_of(described):
        call_generated(operation, headers)


def call_generated(operation: Any, headers: dict[str, str]) -> None:
    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        names = existing(operation.path)
        case.path_parameters = {name: names[name] for name in case.path_parameters or {}}
        case.call_and_validate(headers=headers, checks=HELD)

    call()
