"""Late usage as staff see it: found by filter, traced to its events, billed or waived with a reason."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from billing.closing import close_period
from billing.deciding import find_late_usage
from billing.models import AdjustmentWaiver, ChangedLine, CreditNote
from billing.months import Month
from metering.correcting import void_event
from metering.models import Event
from tests.factories import NOW, make_customer, make_subscription, send_tickets
from tests.staff import messages_of, sign_in, text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_late")]
PAGE = "admin:billing_changedline_changelist"


@pytest.fixture
def _late() -> Any:
    """Acme has 5 late tickets and a void one, $8.00; two of Globex's are void, $4.00 to pay back."""
    for code in ("acme", "globex"):
        make_subscription(make_customer(code))
    send_tickets(110)
    send_tickets(10, first=1_000, customer="globex")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    send_tickets(5, first=200)
    for key in ("evt-0", "evt-1000", "evt-1001"):
        void_event(Event.objects.get(key=key), reason="reopened", by="clerk", now=NOW)
    with time_machine.travel(NOW, tick=False):
        find_late_usage(now=NOW)
        yield


def listed(page: Any) -> list[tuple[str, str]]:
    return [(row["invoice"].customer.code, row["amount"]) for row in page.context["rows"]]


def keys(page: Any) -> list[str]:
    return [row["key"] for row in page.context["rows"]]


def test_late_usage_is_listed_the_largest_first_and_found_by_customer_direction_and_size() -> None:
    reader = sign_in("Read only")
    page = reader.get(reverse(PAGE))
    assert listed(page) == [("acme", "$8.00"), ("globex", "-$4.00")]
    assert page.context["totals"] == [{"bill": "$8.00", "back": "-$4.00"}]

    def found(**query: str) -> list[str]:
        return [code for code, _ in listed(reader.get(reverse(PAGE), query))]

    assert found(q="glob") == ["globex"]
    assert found(sign="bill") == ["acme"]
    assert found(sign="return") == ["globex"]
    assert found(sign="none") == []
    assert found(least="5") == ["acme"]
    assert found(least="4") == ["acme", "globex"]
    for nonsense in ({"least": "x"}, {"least": "-1"}, {"least": "1e400"}, {"sign": "?"}, {"page": "x"}):
        assert reader.get(reverse(PAGE), nonsense).status_code == 200


def test_a_difference_leads_to_exactly_the_events_that_caused_it() -> None:
    change = ChangedLine.objects.get(line__invoice__customer__code="acme")
    page = sign_in("Read only").get(reverse("admin:billing_changedline_change", args=[change.pk]))
    assert {(event.key, event.was_voided) for event in page.context["page"]} == {
        ("evt-0", True), *((f"evt-{n}", False) for n in range(200, 205)),
    }  # fmt: skip


def test_a_billing_admin_waives_with_a_reason_and_a_clerk_may_not() -> None:
    admin = sign_in("Billing admin")
    ticked = keys(admin.get(reverse(PAGE)))[:1]
    refused = admin.post(reverse(PAGE), {"line": ticked, "waive": "1", "reason": ""})
    assert "Say in a sentence why." in text_of(refused)
    assert (
        sign_in("Billing clerk")
        .post(reverse(PAGE), {"line": ticked, "waive": "1", "reason": "x"})
        .status_code
        == 403
    )
    assert not AdjustmentWaiver.objects.exists()
    page = admin.post(
        reverse(PAGE), {"line": ticked, "waive": "1", "reason": "Agreed by phone."}, follow=True
    )
    assert "1 line waived." in messages_of(page)
    assert listed(page) == [("globex", "-$4.00")]
    assert "Agreed by phone." in text_of(page)


