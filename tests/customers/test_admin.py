"""API keys are shown once and revoked; staff users are kept apart from portal users and cannot raise themselves."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from customers.models import ApiKey
from customers.portal_access import create_portal_access
from tests.factories import make_customer
from tests.staff import make_staff, messages_of, sign_in, text_of

ADD = "admin:customers_apikey_add"
pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return sign_in()


def test_a_key_is_shown_once_and_works(staff: Client) -> None:
    made = staff.post(reverse(ADD), {"name": "Platform", "scopes": ["ingest", "read"], "source": "api"})
    secret, key = made.context["secret"], ApiKey.objects.get()
    assert ApiKey.objects.get_from_key(secret) == key
    assert (key.scopes, key.source) == (["ingest", "read"], "api")
    assert "no-store" in made.headers["Cache-Control"]
    assert secret in made.content.decode()
    for page in (
        reverse("admin:customers_apikey_changelist"),
        reverse("admin:customers_apikey_change", args=[key.prefix]),
    ):
        shown = staff.get(page).content.decode()
        assert secret.partition(".")[2] not in shown
        assert key.hashed_key not in shown


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": "", "scopes": ["read"], "source": "api"}, "name"),
        ({"name": "x", "scopes": [], "source": "api"}, "scopes"),
        ({"name": "x", "scopes": ["root"], "source": "api"}, "scopes"),
        ({"name": "x", "scopes": ["read"], "source": ""}, "source"),
    ],
)
def test_a_bad_key_is_refused_at_the_field(staff: Client, fields: dict[str, object], wrong: str) -> None:
    assert wrong in staff.post(reverse(ADD), fields).context["form"].errors
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_after_a_question_and_never_edited(staff: Client) -> None:
    staff.post(reverse(ADD), {"name": "Platform", "scopes": ["read"], "source": "api"})
    key = ApiKey.objects.get()
    page = reverse("admin:customers_apikey_revoke", args=[key.prefix])
    assert "This cannot be undone" in text_of(staff.get(page))
    key.refresh_from_db()
    assert not key.revoked
    staff.post(reverse("admin:customers_apikey_change", args=[key.prefix]), {"name": "Other"})
    assert "is revoked" in messages_of(staff.post(page, follow=True))
    key.refresh_from_db()
    assert (key.revoked, key.name) == (True, "Platform")


def test_people_of_the_portal_are_not_listed_as_staff(staff: Client) -> None:
    access = create_portal_access(make_customer(), "anna@acme.example")
    listed = staff.get(reverse("admin:auth_user_changelist")).context["cl"].result_list
    assert [user.username for user in listed] == ["root"]
    page = reverse("admin:auth_user_change", args=[access.user_id])
    assert staff.get(page).status_code == 302


def test_new_users_are_staff_and_get_their_rights_from_groups(staff: Client) -> None:
    fields = {
        "username": "carla",
        "usable_password": "true",
        "password1": "b4ck-office!",
        "password2": "b4ck-office!",
    }
    staff.post(reverse("admin:auth_user_add"), fields)
    carla = User.objects.get(username="carla")
    assert (carla.is_staff, carla.is_superuser, carla.groups.count()) == (True, False, 0)


def test_a_billing_admin_makes_no_superuser_and_touches_none() -> None:
    root = make_staff()
    admin = sign_in("Billing admin")
    me = User.objects.get(username="billing-admin")
    page = reverse("admin:auth_user_change", args=[me.pk])
    admin.post(page, {"username": "billing-admin", "is_active": "on", "is_superuser": "on"})
    me.refresh_from_db()
    assert not me.is_superuser
    for name in ("change", "password_change"):
        address = reverse(
            "admin:auth_user_change" if name == "change" else "admin:auth_user_password_change",
            args=[root.pk],
        )
        passwords = {"password1": "b4ck-office!", "password2": "b4ck-office!", "usable_password": "true"}
        assert admin.post(address, {"username": "mine"} | passwords).status_code == 403
    root.refresh_from_db()
    assert root.username == "root"
    assert root.check_password("secret")


def test_libraries_show_no_tables_of_their_own(staff: Client) -> None:
    labels = {
        model["object_name"]
        for app in staff.get(reverse("admin:index")).context["available_apps"]
        for model in app["models"]
    }
    assert labels == {
        "ApiKey", "Budget", "Dispute", "NoticeMail", "Seller", "WebhookDelivery", "WebhookEndpoint",
        "ChangedLine", "CheckRun", "CloseReview", "CloseRun", "CostRate", "Coupon", "CreditNote", "Customer",
        "Event", "EventConflict", "Group", "Invoice", "MailText", "Meter", "Outcome", "ParkedCustomer", "Payment",
        "Plan", "ReconciliationRun", "TaxRate", "UsageLimit", "User", "Workload",
    }  # fmt: skip
