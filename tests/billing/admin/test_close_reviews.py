"""Unusual invoices as a clerk sees them: the worst first, filtered, approved one by one or many with a reason."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from billing.closing import close_period
from billing.models import CloseReview
from billing.months import Month
from tests.factories import NOW, event, make_customer, make_subscription, send
from tests.staff import messages_of, sign_in, text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_reviews")]
PAGE = "admin:billing_closereview_changelist"
DECEMBER = datetime(2026, 12, 5, tzinfo=UTC)


@pytest.fixture
def _reviews() -> Any:
    """Acme and Globex jump from $600.00, Globex further; Hooli's usage stops."""
    for code, november in (("acme", 30_000), ("globex", 90_000), ("hooli", 0)):
        make_subscription(make_customer(code))
        for value, day in ((300, "2026-10-03"), (november, "2026-11-03")):
            if value:
                at = f"{day}T10:00:00Z"
                send(event(f"{code}-{day}", customer=code, value=str(value), occurred_at=at))
    for month in (10, 11):
        close_period(Month(2026, month), now=DECEMBER, grace_days=0)
    with time_machine.travel(DECEMBER, tick=False):
        yield


def listed(page: Any) -> list[str]:
    return [row["review"].customer.code for row in page.context["rows"]]


def test_what_is_held_is_listed_the_worst_first_and_found_by_kind_and_customer() -> None:
    reader = sign_in("Read only")
    url = reverse(PAGE)
    page = reader.get(url)
    assert (listed(page), page.context["counts"]) == (
        ["globex", "acme"],
        {"held": 2, "approved": 0, "all": 3},
    )
    assert "$600.00 in the period before, $180,000.00 now" in text_of(page)
    assert listed(reader.get(url, {"state": "all"})) == ["globex", "acme", "hooli"]
    assert listed(reader.get(url, {"state": "all", "kind": "stopped"})) == ["hooli"]
    assert listed(reader.get(url, {"q": "acm"})) == ["acme"]
    assert "Nothing is held" in text_of(reader.get(url, {"q": "nobody"}))
    for nonsense in ({"month": "2031-01"}, {"month": "x"}, {"state": "?"}, {"kind": "?"}, {"page": "-1"}):
        assert reader.get(url, nonsense).status_code == 200


def test_a_clerk_approves_many_with_a_reason_and_is_led_to_the_close() -> None:
    clerk = sign_in("Billing clerk")
    url = f"{reverse(PAGE)}?month=2026-11&state=held"
    ids = list(CloseReview.objects.filter(held=True).values_list("id", flat=True))
    refused = clerk.post(url, {"review": ids, "reason": " "})
    assert "Say in a sentence why these are right." in text_of(refused)
    assert "Tick at least one customer." in text_of(clerk.post(url, {"reason": "Fine."}))
    assert CloseReview.objects.filter(held=True).count() == 2
    page = clerk.post(url, {"review": ids, "reason": "Campaign, confirmed by Ann."}, follow=True)
    assert "2 customers approved." in messages_of(page)
    assert "Close November 2026" in messages_of(page)
    assert "2 approved invoices are drafts still." in text_of(page).replace("<strong>", "").replace(
        "</strong>", ""
    )
    assert set(
        CloseReview.objects.exclude(approved_at=None).values_list("reason", "approved_by__username")
    ) == {("Campaign, confirmed by Ann.", "billing-clerk")}
    again = clerk.post(url, {"review": ids, "reason": "Again."}, follow=True)
    assert "somebody else was quicker" in messages_of(again)


def test_who_only_reads_approves_nothing() -> None:
    ids = list(CloseReview.objects.values_list("id", flat=True))
    assert sign_in("Read only").post(reverse(PAGE), {"review": ids, "reason": "x"}).status_code == 403
    assert not CloseReview.objects.exclude(approved_at=None).exists()


def test_the_export_has_the_rows_of_the_filter() -> None:
    answer = sign_in("Read only").get(
        reverse("admin:billing_closereview_export"), {"state": "all", "kind": "jump"}
    )
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["customer_code"], row["state"]) for row in rows] == [("globex", "held"), ("acme", "held")]


def test_the_dry_run_of_the_close_page_says_what_is_unusual_before_anything_is_written() -> None:
    CloseReview.objects.all().delete()
    make_subscription(make_customer("late"), start_on=date(2026, 11, 1))
    page = sign_in("Read only").get(reverse("admin:billing_invoice_close"), {"month": "2026-11"})
    assert [(each["customer"].code, each["held"]) for each in page.context["unusual"]] == [
        ("globex", True), ("acme", True), ("late", False),
    ]  # fmt: skip
    assert not CloseReview.objects.exists()


def test_the_list_asks_no_query_per_customer(django_assert_max_num_queries: Any) -> None:
    staff = sign_in()
    template = CloseReview.objects.filter(held=True)[0]
    for n in range(20):
        CloseReview.objects.create(
            customer=make_customer(f"c{n}"), month=template.month, kinds=template.kinds, findings=template.findings,
            held=True, currency="USD", weight=1, found_at=NOW,
        )  # fmt: skip
    with django_assert_max_num_queries(14):
        assert len(listed(staff.get(reverse(PAGE)))) == 22
