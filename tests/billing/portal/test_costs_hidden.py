"""Costs, margins and workloads are for staff: nothing that a customer opens has them, and no address gives them."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from billing.cost_rates import Validity, add_cost_rate
from billing.costing import costs
from billing.documents import invoice_html
from billing.models import Invoice
from metering.models import Workload
from tests.billing.test_costing import NOVEMBER, OCTOBER
from tests.factories import event, send

SECRETS = ("987", "secret", "margin", "workload")


@pytest.fixture(autouse=True)
def secret_costs(october: Invoice) -> None:
    Workload.objects.create(code="secret_gpu", name="Secret GPU pool", owner="Secret team")
    add_cost_rate(
        {"kind": "fixed", "workload": "secret_gpu", "amount": "987.65"}, Validity(label="Secret contract")
    )
    add_cost_rate({"meter": "tickets_resolved", "model": "per_unit", "unit_amount": "0.0987"}, Validity())
    send(event("late", workload="secret_gpu", occurred_at="2026-11-02T10:00:00Z"))
    assert costs(OCTOBER, NOVEMBER).total > 987


def test_no_page_file_or_document_of_the_portal_shows_a_cost(anna: Client, october: Invoice) -> None:
    invoice = f"/portal/invoices/{october.number}/"
    pages = ["/portal/", "/portal/invoices/", "/portal/account/", invoice, f"{invoice}lines/1/events/"]
    pages += ["/portal/disputes/", "/portal/subjects/?subject=ticket-4711"]
    texts = [anna.get(page).content.decode() for page in pages]
    texts.append(b"".join(anna.get(f"{invoice}lines/1/events/csv/")).decode())
    texts += [b"".join(anna.get(f"{invoice}evidence/{kind}/")).decode() for kind in ("csv", "json")]
    texts.append(invoice_html(october))
    for text in texts:
        assert text
        visible = re.sub(
            r"<(style|script).*?</\1>|csrfmiddlewaretoken[^>]*>", "", text, flags=re.DOTALL
        ).lower()
        # Keys and ids are random digits: only what costs would read like is looked for.
        assert not [secret for secret in SECRETS if re.search(rf"(?<![0-9a-f-]){secret}", visible)]


def test_a_customer_who_is_signed_in_gets_no_costs_from_any_address(anna: Client) -> None:
    for route in ("costs/", "margins/", "cost-rates/", "workloads/"):
        assert anna.get(f"/api/v1/{route}").status_code == 401
    for page in (
        "metering/workload/",
        "metering/workload/spend/",
        "metering/workload/margins/",
        "billing/costrate/",
    ):
        answer = anna.get(f"/admin/{page}")
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/")
