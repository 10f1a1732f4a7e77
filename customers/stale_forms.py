"""Two people, or two tabs, edit one row: whoever saves second is told what happened meanwhile, and nothing is lost."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.forms import BaseForm
from django.http import HttpRequest

FIELD = "_seen"


def latest_change(row: Model | None) -> Any:
    """Give the latest entry of a row's history; None for a row, or a table, without one."""
    return row.history.first() if row is not None and hasattr(row, "history") else None


def seen_token(request: HttpRequest, row: Model | None, form: BaseForm) -> str:
    """Give what the form carries to say which state of the row it shows.

    A form that comes back with an error keeps what it carried; one that was refused as stale takes the new state, so
    that saving it again is meant.
    """
    carried = request.POST.get(FIELD)
    if carried is not None and not getattr(form, "is_stale", False):
        return carried
    latest = latest_change(row)
    return "" if latest is None else str(latest.history_id)


def refusing_stale(form: Any, request: HttpRequest, row: Model | None) -> Any:
    """Give a form that refuses to be saved over a change which it does not show."""
    carried, latest = request.POST.get(FIELD), latest_change(row)
    if not carried or latest is None or carried == str(latest.history_id):
        return form

    class StaleForm(form):  # type: ignore[misc]
        is_stale = True

        def clean(self) -> Any:
            cleaned = super().clean()
            who = latest.history_user or "Somebody"
            self.add_error(
                None,
                f"{who} changed this at {latest.history_date:%H:%M} UTC, while it was open here. Nothing is saved yet: "
                "look at it in another tab, then save again to write what stands below over it.",
            )
            return cleaned

    return StaleForm
