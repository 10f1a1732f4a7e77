"""Settings, all from the environment; docs/configuration.md lists every variable.

Without any variable this is a complete local installation on the embedded PostgreSQL. See config.environment
for what makes it a production installation.
"""

from __future__ import annotations

from typing import Any

import environ

from billing.rating.money import CURRENCIES
from config import environment
from config.admin_menu import UNFOLD  # noqa: F401  a setting
from config.api_settings import REST_FRAMEWORK, SPECTACULAR_SETTINGS  # noqa: F401  settings
from config.environment import (
    BASE_DIR,
    chosen_words,
    request_rate,
    time_of_day,
    whole_number,
    whole_number_or_none,
    yes_or_no,
)

environment.read_file()
env = environ.Env()

# ---- where it runs -------------------------------------------------------------------------------

ALLOWED_HOSTS = environment.host_names(env.str("ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]"))
LOCAL = environment.is_local(ALLOWED_HOSTS)
PORT = whole_number("PORT", default=8000, least=1, most=65_535)
PUBLIC_URL = environment.public_url(
    env.str("PUBLIC_URL", default="")
    or (f"http://127.0.0.1:{PORT}" if LOCAL else f"https://{ALLOWED_HOSTS[0].lstrip('.')}")
)
DATA_DIR = environment.data_dir(env.str("DATA_DIR", default=".data"))
SECRET_KEY = environment.secret_key(env.str("SECRET_KEY", default=""), local=LOCAL, folder=DATA_DIR)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = environment.refuse_debug(yes_or_no("DEBUG", default=False), local=LOCAL)

# ---- billing rules -------------------------------------------------------------------------------

EVENT_MAX_AGE_DAYS = whole_number("EVENT_MAX_AGE_DAYS", default=400, least=1)
EVENT_MAX_AHEAD_HOURS = whole_number("EVENT_MAX_AHEAD_HOURS", default=1)
EVENT_RETENTION_DAYS = whole_number("EVENT_RETENTION_DAYS", default=730)
EVENT_BATCH_MAX = 10_000
EVENT_BODY_MAX_BYTES = 10 * 1024 * 1024
GRACE_DAYS = whole_number("GRACE_DAYS", default=2)
CLOSE_DAILY_AT = time_of_day("CLOSE_DAILY_AT")
# What holds an invoice until a person approves it, and when a total jumped (billing.findings).
CLOSE_HOLDS = chosen_words(
    "CLOSE_HOLDS",
    known=("jump", "portal", "lost_price", "missing_price", "stopped", "vanished", "new", "zero"),
    default=("jump", "portal", "lost_price"),
)
CLOSE_JUMP_FACTOR = whole_number("CLOSE_JUMP_FACTOR", default=10, least=2)
CLOSE_JUMP_AMOUNT = whole_number("CLOSE_JUMP_AMOUNT", default=5_000)
# Late usage from this amount on waits for a decision of staff; None: all of it goes on the next invoice.
ADJUSTMENT_REVIEW_FROM = whole_number_or_none("ADJUSTMENT_REVIEW_FROM")
PAYMENT_DAYS = whole_number("PAYMENT_DAYS", default=14)
# What customers may be billed in: billing knows it, and customers cannot ask billing.
BILLABLE_CURRENCIES = CURRENCIES
# Who bills, as printed on invoices and frozen on each.
ISSUER_UNNAMED = "Your company"
ISSUER = {
    "name": env.str("ISSUER_NAME", default=ISSUER_UNNAMED),
    "address": env.str("ISSUER_ADDRESS", default="", multiline=True),
    "email": env.str("ISSUER_EMAIL", default=""),
    "tax_id": env.str("ISSUER_TAX_ID", default=""),
    "payment": env.str("ISSUER_PAYMENT", default="", multiline=True),
    "terms": env.str("ISSUER_TERMS", default="", multiline=True),
}
# Whether issued invoices and credit notes are mailed by themselves.
SEND_INVOICES = yes_or_no("SEND_INVOICES", default=False)
# Whether webhooks may go to private addresses and by plain http: for development only.
WEBHOOK_ALLOW_PRIVATE = environment.refuse_private_webhooks(
    yes_or_no("WEBHOOK_ALLOW_PRIVATE", default=False), local=LOCAL
)
ISSUER_LOGO = environment.picture("ISSUER_LOGO", env.str("ISSUER_LOGO", default=""))

