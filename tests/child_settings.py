"""Settings of a process that a test starts: the test's own database, named in the environment."""

import json
import os

from config.settings import *  # noqa: F403

DATABASES = {"default": json.loads(os.environ["TEST_DATABASE"])}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
