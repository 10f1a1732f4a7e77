"""What a key may do."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from customers.api.authentication import KeyHolder
from customers.models import Scope


class HasScope(BasePermission):
    """Ask a view for `required_scopes`: of the scopes under "read" and "write", one is enough."""

    def has_permission(self, request: Request, view: Any) -> bool:
        holder = request.auth
        if not isinstance(holder, KeyHolder):
            return False
        wanted: dict[str, tuple[str, ...]] = view.required_scopes
        allowed = wanted["read" if request.method in SAFE_METHODS else "write"]
        if holder.scopes.isdisjoint(allowed):
            raise PermissionDenied(
                f"This key lacks the scope {' or '.join(allowed)}. Use a key that has it.",
                code="scope_missing",
            )
        return True


INGEST_SCOPES = {
    "read": (Scope.READ.value, Scope.MANAGE.value),
    "write": (Scope.INGEST.value,),
}
MANAGE_SCOPES = {
    "read": (Scope.READ.value, Scope.MANAGE.value),
    "write": (Scope.MANAGE.value,),
}
READ_SCOPES = {
    "read": (Scope.READ.value, Scope.MANAGE.value),
    "write": (Scope.READ.value, Scope.MANAGE.value),
}
