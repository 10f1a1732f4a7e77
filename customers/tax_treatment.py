"""What must be known of a customer for the way it is taxed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customers.models import TaxTreatment
from customers.tax_ids import is_known_form, tax_id_problem


def tax_problems(fields: Mapping[str, Any]) -> dict[str, str]:
    """Say, by field, what is wrong with a customer's country, tax ID and treatment together; empty when all is well."""
    country, tax_id = fields.get("country") or "", fields.get("tax_id") or ""
    treatment = fields.get("tax_treatment") or TaxTreatment.STANDARD
    problems = {}
    if country and tax_id and (problem := tax_id_problem(country, tax_id)):
        problems["tax_id"] = problem
    if treatment == TaxTreatment.EXEMPT and not (fields.get("tax_exempt_reason") or "").strip():
        problems["tax_exempt_reason"] = "Say why the customer is exempt; invoices print it."
    if treatment == TaxTreatment.REVERSE_CHARGE and "tax_id" not in problems:
        if not country:
            problems["country"] = "Reverse charge needs the customer's country."
        elif not tax_id:
            problems["tax_id"] = "Reverse charge needs the customer's tax ID."
        elif not is_known_form(country):
            problems["tax_treatment"] = (
                "The form of tax IDs of this country is not known here. Use exempt with a reason."
            )
    return problems