# ---- parts ---------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "config",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.inlines",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "simple_history",
    "django_filters",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
    "customers",
    "metering",
    "billing",
]

MIDDLEWARE = [
    "config.middleware.HttpsApiMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.StorableAddressMiddleware",
    "config.middleware.OptionalSlashMiddleware",
    "billing.portal.cookies.PortalCookiesMiddleware",
    "config.page_middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "config.page_middleware.AuthenticationMiddleware",
    "config.page_middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# ---- database ------------------------------------------------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", default="")
DATABASE_POOL = whole_number("DATABASE_POOL", default=0)
DATABASE_KEEP_SECONDS = whole_number("DATABASE_KEEP_SECONDS", default=0)
DATABASES: dict[str, Any] = {
    "default": environment.postgresql(DATABASE_URL)
    if DATABASE_URL
    else {"ENGINE": "config.embedded", "NAME": "reckoner", "USER": "reckoner"}
}
# Statements that ask for it stay prepared on their connection; `?prepare_threshold=None` in DATABASE_URL for a pooler
# that cannot keep them.
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("prepare_threshold", 5)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # a restarted server costs no request
if not DATABASE_POOL:
    DATABASES["default"]["CONN_MAX_AGE"] = DATABASE_KEEP_SECONDS
else:
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL,
        "timeout": 10,
    }

# ---- language and time ---------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["config.formats"]

# ---- people --------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "sesame.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SIMPLE_HISTORY_REVERT_DISABLED = True  # the past is shown, never put back past the rules
SESAME_MAX_AGE = whole_number("MAGIC_LINK_MINUTES", default=30, least=1) * 60
SESAME_ONE_TIME = True
SESAME_TOKENS = ["sesame.tokens_v2"]  # the older form is weaker and never made here
PORTAL_SESSION_HOURS = whole_number("PORTAL_SESSION_HOURS", default=12, least=1)

# ---- security ------------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not LOCAL
SESSION_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = yes_or_no("SECURE_SSL_REDIRECT", default=not LOCAL)
SECURE_REDIRECT_EXEMPT = [r"^health/?$"]
SECURE_HSTS_SECONDS = 0 if LOCAL else whole_number("SECURE_HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not LOCAL
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if yes_or_no("TRUST_FORWARDED_PROTO", default=False) else None
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[] if LOCAL else [PUBLIC_URL])
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = EVENT_BODY_MAX_BYTES
# What these four would say of a local installation, config.checks says in one sentence.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008", "security.W010", "security.W016"] if LOCAL else []

# ---- static files --------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = None if LOCAL else BASE_DIR / "staticfiles"  # a local server reads the packages themselves
STATICFILES_DIRS: list[str] = []
WHITENOISE_USE_FINDERS = LOCAL
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if LOCAL
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# ---- mail and log --------------------------------------------------------------------------------

EMAIL_CONFIG = environment.mail_server(
    "EMAIL_URL", env.str("EMAIL_URL", default="") or ("consolemail://" if LOCAL else "smtp://localhost:25")
)
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 60
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="billing@localhost")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {"without_links": {"()": "config.logs.WithoutLinks"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["without_links"]}
    },
    "root": {"handlers": ["console"], "level": environment.log_level("LOG_LEVEL")},
    # Everything reaches the root handler; Django's own handlers would print or mail it a second time.
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "fontTools": {"level": "WARNING"},  # tells each step
        "weasyprint.progress": {"level": "WARNING"},
        "procrastinate.blueprints": {"level": "WARNING"},  # says at every start that it read its own tasks
        "procrastinate.periodic": {"level": "WARNING"},  # and that it registered the periodic ones
    },
}

# ---- HTTP interface ------------------------------------------------------------------------------

# Requests of one key that each web process takes, such as 6000/min; empty: no limit.
API_RATE = request_rate("API_RATE")
