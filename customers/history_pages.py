"""Pages of what a row was: every change, and the whole row at each. They show, and nothing sent to them changes it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from simple_history.admin import SimpleHistoryAdmin
from simple_history.models import ModelChange
from simple_history.template_utils import HistoricalRecordContextHelper

from customers.staff_pages import StaffAdmin


class ChangeWords(HistoricalRecordContextHelper):  # type: ignore[misc]
    """Writes what a field was and is as its page does."""

    def prepare_delta_change_value(self, change: Any, value: Any) -> Any:
        if value is None or value == "":
            return "empty"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, datetime):
            at = value.astimezone(UTC)
            return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"
        labels = dict(self.model._meta.get_field(change.field).flatchoices or ())
        if isinstance(value, Hashable) and value in labels:
            return labels[value]
        return super().prepare_delta_change_value(change, value)


class HistoryAdmin(SimpleHistoryAdmin, StaffAdmin):  # type: ignore[misc]
    """A model whose past can be read."""

    def get_historical_record_context_helper(
        self, request: HttpRequest, historical_record: Any
    ) -> ChangeWords:
        return ChangeWords(self.model, historical_record)

    def set_history_delta_changes(
        self, request: HttpRequest, historical_records: Sequence[Any], foreign_keys_are_objs: bool = True
    ) -> None:
        """Say all that changed, also what no form offers, such as a status."""
        for record, before in pairwise(historical_records):
            delta = record.diff_against(before, foreign_keys_are_objs=foreign_keys_are_objs)
            unoffered = [
                ModelChange(field.name, getattr(before, field.name), getattr(record, field.name))
                for field in before.tracked_fields
                if not (field.editable or field.is_relation or getattr(field, "auto_now", False))
            ]
            changes = [*delta.changes, *(each for each in unoffered if each.old != each.new)]
            words = self.get_historical_record_context_helper(request, record)
            record.history_delta_changes = words.context_for_delta_changes(replace(delta, changes=changes))

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Show a row as it was. The library would save what is sent here, past the rules, for whoever may look."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        if not (object_id.isdecimal() and version_id.isdecimal()):
            raise Http404
        record = get_object_or_404(self.model.history.model, history_id=version_id, id=object_id)
        shown: HttpResponse = super().history_form_view(
            request, object_id, version_id, {"record": record, **(extra_context or {})}
        )
        return shown
