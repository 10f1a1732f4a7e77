"""`POST subscriptions/{id}/change|quantity|pause|resume|cancel|reactivate|undo/`: changing what a customer has.

Each takes `when` and answers with the coming invoices before and after; `"preview": true` writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.agreed_changes import Author
from billing.api.invoice_bodies import preview_body
from billing.api.shapes import InvoiceShape
from billing.api.subscription_change_shapes import (
    ChangeSerializer,
    EffectShape,
    PauseSerializer,
    PlanChangeSerializer,
    QuantityChangeSerializer,
    ReactivateSerializer,
    SubscriptionChangeShape,
    UndoSerializer,
    change_body,
    effect_body,
)
from billing.changing import cancel, change_plan, change_quantity, pause, reactivate, resume
from billing.errors import ChangeRefused
from billing.models import AgreementKind, Subscription, SubscriptionChange
from billing.outlooks import outlook, show_effect
from billing.undoing import undo
from customers.api.strictness import StrictSerializer


def _example(name: str, **value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


class ChangeActions:
    """The changes of a subscription, for its viewset."""

    @extend_schema(
        summary="Change the plan", request=PlanChangeSerializer, responses=EffectShape,
        examples=[_example("Show an upgrade", plan="support", when="now", preview=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def change(self, request: Request, pk: str) -> Response:
        """Go on with another plan: unused days of fees paid in advance come back, the new ones are charged."""
        subscription, asked, author = self._asked(request, PlanChangeSerializer)

        def make() -> Subscription:
            return change_plan(subscription, to=asked["plan"], when=asked["when"], author=author)

        return _answer(subscription, make, asked, author)

    @extend_schema(
        summary="Change the seats", request=QuantityChangeSerializer, responses=EffectShape,
        examples=[_example("Eight seats from now on", quantity=8, when="now", preview=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def quantity(self, request: Request, pk: str) -> Response:
        """Have another number of seats, charged by days from that day on."""
        subscription, asked, author = self._asked(request, QuantityChangeSerializer)

        def make() -> SubscriptionChange:
            return change_quantity(subscription, asked["quantity"], when=asked["when"], author=author)

        return _answer(subscription, make, asked, author)

    @extend_schema(
        summary="Pause", request=PauseSerializer, responses=EffectShape,
        examples=[_example("From the next period", when="period_end", preview=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Owe no fixed fees for some days. Usage stays measured and charged."""
        subscription, asked, author = self._asked(request, PauseSerializer)

        def make() -> SubscriptionChange:
            return pause(subscription, when=asked["when"], until=asked["until"], author=author)

        return _answer(subscription, make, asked, author)

    @extend_schema(
        summary="Resume", request=ChangeSerializer, responses=EffectShape,
        examples=[_example("Today", when="now", preview=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """End a pause."""
        subscription, asked, author = self._asked(request, ChangeSerializer)
        return _answer(
            subscription, lambda: resume(subscription, when=asked["when"], author=author), asked, author
        )

    @extend_schema(
        summary="Cancel", request=ChangeSerializer, responses=EffectShape,
        examples=[_example("At the end of the period", when="period_end", reason="moving away", preview=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End it: now (today is the last day), at the end of the period, or before a day."""
        subscription, asked, author = self._asked(request, ChangeSerializer)
        return _answer(
            subscription, lambda: cancel(subscription, when=asked["when"], author=author), asked, author
        )

    @extend_schema(
        summary="Reactivate", request=ReactivateSerializer, responses=EffectShape,
        examples=[_example("Today", when="now", preview=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def reactivate(self, request: Request, pk: str) -> Response:
        """Begin again after the end; within the same period with the same anchor."""
        subscription, asked, author = self._asked(request, ReactivateSerializer)

        def make() -> Subscription:
            return reactivate(subscription, when=asked["when"], to=asked["plan"], author=author)

        return _answer(subscription, make, asked, author)

    @extend_schema(
        summary="Take a change back", request=UndoSerializer, responses=EffectShape,
        examples=[_example("The last one", preview=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Take a planned change or cancellation back, as long as no invoice has charged its days."""
        subscription, asked, author = self._asked(request, UndoSerializer)
        rows = subscription.changes.exclude(kind=AgreementKind.UNDO).filter(undone_by=None)
        if "change" in asked:
            rows = rows.filter(pk=asked["change"])
        last = rows.select_related("subscription__plan", "following__plan").order_by("-pk").first()
        if last is None:
            raise ChangeRefused(
                "There is no such change to take back.", fields={"change": "Nothing to undo."}
            )
        return _answer(subscription, lambda: undo(last, author=author), asked, author)

    @extend_schema(summary="List the changes", responses=SubscriptionChangeShape(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def changes(self, request: Request, pk: str) -> Response:
        """What was agreed about it since it began, in the order it was made."""
        subscription: Subscription = self.get_object()  # type: ignore[attr-defined]
        return Response([change_body(change) for change in subscription.changes.order_by("pk")])

    @extend_schema(summary="Coming invoices", responses=InvoiceShape(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def coming(self, request: Request, pk: str) -> Response:
        """The invoices that come next for its customer, with what is known now. Nothing is stored."""
        subscription: Subscription = self.get_object()  # type: ignore[attr-defined]
        found = outlook(subscription.customer, now=timezone.now())
        return Response([preview_body(draft) for draft in found.drafts])

    def _asked(
        self, request: Request, shape: type[StrictSerializer]
    ) -> tuple[Subscription, dict[str, Any], Author]:
        sent = shape(data=request.data)
        sent.is_valid(raise_exception=True)
        holder: Any = request.auth
        subscription: Subscription = self.get_object()  # type: ignore[attr-defined]
        asked = sent.validated_data
        author = Author(timezone.now(), f"API key {holder.name} ({holder.prefix})", asked["reason"])
        return subscription, asked, author


def _answer(
    subscription: Subscription,
    make: Callable[[], Subscription | SubscriptionChange],
    asked: dict[str, Any],
    author: Author,
) -> Response:
    """Show the effect, then make the change unless only the effect was asked for."""

    def day() -> date:
        made = make()
        return made.start_on if isinstance(made, Subscription) else made.effective_on

    with transaction.atomic():
        effect = show_effect(subscription.customer, day, now=author.at)
        made = None if asked["preview"] else make()
    goes_on = made.pk if isinstance(made, Subscription) else subscription.pk
    return Response(effect_body(effect, preview=asked["preview"]) | {"subscription": goes_on})
