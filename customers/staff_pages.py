"""What every page of the admin shares: one way to show a list, a page of its own, a chart, a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet, TextField
from django.forms import BaseForm, CharField
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminExpandableTextareaWidget

from customers.form_widgets import SearchedSelect
from customers.stale_forms import refusing_stale, seen_token

COUNT_UP_TO = 10_000
LOG_SHOWN = 12


class BoundedPaginator(Paginator):
    """Counts no further than ten thousand rows, so that a list of millions opens as fast as a short one."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by()[:COUNT_UP_TO].count()


class StaffAdmin(ModelAdmin):
    """A list and pages that say what they are for. Nothing is deleted unless a subclass allows it."""

    purpose: ClassVar[str] = ""
    empty_title: ClassVar[str] = "Nothing here yet"
    empty_text: ClassVar[str] = ""
    # Another way to begin, offered on an empty list: the name of an address and its text.
    empty_link: ClassVar[tuple[str, str] | None] = None
    nothing_found: ClassVar[str] = "Nothing matches. Try another word or fewer filters."
    list_before_template = "admin/purpose.html"
    list_per_page = 50
    list_filter_sheet = False
    actions: Any = None
    warn_unsaved_form = True
    change_form_after_template: ClassVar[str | None] = "admin/parts/seen.html"
    shows_log: ClassVar[bool] = False
    formfield_overrides: Any = {TextField: {"widget": UnfoldAdminExpandableTextareaWidget}}

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Give no bulk actions: everything that changes money is done one at a time, with its effect shown."""
        return {}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Refuse what no column can hold before a filter asks the database for it."""
        if any("\x00" in value for values in request.GET.lists() for value in values[1]):
            raise IncorrectLookupParameters
        return super().get_changelist_instance(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Name the window after what is listed."""
        title = capfirst(self.model._meta.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", SearchedSelect(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Give a form that is not saved over what somebody else changed while it was open."""
        return refusing_stale(super().get_form(request, obj, **kwargs), request, obj)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Offer one way to save: what comes next is said after it."""
        context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        context["seen"] = seen_token(request, kwargs.get("obj"), context["adminform"].form)
        if kwargs.get("obj") is not None and self.shows_log:
            context["log"] = log_of(kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)

    def page(
        self, request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any
    ) -> TemplateResponse:
        """Show a page of this admin that is not one of Django's own."""
        request.current_app = self.admin_site.name
        row = context.get(str(self.model._meta.model_name))
        whole = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            # The way back, above the page: the list, and the row that the page is about.
            "original": row if isinstance(row, self.model) else None,
            "model_admin": self,
            "title": title,
            "own_heading": True,
            **context,
        }
        return TemplateResponse(request, template, whole, status=status)


class ReadOnlyAdmin(StaffAdmin):
    """Rows that staff may look at and nobody may change here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def log_of(row: Model) -> QuerySet[LogEntry]:
    """Give what staff did with a row, the latest first."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(row), object_id=str(row.pk)
    )
    return entries.select_related("user").order_by("-action_time")[:LOG_SHOWN]


def require(request: HttpRequest, *permissions: str) -> None:
    """Refuse the request unless its user has every permission named."""
    if not request.user.has_perms(permissions):
        raise PermissionDenied


def reason_of(request: HttpRequest, *, most: int) -> tuple[str, str]:
    """Give the reason that a page without a form of its own was sent, and what is wrong with it, naming the field."""
    try:
        return str(CharField(required=False, max_length=most).clean(request.POST.get("reason", ""))), ""
    except ValidationError as refused:
        return "", f"Reason: {' '.join(refused.messages)}"


def link(url: str, text: object) -> SafeString:
    return format_html('<a class="rk-link" href="{}">{}</a>', url, text)


def say_next(request: HttpRequest, sentence: str, *, url: str, text: str) -> None:
    """Tell what comes next, with a link to it."""
    messages.info(request, format_html('{} <a class="rk-link" href="{}">{}</a>', sentence, url, text))


def put_errors(form: BaseForm, fields: Mapping[str, str], *, message: str) -> None:
    """Show a refusal at the fields it names; what names no field of the form stands above it."""
    placed = False
    for name, sentence in fields.items():
        if name in form.fields:
            form.add_error(name, ValidationError(sentence))
            placed = True
    if not placed:
        form.add_error(None, ValidationError(message))


def bar_chart(points: Iterable[tuple[str, Decimal]], *, label: str, ticks: int = 8) -> str:
    """Give the data of a bar chart, nothing when all is zero. Only pixels may make a float of an amount."""
    rows = list(points)
    if not any(value for _, value in rows):
        return ""
    return json.dumps(
        {
            "labels": [name for name, _ in rows],
            "datasets": [
                {
                    "label": label,
                    "data": [float(value) for _, value in rows],
                    "backgroundColor": "var(--color-primary-600)",
                    "maxTicksXLimit": ticks,
                    "displayYAxis": True,
                    "maxBarThickness": 22,
                    "borderRadius": 3,
                }
            ],
        }
    )


def paired_chart(
    points: Iterable[tuple[str, Decimal, Decimal]], *, labels: tuple[str, str], ticks: int = 12
) -> str:
    """Give the data of a chart with two bars side by side, nothing when all is zero."""
    rows = list(points)
    if not any(first or second for _, first, second in rows):
        return ""
    colours = ("var(--color-base-400)", "var(--color-primary-600)")
    return json.dumps(
        {
            "labels": [name for name, _, _ in rows],
            "datasets": [
                {
                    "label": label,
                    "data": [float(row[place + 1]) for row in rows],
                    "grouped": True,
                    "backgroundColor": colours[place],
                    "maxTicksXLimit": ticks,
                    "displayYAxis": True,
                    "maxBarThickness": 22,
                    "borderRadius": 3,
                }
                for place, label in enumerate(labels)
            ],
        }
    )
