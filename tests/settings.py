"""Settings of the test run: a local installation whatever the environment says, nothing slow or remote."""

import os

for name in (
    "ALLOWED_HOSTS",
    "DATABASE_POOL",
    "DEBUG",
    "EMAIL_URL",
    "PUBLIC_URL",
    "SECRET_KEY",
    "WEBHOOK_ALLOW_PRIVATE",
):
    os.environ.pop(name, None)
os.environ["ENV_FILE"] = ""  # nor what a file says

from config.settings import *  # noqa: E402, F403  the environment is cleared first

EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # tests sign in often and guard nothing
WHITENOISE_AUTOREFRESH = True  # looks a file up when asked, instead of listing all for every test client
WEBHOOK_ALLOW_PRIVATE = True  # receivers of tests listen on this machine; tests of addresses say otherwise
