"""Every field of a rate, as the OpenAPI description tells it. docs/rates.md says what each does."""

from __future__ import annotations

from typing import Any

from billing.models import TaxCategory
from billing.rating.models import PRICE_FIELDS
from billing.rating.terms import TIMINGS

Schema = dict[str, Any]

DECIMAL: Schema = {"anyOf": [{"type": "string", "format": "decimal"}, {"type": "number"}]}
OPTIONAL: Schema = DECIMAL | {"nullable": True}


def _text(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": 200, "description": description}


def _object(properties: Schema, *required: str, description: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
        "description": description,
    }


TIER = _object(
    {
        "up_to": OPTIONAL | {"description": "Inclusive; null: open, the last tier."},
        "unit_amount": OPTIONAL,
        "percent": OPTIONAL | {"description": "Of graduated_percentage."},
        "flat_amount": OPTIONAL | {"description": "0 when left out."},
    },
    description="It starts where the tier before it ends.",
)
PRICE: Schema = {
    "unit_amount": OPTIONAL | {"description": "Of per_unit: the price of one unit, or of `per` units."},
    "tiers": {
        "type": "array",
        "items": TIER,
        "minItems": 1,
        "description": "Of graduated, volume, stairstep and graduated_percentage.",
    },
    "package_size": OPTIONAL | {"description": "Of package: so many units."},
    "package_amount": OPTIONAL | {"description": "Of package: the price of each started one."},
    "percent": OPTIONAL | {"description": "Of percentage."},
    "fixed_amount": OPTIONAL | {"description": "Of percentage: for each paying event."},
    "free_events": {"type": "integer", "minimum": 0, "nullable": True, "description": "Of percentage."},
    "free_amount": OPTIONAL | {"description": "Of percentage."},
    "per_event_minimum": OPTIONAL | {"description": "Of percentage."},
    "per_event_maximum": OPTIONAL | {"description": "Of percentage."},
}
LIMITS: Schema = {
    "included_units": OPTIONAL | {"description": "They come off first."},
    "minimum_amount": OPTIONAL,
    "maximum_amount": OPTIONAL,
}
ROW = _object(
    {
        "match": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Values by dimension; {} matches everything.",
        },
        **PRICE,
        **LIMITS,
    },
    "match",
    description="A price for usage with some dimension values.",
)
USAGE_TERMS: Schema = {
    "meter": _text("The code of a meter."),
    "model": {"type": "string", "enum": list(PRICE_FIELDS)},
    **PRICE,
    **LIMITS,
    "per": OPTIONAL | {"description": "Every unit_amount is quoted for so many units: 1000000."},
    "dimensions": {"type": "array", "items": {"type": "string"}, "description": "Those the rows match on."},
    "rows": {"type": "array", "items": ROW, "minItems": 1},
    "tiers_apply": {"type": "string", "enum": ["per_group", "pooled"], "description": "Of a rate with rows."},
    "unmatched": {
        "type": "string",
        "enum": ["free", "listed", None],
        "nullable": True,
        "description": "What usage is that no row matches.",
    },
}
FEE_TERMS: Schema = {
    "amount": DECIMAL | {"description": "Of subscription and one_time."},
    "timing": {"type": "string", "enum": list(TIMINGS), "description": "Of subscription."},
    "prorated": {"type": "boolean", "description": "Of subscription: by days for a part of a period."},
    "per_seat": {"type": "boolean", "description": "Of subscription: the amount is for each seat."},
}
RATE_SCHEMA: Schema = _object(
    {
        "kind": {"type": "string", "enum": ["usage", "subscription", "one_time"]},
        "label": _text("On the invoice. Needed of subscription and one_time."),
        "tax_category": {
            "type": "string",
            "enum": TaxCategory.values,
            "description": "The plan's when left out.",
        },
        **USAGE_TERMS,
        **FEE_TERMS,
    },
    "kind",
    description="A price of a plan: of usage, a fee for each period, or a fee once.",
) | {"example": {"kind": "usage", "meter": "tickets_resolved", "model": "per_unit", "unit_amount": "2.00"}}
OVERRIDES_SCHEMA: Schema = {
    "type": "array",
    "items": _object(
        {
            "rate": {"type": "integer", "minimum": 0, "description": "The place of the rate in the plan."},
            "terms": RATE_SCHEMA,
        },
        "rate",
        "terms",
        description="The whole rate that this customer pays instead.",
    ),
}
COST_RATE_SCHEMA: Schema = _object(
    {
        "kind": {"type": "string", "enum": ["usage", "fixed"], "description": "usage when left out."},
        "currency": {"type": "string", "description": "USD when left out."},
        "label": {"type": "string", "maxLength": 200},
        "effective_from": {"type": "string", "format": "date", "nullable": True},
        "effective_until": {
            "type": "string",
            "format": "date",
            "nullable": True,
            "description": "The first day it no longer holds.",
        },
        **USAGE_TERMS,
        "workload": _text("Of a fixed cost: what costs it."),
        "amount": DECIMAL | {"description": "Of a fixed cost: for one month."},
    },
    description="What a unit of a meter costs you, or what a workload costs each month.",
)
