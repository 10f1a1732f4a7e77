"""How the HTTP interface reads, answers and describes itself: settings of REST framework and of the OpenAPI schema."""

from __future__ import annotations

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["customers.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["customers.api.parsing.ExactJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "customers.api.negotiation.LenientNegotiation",
    "DEFAULT_THROTTLE_CLASSES": ["customers.api.throttling.KeyRateThrottle"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_FILTER_BACKENDS": ["customers.api.filtering.NamedFilters"],
    "DEFAULT_SCHEMA_CLASS": "customers.api.schema.RouteSchema",
    "EXCEPTION_HANDLER": "config.errors.handle_api_error",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "URL_FORMAT_OVERRIDE": None,  # a parameter `format` is a route's own or unknown
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Reckoner",
    "DESCRIPTION": "Usage- and outcome-based billing: send events, read usage, set up prices, read invoices.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # Meters and plans live alike: draft, active, deprecated.
    "ENUM_NAME_OVERRIDES": {
        "LifeEnum": "metering.models.MeterStatus",
        "CorrectedEnum": "metering.api.correction_shapes.CORRECTED",
        "EventStateEnum": "metering.api.correction_shapes.STATES",
        "ResultStatusEnum": "metering.api.shapes.RESULT_STATUSES",
        "InvoiceStatusEnum": "billing.api.shapes.INVOICE_STATUSES",
        "MeterTypeEnum": "metering.meter_types.MeterType",
        "LineKindEnum": "billing.models.LineKind",
        "CouponKindEnum": "billing.models.CouponType",
        "CreditKindEnum": "billing.models.CreditKind",
        "GrantIntervalEnum": "billing.models.GrantInterval",
        "CreditGrantableEnum": "billing.api.credits.GRANTABLE",
        "CreditEntryKindEnum": "billing.models.CreditEntryKind",
        "TaxCategoryEnum": "billing.models.TaxCategory",
        "TaxableCategoryEnum": "billing.api.tax_rates.TAXABLE",
        "InvoiceKindEnum": "billing.models.InvoiceKind",
        "LimitKindEnum": "billing.models.LimitKind",
        "PaymentKindEnum": "billing.models.PaymentKind",
        "InvoiceStateEnum": "billing.lifecycle.State",
        "WebhookTypeEnum": "billing.webhook_types.WebhookType",
        "WebhookStateEnum": "billing.models.WebhookState",
        "BillingPeriodEnum": "billing.models.BillingPeriod",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "billing.api.webhook_schema.add_webhooks",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
