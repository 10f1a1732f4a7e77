"""The story behind one subject in the portal: what was done, what it led to, what it was charged. Never its cost."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.dispute_rules import is_disputable
from billing.evidence import price_alone
from billing.portal.access import for_customer, page
from billing.portal.invoices import seen_as
from billing.subject_story import StoryOutcome, StoryStep, subject_story
from customers.models import Customer
from metering.meter_types import MeterType
from metering.outcomes import OutcomeState


@require_safe
@for_customer
def subject(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Show the whole timeline of `?subject=`; 404 where nothing happened for it.

    `?of=` names a customer for whom this one pays: of its subjects those are shown that an invoice to this one billed.
    """
    name = request.GET.get("subject", "").replace("\x00", "")
    owner = _owner(customer, request.GET.get("of", "").replace("\x00", ""))
    now = timezone.now()
    story = subject_story(owner, name, now=now) if name else None
    if story is None or (owner != customer and not any(_pays(customer, each) for each in story.outcomes)):
        raise Http404
    return page(
        request,
        "portal/subject.html",
        section="invoices",
        subject=name,
        zone=owner.timezone,
        whose=owner if owner != customer else None,
        outcomes=[_outcome(each, customer, now=now) for each in story.outcomes],
        steps=[_step(each) for each in story.steps],
        more=story.more,
    )


def _owner(customer: Customer, code: str) -> Customer:
    if code in ("", customer.code):
        return customer
    paid_for = Customer.objects.filter(invoices__part_of__customer=customer).distinct()
    return get_object_or_404(paid_for, code=code)


def _pays(customer: Customer, outcome: StoryOutcome) -> bool:
    return outcome.line is not None and seen_as(outcome.line.invoice, customer).customer_id == customer.pk


def _outcome(each: StoryOutcome, customer: Customer, *, now: Any) -> dict[str, Any]:
    event, line = each.outcome.event, each.line
    assert event.meter is not None  # held by outcome_events
    # The invoice may still be a draft, which the customer does not see.
    price = None if line is None else price_alone(line, event)
    may = (
        line is not None
        and each.disputed is None
        and each.outcome.state == OutcomeState.SETTLED
        and is_disputable(line, now=now)
    )
    return {
        "event": event,
        "state": each.outcome.state.value,
        "reason": each.outcome.reason,
        "settles_at": each.outcome.settlement.settles_at,
        "line": line,
        "invoice": seen_as(line.invoice, customer) if line is not None else None,
        "price": price,
        "dispute": each.disputed.dispute if each.disputed else None,
        "may_dispute": may,
    }


def _step(step: StoryStep) -> dict[str, Any]:
    """Give what a customer sees of a step: no source, workload or key of ours."""
    event = step.event
    measured = event is not None and event.signal is None and event.meter is not None
    shows_value = (
        measured
        and event is not None
        and event.meter is not None
        and (event.value is not None or event.meter.type == MeterType.COUNT)
    )
    return {
        "at": step.at,
        "what": step.what,
        "text": step.text,
        "value": event.counted_value if shows_value and event else None,
        "unit": event.meter.unit if event and event.meter else "",
        "state": step.outcome.state.value if step.outcome else "",
    }
