"""The outcomes that staff look through, and the story of one subject."""

from __future__ import annotations

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from tests.billing.api.test_outcomes import NOW, outcomes
from tests.factories import make_meter
from tests.staff import sign_in, text_of

__all__ = ["outcomes"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return sign_in()


LIST, SUBJECT = "admin:billing_outcome_changelist", "admin:billing_outcome_subject"


@time_machine.travel(NOW, tick=False)
def test_the_list_shows_each_state_with_its_reason(staff: Client, outcomes: None) -> None:
    text = text_of(staff.get(reverse(LIST)))
    for words in ("Settled", "Repeated", "Reversed", "Pending", "Unproven", "before it settled"):
        assert words in text
    text = text_of(staff.get(reverse(LIST), {"state": "reversed", "customer": "acme"}))
    assert "ticket-2" in text
    assert "ticket-1" not in text


@time_machine.travel(NOW, tick=False)
def test_a_subject_shows_everything_that_happened_for_it(staff: Client, outcomes: None) -> None:
    text = text_of(staff.get(reverse(SUBJECT), {"customer": "acme", "subject": "ticket-2"}))
    assert "Calls" in text
    assert "Reverses Tickets Resolved" in text
    assert text.index("call-2") < text.index("Reverses")


def test_an_empty_page_says_how_to_fill_it(staff: Client) -> None:
    make_meter()
    assert "No meter counts outcomes yet" in text_of(staff.get(reverse(LIST)))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"after": "x"}, 404),
        ({"customer": "nobody"}, 200),
        ({"state": "maybe"}, 200),
        ({"subject": "\x00"}, 200),
    ],
)
def test_odd_addresses_are_answered(staff: Client, asked: dict[str, str], status: int) -> None:
    assert staff.get(reverse(LIST), asked).status_code == status


def test_a_subject_that_is_none_is_not_found(staff: Client) -> None:
    assert staff.get(reverse(SUBJECT), {"customer": "acme", "subject": "x"}).status_code == 404
