"""Endpoints of webhooks: registered, changed, switched, given a new secret, removed. The secret is returned once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from billing.errors import InvalidEndpoint, NotInThisState
from billing.models import WebhookDelivery, WebhookEndpoint, WebhookState
from billing.notifying import Announcement, announce_to, wake_sender
from billing.webhook_addresses import check_url
from billing.webhook_secrets import OVERLAP, new_secret
from billing.webhook_types import CHOOSABLE, WebhookType

MAX_DESCRIPTION = 200


@dataclass(frozen=True, slots=True)
class EndpointTerms:
    """What staff say of an endpoint. No `event_types`: all, those of later versions too."""

    url: str
    event_types: Sequence[str] = ()
    description: str = ""
    contact: str = ""
    active: bool = True


def check_terms(terms: EndpointTerms) -> None:
    """Refuse what cannot be. Raises AddressRefused, InvalidEndpoint."""
    check_url(terms.url)
    known = {each.value for each in CHOOSABLE}
    if unknown := sorted(set(terms.event_types) - known):
        message = f"“{unknown[0]}” is no type of event. Known are {', '.join(sorted(known))}."
        raise InvalidEndpoint(message, fields={"event_types": message})
    if len(terms.description) > MAX_DESCRIPTION:
        message = f"Write at most {MAX_DESCRIPTION} characters."
        raise InvalidEndpoint(message, fields={"description": message})
    if terms.contact:
        try:
            validate_email(terms.contact)
        except ValidationError:
            message = "This is no e-mail address."
            raise InvalidEndpoint(message, fields={"contact": message}) from None


def register_endpoint(terms: EndpointTerms, *, by: str, now: datetime) -> tuple[WebhookEndpoint, str]:
    """Store an endpoint; give it and its secret, which cannot be had again. Raises as `check_terms`."""
    check_terms(terms)
    secret = new_secret()
    endpoint = WebhookEndpoint.objects.create(
        **_values(terms), secret_salt=secret.salt, secret_print=secret.fingerprint, made_at=now, made_by=by
    )
    return endpoint, secret.text


@transaction.atomic
def change_endpoint(endpoint: WebhookEndpoint, terms: EndpointTerms) -> WebhookEndpoint:
    """Change what staff say of an endpoint. Switched on again, it gets what still waits.

    Raises as `check_terms`; NotInThisState for a removed one.
    """
    endpoint = _locked(endpoint)
    check_terms(terms)
    back_on = terms.active and not endpoint.active
    for name, value in _values(terms).items():
        setattr(endpoint, name, value)
    if back_on:
        endpoint.failing_since = None
        endpoint.switched_off_at, endpoint.switched_off_reason = None, ""
        transaction.on_commit(wake_sender, robust=True)
    endpoint.save()
    return endpoint


@transaction.atomic
def rotate_secret(endpoint: WebhookEndpoint, *, now: datetime) -> tuple[WebhookEndpoint, str]:
    """Make a new secret and give it. For a day both sign, so that the receiver can change without losing anything."""
    endpoint = _locked(endpoint)
    secret = new_secret()
    endpoint.old_secret_salt, endpoint.old_secret_print = endpoint.secret_salt, endpoint.secret_print
    endpoint.old_secret_until = now + OVERLAP
    endpoint.secret_salt, endpoint.secret_print = secret.salt, secret.fingerprint
    endpoint.save()
    return endpoint, secret.text


@transaction.atomic
def remove_endpoint(endpoint: WebhookEndpoint, *, now: datetime) -> None:
    """Send nothing more to it: what waits is given up. Its log stays. Doing it again changes nothing."""
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)
    if endpoint.removed_at is not None:
        return
    endpoint.active, endpoint.removed_at = False, now
    endpoint.switched_off_at, endpoint.switched_off_reason = None, ""
    endpoint.save()
    endpoint.deliveries.filter(state=WebhookState.WAITING).update(state=WebhookState.FAILED)


@transaction.atomic
def send_test(endpoint: WebhookEndpoint, *, by: str, now: datetime) -> UUID:
    """Send a body that says so, also to an endpoint that is switched off; give the id of the message."""
    endpoint = _locked(endpoint)
    data = {"endpoint": endpoint.pk, "sentence": "This is a test. It stands for nothing that happened."}
    return announce_to(endpoint, Announcement(WebhookType.TEST, "Test", data), by=by, now=now)


@transaction.atomic
def send_again(delivery: WebhookDelivery, *, by: str, now: datetime) -> WebhookDelivery:
    """Let a delivery that ended be sent once more: the same id and body, with all its tries."""
    delivery = (
        WebhookDelivery.objects.select_for_update(of=("self",))
        .select_related("endpoint", "message")
        .get(pk=delivery.pk)
    )
    _refuse_removed(delivery.endpoint)
    delivery.state, delivery.attempts, delivery.delivered_at = WebhookState.WAITING, 0, None
    delivery.next_try_at, delivery.requested_by = now, by
    delivery.save()
    transaction.on_commit(wake_sender, robust=True)
    return delivery


@transaction.atomic
def send_failed_again(endpoint: WebhookEndpoint, *, by: str, now: datetime) -> int:
    """Let everything that was given up be sent once more; give how much."""
    endpoint = _locked(endpoint)
    waiting = endpoint.deliveries.filter(state=WebhookState.FAILED).update(
        state=WebhookState.WAITING, attempts=0, next_try_at=now, requested_by=by
    )
    transaction.on_commit(wake_sender, robust=True)
    return waiting


def _values(terms: EndpointTerms) -> dict[str, object]:
    return asdict(terms) | {"event_types": sorted(set(terms.event_types))}


def _locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)
    _refuse_removed(endpoint)
    return endpoint


def _refuse_removed(endpoint: WebhookEndpoint) -> None:
    if endpoint.removed_at is not None:
        raise NotInThisState("This endpoint was removed. Register its address anew.")
