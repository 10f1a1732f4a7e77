"""Who may open the portal: giving access, links that sign in once, taking access back.

A link is a signed token, not a record: it holds the user's number and a time and is worthless once it is
used, too old, or its access revoked.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import sesame.utils
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from customers.errors import InvalidEmail, PortalAccessExists
from customers.models import Customer, PortalAccess

SCOPE = "portal"  # a token made for anything else does not open the portal
PAUSE_BETWEEN_MAILS = timedelta(minutes=2)

log = logging.getLogger(__name__)
# Mail is written and leaves after the answer, so that its time tells nobody whether an address is known.
_post = ThreadPoolExecutor(max_workers=1, thread_name_prefix="portal-mail")


def create_portal_access(customer: Customer, email: str) -> PortalAccess:
    """Let a person open a customer's portal. Sends nothing.

    Raises InvalidEmail, or PortalAccessExists while the address has access to this customer already.
    """
    address = _plain_address(email)
    try:
        validate_email(address)
    except ValidationError as refused:
        raise InvalidEmail(f"“{email}” is not an e-mail address such as anna@example.com.") from refused
    user = get_user_model()(username=f"portal-{uuid.uuid4().hex}", email=address)
    user.set_unusable_password()
    try:
        with transaction.atomic():
            user.save()
            return PortalAccess.objects.create(customer=customer, user=user, email=address)
    except IntegrityError as refused:
        if "portalaccess_one_live_per_email" not in str(refused):
            raise
        raise PortalAccessExists(f"{address} can open the portal of {customer.name} already.") from refused


def revoke_portal_access(access: PortalAccess) -> None:
    """Take access back at once, with running sessions and links already sent. Again changes nothing."""
    with transaction.atomic():
        locked = PortalAccess.objects.select_for_update().select_related("user").get(pk=access.pk)
        if locked.revoked_at is None:
            locked.revoked_at = timezone.now()
            locked.save(update_fields=["revoked_at"])
            locked.user.is_active = False
            locked.user.set_unusable_password()  # sessions and tokens are signed with it
            locked.user.save(update_fields=["is_active", "password"])
    access.revoked_at = locked.revoked_at


def portal_link(access: PortalAccess, base_url: str) -> str:
    """Give a link that signs this person in once, within MAGIC_LINK_MINUTES. Nothing of it is stored."""
    token = sesame.utils.get_token(access.user, scope=SCOPE)
    return base_url.rstrip("/") + reverse("portal:link", args=[token])


def access_of_link(token: str) -> PortalAccess | None:
    """Give whom a link would sign in, without using it up; None when it is used, too old or revoked."""
    user = sesame.utils.get_user(token, scope=SCOPE, update_last_login=False)
    return None if user is None else live_access(user)


def sign_in_by_link(request: HttpRequest, token: str) -> PortalAccess | None:
    """Use a link up and sign its person in; None when it is no longer good. Of two at once, one succeeds."""
    found = access_of_link(token)
    if found is None:
        return None
    with transaction.atomic():
        get_user_model().objects.select_for_update().get(pk=found.user_id)
        user = sesame.utils.get_user(token, scope=SCOPE, update_last_login=False)
        access = None if user is None else live_access(user)
        if user is None or access is None:
            return None
        login(request, user)  # moves last_login, which the token was signed with
        request.session.set_expiry(settings.PORTAL_SESSION_HOURS * 3600)
    return access


def live_access(user: object) -> PortalAccess | None:
    """Give the access a signed-in user has now; None for staff without one and after it was revoked."""
    pk = getattr(user, "pk", None)
    if pk is None or not getattr(user, "is_active", False):
        return None
    return PortalAccess.objects.select_related("customer", "user").filter(user_id=pk, revoked_at=None).first()


def send_sign_in_link(email: str, *, issuer: str, base_url: str | None = None) -> None:
    """Mail a person their sign-in links, one for each customer they may see, in the name of who bills.

    Does nothing for an address nobody knows, and for one that got a mail in the last two minutes; the caller
    cannot tell, and says the same in every case. Returns before the mail is sent; failing to send is logged.
    """
    now = timezone.now()
    rested = Q(link_sent_at=None) | Q(link_sent_at__lte=now - PAUSE_BETWEEN_MAILS)
    live = PortalAccess.objects.filter(email=_plain_address(email), revoked_at=None)
    with transaction.atomic():
        waiting = live.filter(rested).select_related("customer", "user").order_by("customer__name", "pk")
        accesses = list(waiting.select_for_update(of=("self",)))
        live.filter(pk__in=[access.pk for access in accesses]).update(link_sent_at=now)
    if accesses:
        _post.submit(_send, accesses, issuer=issuer, base_url=base_url or settings.PUBLIC_URL)


def _mail(accesses: Sequence[PortalAccess], *, issuer: str, base_url: str) -> EmailMessage:
    body = render_to_string(
        "portal/mail/sign_in.txt",
        {
            "issuer": issuer,
            "links": [(access.customer.name, portal_link(access, base_url)) for access in accesses],
            "minutes": settings.SESAME_MAX_AGE // 60,
        },
    )
    return EmailMessage(f"Your sign-in link for {issuer}", body, to=[accesses[0].email])


def _send(accesses: Sequence[PortalAccess], *, issuer: str, base_url: str) -> None:
    try:
        _mail(accesses, issuer=issuer, base_url=base_url).send()
    except Exception:
        log.exception("A sign-in link could not be mailed; check EMAIL_URL.")


def _plain_address(email: str) -> str:
    """Addresses are compared without regard to case: people type their own in several ways."""
    return email.strip().lower()
