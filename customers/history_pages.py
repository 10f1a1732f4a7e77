"""Pages of what a row was: every change, and the whole row at each. They show, and nothing sent to them changes it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from simple_history.admin import SimpleHistoryAdmin

from customers.staff_pages import StaffAdmin


class HistoryAdmin(SimpleHistoryAdmin, StaffAdmin):  # type: ignore[misc]
    """A model whose past can be read."""

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
