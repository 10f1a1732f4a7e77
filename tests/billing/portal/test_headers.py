"""What browsers and whoever stands between are told: cookies, referrers, frames, caches, forged forms."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from billing.models import Invoice
from customers.models import Customer
from customers.portal_access import create_portal_access, portal_link
from tests.billing.portal.conftest import BASE


@pytest.fixture
def link(acme: Customer) -> str:
    return portal_link(create_portal_access(acme, "bob@acme.example"), BASE).removeprefix(BASE)


def test_cookies_stay_in_the_portal_and_out_of_scripts_and_other_sites(link: str, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    client = Client()
    client.get(link)
    client.post(link)
    assert set(client.cookies) == {"portal_sessionid", "portal_csrftoken"}
    for cookie in client.cookies.values():
        assert (cookie["path"], cookie["samesite"], cookie["secure"]) == ("/portal/", "Lax", True)
    assert client.cookies["portal_sessionid"]["httponly"]


def test_the_page_of_a_link_tells_nobody_the_link(link: str) -> None:
    client = Client()
    page = client.get(link)
    assert page.status_code == 200
    assert link not in page.content.decode()
    used = client.post(link)
    over = Client().get(link)
    assert (used.status_code, over.status_code) == (302, 410)
    for answer in (page, used, over):
        assert answer["Referrer-Policy"] == "strict-origin"
        assert "no-store" in answer["Cache-Control"]


def test_no_page_is_shown_in_a_frame(anna: Client, october: Invoice, link: str) -> None:
    for client, path in (
        (anna, "/portal/"), (anna, f"/portal/invoices/{october.number}/pdf/"), (Client(), link),
        (anna, "/portal/nothing/"),
    ):  # fmt: skip
        answer = client.get(path)
        assert answer["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["sign-in/", "sign-out/", "limits/", "invoices/{}/lines/1/dispute/"])
def test_a_form_of_another_site_changes_nothing(path: str, acme: Customer, october: Invoice) -> None:
    access = create_portal_access(acme, "bob@acme.example")
    victim = Client(enforce_csrf_checks=True)
    victim.force_login(access.user)
    victim.cookies["portal_sessionid"] = victim.cookies.pop("sessionid").value
    assert victim.get("/portal/").status_code == 200
    answer = victim.post(
        f"/portal/{path.format(october.number)}",
        {"email": "x@example.com"},
        headers={"origin": "https://evil.example"},
    )
    assert answer.status_code == 403
    assert victim.get("/portal/").status_code == 200, "nobody was signed out"


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "https://evil.example/"])
def test_signing_in_leads_nowhere_else(link: str, elsewhere: str) -> None:
    answer = Client().post(f"{link}?next={elsewhere}")
    assert (answer.status_code, answer["Location"]) == (302, "/portal/")