def test_a_billing_admin_pays_back_now_and_finds_the_credit_note_on_both_pages() -> None:
    admin = sign_in("Billing admin")
    ticked = keys(admin.get(reverse(PAGE), {"sign": "return"}))
    refused = admin.post(reverse(PAGE), {"line": ticked, "credit": "1", "reason": " "})
    assert "Say in a sentence why." in text_of(refused)
    answer = {"line": ticked, "credit": "1", "reason": "Two tickets were reopened."}
    assert sign_in("Billing clerk").post(reverse(PAGE), answer).status_code == 403
    page = admin.post(reverse(PAGE), answer, follow=True)
    assert "Paid back by CN-2026-000001." in messages_of(page)
    assert listed(page) == [("acme", "$8.00")]
    assert "CN-2026-000001" in text_of(page)
    note = CreditNote.objects.get()
    shown = text_of(admin.get(reverse("admin:billing_creditnote_change", args=[note.pk])))
    assert "It pays back usage of a closed period at once" in shown
    assert "Two tickets were reopened." in shown
    again = admin.post(reverse(PAGE), answer, follow=True)
    assert "Nothing was decided; look at the amounts again." in messages_of(again)
    assert CreditNote.objects.count() == 1


def test_what_is_to_be_billed_is_not_credited() -> None:
    admin = sign_in("Billing admin")
    ticked = keys(admin.get(reverse(PAGE)))
    page = admin.post(reverse(PAGE), {"line": ticked, "credit": "1", "reason": "x"}, follow=True)
    assert "$8.00 is not to be paid back. Leave it to the next invoice instead." in messages_of(page)
    assert not CreditNote.objects.exists()


def test_a_waiver_of_an_old_page_waives_nothing() -> None:
    admin = sign_in("Billing admin")
    ticked = keys(admin.get(reverse(PAGE)))
    send_tickets(1, first=300)
    page = admin.post(reverse(PAGE), {"line": ticked, "waive": "1", "reason": "Agreed."}, follow=True)
    assert "Nothing was decided; look at the amounts again." in messages_of(page)
    assert not AdjustmentWaiver.objects.exists()


def test_a_clerk_looks_again_and_bills_what_waits(settings: Any) -> None:
    settings.ADJUSTMENT_REVIEW_FROM = 5
    clerk = sign_in("Billing clerk")
    page = clerk.get(reverse(PAGE))
    assert [row["state"] for row in page.context["rows"]] == [
        "waits for a decision",
        "goes on the next invoice",
    ]
    assert page.context["waiting"] == 1
    ticked = keys(clerk.get(reverse(PAGE), {"state": "waiting"}))
    assert "1 line goes on the next invoice." in messages_of(
        clerk.post(reverse(PAGE), {"line": ticked, "bill": "1"}, follow=True)
    )
    assert clerk.get(reverse(PAGE)).context["waiting"] == 0
    send_tickets(1, first=300)
    assert "1 line changed since the last look." in messages_of(
        clerk.post(reverse(PAGE), {"look": "1"}, follow=True)
    )
    assert clerk.get(reverse(PAGE)).context["waiting"] == 1


@pytest.mark.parametrize("action", ["look", "bill", "waive", "credit"])
def test_who_only_reads_decides_nothing(action: str) -> None:
    reader = sign_in("Read only")
    ticked = keys(reader.get(reverse(PAGE)))
    assert reader.post(reverse(PAGE), {"line": ticked, action: "1", "reason": "x"}).status_code == 403
    assert not ChangedLine.objects.exclude(bill_up_to=None).exists()


@pytest.mark.parametrize("line", ["", "x", "1:", "1:x", "9999999999999999999999:1", "1:--1", "1:1.1.1"])
def test_what_cannot_be_ticked_is_refused_in_words(line: str) -> None:
    page = sign_in().post(reverse(PAGE), {"line": [line], "waive": "1", "reason": "x"}, follow=True)
    assert page.status_code == 200
    assert messages_of(page)
    assert not AdjustmentWaiver.objects.exists()


def test_the_export_has_the_rows_of_the_filter() -> None:
    answer = sign_in("Read only").get(reverse("admin:billing_changedline_export"), {"sign": "return"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["customer_code"], row["amount"], row["state"]) for row in rows] == [
        ("globex", "-4.0000", "goes on the next invoice")
    ]


def test_the_list_asks_no_query_per_line(django_assert_max_num_queries: Any) -> None:
    for n in range(20):
        make_subscription(make_customer(f"c{n}"))
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    for n in range(20):
        send_tickets(1, first=5_000 + n, customer=f"c{n}")
    find_late_usage(now=NOW)
    staff = sign_in()
    with django_assert_max_num_queries(14):
        assert len(listed(staff.get(reverse(PAGE)))) == 22
