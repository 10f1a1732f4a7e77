"""The guide of docs/outcomes.md from zero to invoice, step by step, with the events that it prints."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.urls import reverse

from billing.models import Invoice, Plan
from tests.billing.admin.test_playbooks import filled, url
from tests.factories import make_customer, make_subscription, send
from tests.staff import sign_in
from tests.stories.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_guide_leads_from_a_playbook_to_an_invoice_of_two_tickets() -> None:
    staff = sign_in("Billing admin")
    assert staff.post(url("support-tickets"), filled("support-tickets") | {"_create": "1"}).status_code == 302
    plan = Plan.objects.get()
    staff.post(reverse("admin:billing_plan_activate", args=[plan.pk]), {"post": "yes"})
    plan.refresh_from_db()
    make_subscription(make_customer("acme"), plan)

    text = (ROOT / "docs" / "outcomes.md").read_text().split("## From zero to invoice")[1].split("\n## ")[0]
    events = [json.loads(line) for line in re.findall(r"^ +(\{.*\})$", text, re.MULTILINE)]
    assert len(events) == 7
    sent = send(*events, now=datetime(2026, 11, 1, 9, tzinfo=UTC))
    assert sent.counts["accepted"] == 7
    call_command("close_invoices", "--month", "2026-10", "--issue-now")
    invoice = Invoice.objects.get()
    assert [(line.description, line.quantity) for line in invoice.lines.all()] == [("Tickets Resolved", 2)]
    assert invoice.total == Decimal("4.00")
