"""Errors of the customers app. Each leaf has a stable code and a sentence that says what to do."""

from __future__ import annotations


class CustomersError(Exception):
    """Base of everything this app refuses. `code` is stable; the text is for people."""

    code = "customers_error"
    field: str | None = None

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if field is not None:
            self.field = field


class UnknownCustomer(CustomersError):
    code = "unknown_customer"
    field = "customer"


class InvalidEmail(CustomersError):
    code = "invalid_email"
    field = "email"


class PortalAccessExists(CustomersError):
    code = "portal_access_exists"
    field = "email"


class AlreadyExists(CustomersError):
    code = "already_exists"
    field = "code"


class KeyTaken(CustomersError):
    """An Idempotency-Key stands for another request."""

    code = "key_taken"


class CustomerFixed(CustomersError):
    """A customer with a plan keeps its time zone and currency."""

    code = "customer_fixed"


class FamilyRefused(CustomersError):
    """Somebody gave a customer a parent, children or a currency at the same moment, which does not go together."""

    code = "family_refused"
    field = "parent"
