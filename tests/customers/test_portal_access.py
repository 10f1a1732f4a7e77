"""Portal access: links sign in once, mails tell nothing to strangers, revoking ends everything at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.utils import timezone

from customers import portal_access
from customers.errors import InvalidEmail, PortalAccessExists
from customers.models import Customer, PortalAccess
from customers.portal_access import (
    create_portal_access,
    portal_link,
    revoke_portal_access,
    send_sign_in_link,
)

pytestmark = pytest.mark.django_db

BASE = "https://billing.example.com"
HOME = "/portal/"


@pytest.fixture
def acme() -> Customer:
    return Customer.objects.create(code="acme", name="Acme Robotics")


@pytest.fixture
def anna(acme: Customer) -> PortalAccess:
    return create_portal_access(acme, "anna@acme.example")


def path_of(access: PortalAccess) -> str:
    link = portal_link(access, BASE)
    assert link.startswith(f"{BASE}/portal/link/")
    return link.removeprefix(BASE)


def posted() -> list[mail.EmailMessage]:
    """The mails sent so far, after those on their way have left."""
    portal_access._post.submit(lambda: None).result()
    return mail.outbox


def is_signed_in(client: Client) -> bool:
    return client.get(HOME).status_code == 200


def test_access_makes_a_user_without_password_and_without_staff_rights(anna: PortalAccess) -> None:
    assert anna.user.is_active
    assert not anna.user.has_usable_password()
    assert not anna.user.is_staff
    assert not anna.user.is_superuser


@pytest.mark.parametrize("wrong", ["", "anna", "anna@", "anna@acme example"])
def test_an_address_that_is_none_is_refused_by_field(acme: Customer, wrong: str) -> None:
    with pytest.raises(InvalidEmail) as refused:
        create_portal_access(acme, wrong)
    assert refused.value.field == "email"
    assert not PortalAccess.objects.exists()


def test_an_address_has_access_to_a_customer_once_whatever_its_case(
    acme: Customer, anna: PortalAccess
) -> None:
    with pytest.raises(PortalAccessExists):
        create_portal_access(acme, " Anna@ACME.example ")
    assert PortalAccess.objects.count() == 1
    assert type(anna.user).objects.count() == 1


def test_one_person_may_see_two_customers(acme: Customer, anna: PortalAccess) -> None:
    other = Customer.objects.create(code="globex", name="Globex")
    assert create_portal_access(other, anna.email).user != anna.user


def test_reading_a_link_does_not_use_it_up(client: Client, anna: PortalAccess) -> None:
    path = path_of(anna)
    for _ in range(3):
        assert "Continue" in client.get(path).content.decode()
        client.head(path)
    assert not is_signed_in(client)
    assert client.post(path).status_code == 302
    assert is_signed_in(client)


def test_a_link_signs_in_once(anna: PortalAccess) -> None:
    path = path_of(anna)
    assert Client().post(path).status_code == 302
    second = Client()
    answer = second.post(path)
    assert answer.status_code == 410
    assert "no longer valid" in answer.content.decode()
    assert not is_signed_in(second)


def test_signing_in_ends_the_other_links_of_that_person(client: Client, anna: PortalAccess) -> None:
    first, second = path_of(anna), path_of(anna)
    client.post(first)
    assert Client().post(second).status_code == 410


def test_a_link_ends_after_its_minutes(anna: PortalAccess) -> None:
    made = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
    with time_machine.travel(made, tick=False):
        path = path_of(anna)
    with time_machine.travel(made + timedelta(minutes=29), tick=False):
        assert Client().get(path).status_code == 200
    with time_machine.travel(made + timedelta(minutes=31), tick=False):
        assert Client().get(path).status_code == 410
        assert Client().post(path).status_code == 410


@pytest.mark.parametrize("token", ["x", "AAAAAAAAAAAAAAAAAAAA", "~", "%00", "a" * 4000])
def test_an_invented_link_signs_nobody_in(client: Client, anna: PortalAccess, token: str) -> None:
    answer = client.post(f"/portal/link/{token}/")
    assert answer.status_code == 410
    assert not is_signed_in(client)


def test_a_changed_link_signs_nobody_in(client: Client, anna: PortalAccess) -> None:
    path = path_of(anna)
    changed = path[:-3] + ("A" if path[-3] != "A" else "B") + path[-2:]
    assert client.post(changed).status_code == 410


def test_revoking_ends_a_running_session_at_its_next_request(client: Client, anna: PortalAccess) -> None:
    client.post(path_of(anna))
    assert is_signed_in(client)
    revoke_portal_access(anna)
    answer = client.get(HOME)
    assert answer.status_code == 302
    assert answer["Location"] == "/portal/sign-in/"


def test_revoking_ends_links_already_sent(anna: PortalAccess) -> None:
    path = path_of(anna)
    revoke_portal_access(anna)
    assert Client().get(path).status_code == 410
    assert Client().post(path).status_code == 410


def test_access_given_again_after_revoking_does_not_revive_old_links(
    acme: Customer, anna: PortalAccess
) -> None:
    path = path_of(anna)
    revoke_portal_access(anna)
    again = create_portal_access(acme, anna.email)
    assert Client().post(path).status_code == 410
    assert Client().post(path_of(again)).status_code == 302


def test_revoking_closes_the_account_itself_too(anna: PortalAccess) -> None:
    before = anna.user.get_session_auth_hash()
    revoke_portal_access(anna)
    user = type(anna.user).objects.get(pk=anna.user.pk)
    assert not user.is_active
    assert user.get_session_auth_hash() != before, "sessions are signed with it"


def test_revoking_twice_keeps_the_first_time(anna: PortalAccess) -> None:
    revoke_portal_access(anna)
    first = anna.revoked_at
    revoke_portal_access(anna)
    assert anna.revoked_at == first


def test_a_known_address_gets_a_mail_with_a_working_link(anna: PortalAccess) -> None:
    send_sign_in_link(" ANNA@acme.example", issuer="Us", base_url=BASE)
    (message,) = posted()
    assert message.to == ["anna@acme.example"]
    (link,) = [line for line in message.body.splitlines() if line.startswith(BASE)]
    assert Client().post(link.removeprefix(BASE)).status_code == 302


def test_the_mail_holds_one_link_for_each_customer_the_person_may_see(anna: PortalAccess) -> None:
    create_portal_access(Customer.objects.create(code="globex", name="Globex & Söhne"), anna.email)
    send_sign_in_link(anna.email, issuer="Us", base_url=BASE)
    (message,) = posted()
    assert message.body.count(BASE) == 2
    assert "Globex & Söhne" in message.body


def test_an_unknown_or_revoked_address_gets_no_mail(anna: PortalAccess) -> None:
    revoke_portal_access(anna)
    send_sign_in_link(anna.email, issuer="Us")
    send_sign_in_link("stranger@example.com", issuer="Us")
    assert posted() == []


def test_an_address_gets_one_mail_in_two_minutes(anna: PortalAccess) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        send_sign_in_link(anna.email, issuer="Us")
        send_sign_in_link(anna.email, issuer="Us")
        assert len(posted()) == 1
    with time_machine.travel(now + timedelta(seconds=119), tick=False):
        send_sign_in_link(anna.email, issuer="Us")
        assert len(posted()) == 1
    with time_machine.travel(now + timedelta(minutes=2), tick=False):
        send_sign_in_link(anna.email, issuer="Us")
        assert len(posted()) == 2


def test_the_sign_in_page_answers_the_same_for_known_and_unknown_addresses(anna: PortalAccess) -> None:
    known = Client().post("/portal/sign-in/", {"email": "anna@acme.example"})
    unknown = Client().post("/portal/sign-in/", {"email": "nobody@acme.example"})
    assert known.status_code == unknown.status_code == 200
    assert known.content.replace(b"anna@", b"nobody@") == unknown.content
    assert len(posted()) == 1


def test_a_wrong_address_on_the_sign_in_page_is_named(client: Client) -> None:
    answer = client.post("/portal/sign-in/", {"email": "anna"})
    assert answer.status_code == 400
    assert "Enter a whole e-mail address" in answer.content.decode()
    assert posted() == []


def test_signing_out_ends_the_session(client: Client, anna: PortalAccess) -> None:
    client.post(path_of(anna))
    client.post("/portal/sign-out/")
    assert not is_signed_in(client)


def test_a_portal_session_ends_after_its_hours(client: Client, anna: PortalAccess) -> None:
    client.post(path_of(anna))
    cookie = client.cookies["portal_sessionid"]
    assert cookie["max-age"] == 12 * 3600
    assert cookie["path"] == HOME
    assert cookie["httponly"]


def test_staff_signed_in_to_the_admin_do_not_enter_the_portal(admin_client: Client) -> None:
    assert admin_client.get(HOME)["Location"] == "/portal/sign-in/"
    assert admin_client.get("/admin/").status_code == 200


def test_signing_in_to_the_portal_leaves_the_admin_session_of_the_same_browser_alone(
    admin_client: Client, anna: PortalAccess
) -> None:
    admin_client.post(path_of(anna))
    assert is_signed_in(admin_client)
    assert admin_client.get("/admin/").status_code == 200
    admin_client.post("/portal/sign-out/")
    assert not is_signed_in(admin_client)
    assert admin_client.get("/admin/").status_code == 200


def test_a_portal_session_opens_no_admin_page(client: Client, anna: PortalAccess) -> None:
    client.post(path_of(anna))
    client.cookies["sessionid"] = client.cookies["portal_sessionid"].value
    answer = client.get("/admin/")
    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]


def test_forms_need_their_csrf_token(anna: PortalAccess) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(path_of(anna)).status_code == 403
    assert strict.post("/portal/sign-in/", {"email": anna.email}).status_code == 403
