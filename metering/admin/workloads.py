"""Workloads: the internal systems whose work is behind the results."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from customers.code_forms import CodeForm
from customers.history_pages import HistoryAdmin
from metering.models import Workload, WorkloadName


class WorkloadForm(CodeForm):
    class Meta:
        model = Workload
        fields = ("name", "code", "parent")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "parent" in self.fields and self.instance.pk:
            parents: Any = self.fields["parent"]
            parents.queryset = Workload.objects.exclude(pk=self.instance.pk)

    def clean_parent(self) -> Workload | None:
        parent: Workload | None = self.cleaned_data["parent"]
        above = parent
        while above is not None:
            if self.instance.pk and above.pk == self.instance.pk:
                raise ValidationError(f"{parent} is part of {self.instance}. Choose one that is not.")
            above = above.parent
        return parent


class NamesInline(TabularInline):
    model = WorkloadName
    fields = ("name", "first_seen_at")
    readonly_fields = fields
    verbose_name_plural = "Names in events that belong to this workload"
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Workload)
class WorkloadAdmin(HistoryAdmin):
    form = WorkloadForm
    inlines = (NamesInline,)
    purpose = (
        "A workload is an internal system that does the work, such as a support chatbot. "
        "Events may name one, so that its activity can be told apart. It belongs to no customer."
    )
    empty_title = "Create a workload"
    empty_text = (
        "Name the systems that do the work. Events that carry the workload's code are counted for it."
    )
    list_display = ("name", "code", "parent", "names_in_events")
    search_fields = ("name", "code")
    list_select_related = ("parent",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workload]:
        return super().get_queryset(request).annotate(name_count=Count("names"))

    def get_readonly_fields(self, request: HttpRequest, obj: Workload | None = None) -> Any:
        return ("code",) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Workload, form: Any, change: bool) -> None:
        """Events that named this code before the workload existed belong to it from now on."""
        super().save_model(request, obj, form, change)
        WorkloadName.objects.filter(name=obj.code, workload=None).update(workload=obj)

    @display(description="Names in events", ordering="name_count")
    def names_in_events(self, workload: Any) -> int:
        return int(workload.name_count)
