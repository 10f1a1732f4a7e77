"""Limits in the portal: what is used of each, and a limit of the customer's own that can only be tighter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from billing.errors import InvalidLimit
from billing.formatting import minute, plural
from billing.limiting import Standing, known_standings
from billing.models import LimitKind, LimitSetter, Rate, Subscription, UsageLimit
from billing.portal.access import for_customer, page
from billing.reminding import sentence
from billing.restricting import remove_limit, set_limit
from customers.models import Customer
from metering.models import Meter
from metering.periods import local_day

REMIND = ((50, "50 %"), (80, "80 %"), (100, "100 %"))


class OwnLimitForm(forms.Form):
    """What the customer itself wants to be told, or stopped, at."""

    unit = forms.ChoiceField(choices=[("money", "money"), ("units", "units")], label="In")
    most = forms.DecimalField(
        label="At most in a billing period", min_value=Decimal(0), max_digits=20, decimal_places=4,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        error_messages={"required": "Write a number, such as 500.", "invalid": "Write a number, such as 500."},
    )  # fmt: skip
    kind = forms.ChoiceField(
        label="When it is reached",
        choices=[(LimitKind.SOFT, "Only tell me"), (LimitKind.HARD, "Allow no more in this period")],
    )
    remind_at = forms.MultipleChoiceField(
        label="Mail me at", required=False, choices=REMIND, widget=forms.CheckboxSelectMultiple
    )


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit in words. `percent` is at most 100 for the bar; `used_percent` is what was used."""

    standing: Standing
    used: str
    most: str
    left: str
    percent: int
    sentence: str
    is_own: bool
    resets: str


@dataclass(slots=True)
class MeterLimits:
    meter: Meter
    rows: list[LimitRow]
    form: OwnLimitForm
    has_own: bool

    @property
    def units(self) -> str:
        """The plural of what the meter counts."""
        return plural(self.meter.unit or "unit")


@require_http_methods(["GET", "HEAD", "POST"])
@for_customer
def limits(request: HttpRequest, *, customer: Customer) -> HttpResponseBase:
    """Show the limits of each meter that a plan prices; a POST sets the customer's own, or removes it."""
    now = timezone.now()
    meters = _meters(customer, now=now)
    bound: tuple[str, OwnLimitForm] | None = None
    if request.method == "POST":
        meter = next((each for each in meters if each.code == request.POST.get("meter")), None)
        if meter is None:
            raise Http404
        if "remove" in request.POST:
            remove_limit(customer, meter, set_by=LimitSetter.CUSTOMER)
            return redirect("portal:limits")
        form = OwnLimitForm(request.POST, auto_id=f"id_{meter.pk}_%s")
        if form.is_valid() and _set(customer, meter, form):
            return redirect("portal:limits")
        bound = (meter.code, form)
    rows = limit_rows(customer, now=now)
    return page(
        request, "portal/limits.html", section="limits", status=400 if bound else 200, now=now,
        each_meter=[
            _of_meter(meter, rows, bound[1] if bound and bound[0] == meter.code else None) for meter in meters
        ],
    )  # fmt: skip


def limit_rows(customer: Customer, *, now: datetime) -> list[LimitRow]:
    """Give every limit of a customer with what is used; those whose usage has no price are left out."""
    found = list(
        UsageLimit.objects.filter(customer=customer)
        .select_related("customer", "meter")
        .order_by("meter", "-set_by")
    )
    return (
        [_row(standing) for standing in known_standings(found, now=now) if standing is not None]
        if found
        else []
    )


def reached_rows(customer: Customer, *, now: datetime) -> list[LimitRow]:
    """Give the limits of which a part is reached that the customer is reminded of: the banner of the overview."""
    return [row for row in limit_rows(customer, now=now) if row.standing.reached]


def _row(standing: Standing) -> LimitRow:
    return LimitRow(
        standing,
        standing.words(standing.used),
        standing.words(standing.limit.most),
        standing.words(standing.remaining),
        min(standing.percent, 100),
        sentence(standing),
        standing.limit.set_by == LimitSetter.CUSTOMER,
        minute(standing.period.end, standing.limit.customer.timezone),
    )


def _of_meter(meter: Meter, rows: list[LimitRow], bound: OwnLimitForm | None) -> MeterLimits:
    mine = [row for row in rows if row.standing.limit.meter_id == meter.pk]
    own = next((row.standing.limit for row in mine if row.is_own), None)
    initial: dict[str, Any] = {"unit": "money", "kind": LimitKind.SOFT, "remind_at": [50, 80, 100]}
    if own is not None:
        initial = {
            "unit": "money" if own.is_money else "units",
            "most": f"{own.most.normalize():f}",
            "kind": own.kind,
            "remind_at": own.remind_at,
        }
    form = bound or OwnLimitForm(initial=initial, auto_id=f"id_{meter.pk}_%s")
    return MeterLimits(meter, mine, form, own is not None)


def _set(customer: Customer, meter: Meter, form: OwnLimitForm) -> bool:
    sent = form.cleaned_data
    in_money = sent["unit"] == "money"
    try:
        set_limit(
            customer,
            meter,
            set_by=LimitSetter.CUSTOMER,
            quantity=None if in_money else sent["most"],
            amount=sent["most"] if in_money else None,
            kind=sent["kind"],
            remind_at=[int(each) for each in sent["remind_at"]],
        )
    except InvalidLimit as refused:
        form.add_error("most", refused.message)
        return False
    return True


def _meters(customer: Customer, *, now: datetime) -> list[Meter]:
    """Give the meters that the plans of today price, by label."""
    today = local_day(now, customer.timezone)
    running = [
        each.plan_id
        for each in Subscription.objects.filter(customer=customer, start_on__lte=today)
        if each.end_on is None or each.end_on > today
    ]
    ids = Rate.objects.filter(plan__in=running, meter__isnull=False).values("meter")
    return list(Meter.objects.filter(pk__in=ids).order_by("label", "code"))
