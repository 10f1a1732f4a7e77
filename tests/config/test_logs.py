"""Log lines let nobody in: a sign-in link in one is without its secret part."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.test import Client
from gunicorn.config import Config

from config.access_log import AccessLogger
from customers.portal_access import create_portal_access, portal_link
from tests.factories import make_customer

BASE = "http://testserver"


@pytest.mark.django_db
def test_a_refused_form_of_a_link_that_still_works_is_logged_without_its_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = portal_link(create_portal_access(make_customer(), "anna@acme.example"), BASE).removeprefix(BASE)
    assert Client(enforce_csrf_checks=True).post(path).status_code == 403
    (record,) = (each for each in caplog.records if "Forbidden" in each.getMessage())
    assert record.getMessage() == "Forbidden (CSRF cookie not set.): /portal/link/…/"
    assert Client().post(path).status_code == 302, "the link works on"


def test_the_access_log_names_no_link_as_address_or_as_the_page_before() -> None:
    request = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/portal/link/AAAA-secret/",
        "PATH_INFO": "/portal/link/AAAA-secret/",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_REFERER": "https://billing.example.com/portal/link/AAAA-secret/",
    }
    answer = SimpleNamespace(status="200 OK", headers=[], sent=10)
    line = AccessLogger(Config()).atoms(
        answer, SimpleNamespace(headers=[("REFERER", request["HTTP_REFERER"])]), request, timedelta()
    )
    assert line["r"] == "GET /portal/link/…/ HTTP/1.1"
    assert not [name for name, part in line.items() if "secret" in str(part)]
