"""Playbooks in the admin: choose a kind of result, change what is proposed, see its bill, create everything."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing.admin.choices import currency_choices
from billing.admin.statement import worked_rows
from billing.errors import BillingError
from billing.formatting import money
from billing.models.plans import MAX_AMOUNT
from billing.playbooks import (
    PLAYBOOKS,
    Choices,
    Playbook,
    as_fields,
    new_meters,
    playbook,
    preview,
    proposed,
    set_up,
    taken,
)
from billing.rating import TermsError
from customers.codes import validate_code
from customers.errors import AlreadyExists
from customers.staff_pages import StaffAdmin, put_errors, require, say_next
from metering.meter_types import OncePerSubject
from metering.models.meter_rules import MAX_TIMEOUT_HOURS

# The fields of the form for what the checks of rates and examples call otherwise.
NAMED = {"unit_amount": "price", "included_units": "included_units", "amount": "monthly_fee"}


def _text(label: str, help_text: str = "", *, most: int = 200, **attributes: str) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget({"autocomplete": "off", **attributes})
    return forms.CharField(label=label, help_text=help_text, max_length=most, widget=widget)


def _number(
    label: str,
    help_text: str = "",
    *,
    required: bool = True,
    decimals: int = 12,
    most: Decimal = MAX_AMOUNT - 1,
) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, help_text=help_text, required=required, min_value=Decimal(0),
        max_value=most, max_digits=30, decimal_places=decimals, widget=UnfoldAdminDecimalFieldWidget,
    )  # fmt: skip


class PlaybookForm(forms.Form):
    """What a playbook makes. `choices` is set once the form is valid."""

    meter_label = _text("What is counted", "The name people read, also on invoices.")
    meter_code = _text("Its code", "The name your events use. It cannot be changed later.")
    unit = _text("One of it is a", "On invoices.", most=40)
    hours = _number(
        "Held for so many hours",
        "Counts when nothing reversed it for so long. Empty: at once.",
        required=False,
        decimals=2,
        most=Decimal(MAX_TIMEOUT_HOURS),
    )
    once_per_subject = forms.ChoiceField(
        label="The same one again", choices=OncePerSubject.choices, widget=UnfoldAdminSelectWidget
    )
    plan_name = _text("Plan", "The name customers read on invoices.")
    plan_code = _text("Code of the plan")
    currency = forms.ChoiceField(choices=currency_choices, widget=UnfoldAdminSelectWidget)
    price = _number("Price of each")
    included_units = _number("Included each month", "Free of charge. 0: none.")
    monthly_fee = _number("Monthly fee", "Empty: none.", required=False)
    example_quantity = _number("Example: so many in a month", "The plan keeps it and must always come to it.")
    with_work = forms.BooleanField(
        label="Measure API calls and LLM tokens too", required=False, widget=UnfoldBooleanWidget,
        help_text="Not priced: they show what a result costs. Meters that are there already stay as they are.",
    )  # fmt: skip

    with_attempts = forms.BooleanField(
        label="Measure what is begun too", required=False, widget=UnfoldBooleanWidget,
        help_text="The resolution rate is the share of it that held. You can choose another meter at any time.",
    )  # fmt: skip

    def __init__(self, *args: Any, book: Playbook, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.book = book
        self.fields["with_attempts"].label = f"Measure {book.attempts['label']} too"

    def clean_meter_code(self) -> str:
        return self._code("meter_code")

    def clean_plan_code(self) -> str:
        return self._code("plan_code")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            self.choices = Choices(**cleaned)
            put = taken(self.book, self.choices)
            if put:
                put_errors(self, put, message="")
        return cleaned

    def _code(self, name: str) -> str:
        code: str = self.cleaned_data[name]
        validate_code(code)
        return code


class PlaybookPages(StaffAdmin):
    """Adds the playbooks to the admin of plans."""

    def playbook_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("playbooks/", wrap(self.playbooks_view), name="billing_plan_playbooks"),
            path("playbooks/<slug:slug>/", wrap(self.playbook_view), name="billing_plan_playbook"),
        ]

    def playbooks_view(self, request: HttpRequest) -> HttpResponse:
        """Show the playbooks, each with the bill of its example."""
        require(request, "billing.view_plan", "metering.view_meter")
        cards = [
            {"book": book, "example": _sentence(book, book.choices), "fee": book.choices.monthly_fee}
            for book in PLAYBOOKS
        ]
        return self.page(
            request, "admin/billing/plan/playbooks.html", title="Playbooks", cards=cards,
            may_create=request.user.has_perms(["billing.add_plan", "metering.add_meter"]),
            purpose="Ready templates for selling results. Each creates a meter, a draft plan with its price, and an "
            "example that guards the price. You see the bill first, and can change everything after.",
        )  # fmt: skip

    def playbook_view(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Show what a playbook makes, by default or as changed; `_create` makes it."""
        require(request, "billing.add_plan", "metering.add_meter")
        book = playbook(slug)
        if book is None:
            raise Http404
        offered = proposed(book)
        form = PlaybookForm(request.POST or None, book=book, initial=as_fields(offered), auto_id="id_%s")
        choices: Choices | None = offered
        if form.is_bound:
            choices = form.choices if form.is_valid() else None
        worked = None
        if choices is not None:
            try:
                worked = preview(book, choices)
            except TermsError as refused:
                put_errors(
                    form,
                    {NAMED.get(at, at): text for at, text in refused.fields.items()},
                    message=refused.message,
                )
            else:
                if worked.problem:
                    form.add_error(None, worked.problem)
        wants_it = form.is_bound and form.is_valid() and "_create" in request.POST
        if wants_it and (answer := self._create(request, book, form)):
            return answer
        return self.page(
            request, "admin/billing/plan/playbook.html", title=book.title, book=book, form=form, worked=worked,
            purpose=book.sells, renamed=_renamed(book, offered), choices=choices,
            lines=worked_rows(worked.lines, choices.currency) if worked and choices else [],
            total=money(worked.amount, choices.currency) if worked and choices and worked.amount is not None else "",
            work=new_meters(book, choices) if choices else [],
        )  # fmt: skip

    def _create(self, request: HttpRequest, book: Playbook, form: PlaybookForm) -> HttpResponse | None:
        try:
            plan = set_up(book, form.choices, now=timezone.now())
        except (AlreadyExists, BillingError) as refused:
            form.add_error(None, refused.message)
        except IntegrityError:
            form.add_error(
                None, "Somebody used one of the codes at this moment. Look at them and create again."
            )
        except ValidationError as refused:
            for sentence in refused.messages:
                form.add_error(None, sentence)
        else:
            self.log_addition(request, plan, f"Made by the playbook “{book.title}”.")
            messages.success(
                request, f"{form.choices.meter_label} is counted now, and {plan.name} is a draft."
            )
            say_next(
                request, "Look at the price and the example, then activate the plan. To send events:",
                url=reverse("admin:metering_meter_changelist"), text="the meters",
            )  # fmt: skip
            return redirect("admin:billing_plan_change", plan.pk)
        return None


def _sentence(book: Playbook, choices: Choices) -> str:
    worked = preview(book, choices)
    assert worked.amount is not None  # the table of playbooks can be priced
    return f"{choices.example_quantity:,f} {choices.unit}s make {money(worked.amount, choices.currency)}"


def _renamed(book: Playbook, offered: Choices) -> list[str]:
    """Say which usual codes are taken, so that another one is offered."""
    pairs = (
        ("meter", book.choices.meter_code, offered.meter_code),
        ("plan", book.choices.plan_code, offered.plan_code),
    )
    return [
        f"The {what} “{usual}” exists already, so “{other}” is offered."
        for what, usual, other in pairs
        if usual != other
    ]
