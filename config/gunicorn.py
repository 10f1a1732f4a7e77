"""How `gunicorn -c config/gunicorn.py config.wsgi` serves: threads, as requests wait for the database."""

import gc
import os
import sys

from config.environment import EnvironmentRefused, read_file, whole_number

# Each thread keeps a connection of its own. A pool would hold as many, lend them out and take them back for every
# request, which took a quarter of the time of a small one.
try:
    read_file()
    os.environ.setdefault("DATABASE_POOL", "0")
    os.environ.setdefault("DATABASE_KEEP_SECONDS", "600")
    from config import settings  # what it refuses stops the start here, in one sentence

    bind = f"{os.environ.get('WEB_BIND') or '127.0.0.1'}:{settings.PORT}"
    workers = whole_number("WEB_WORKERS", default=2, least=1)
    threads = whole_number("WEB_THREADS", default=8, least=1)
except EnvironmentRefused as refused:
    sys.exit(f"Reckoner cannot start: {refused}")
worker_class = "gthread"
timeout = 60
graceful_timeout = 30
keepalive = 5
max_requests = 20_000
max_requests_jitter = 2_000
control_socket_disable = True  # one for all installations of a person, and nobody here speaks to it
logger_class = "config.access_log.AccessLogger"
accesslog = "-" if os.environ.get("ACCESS_LOG") else None


def post_worker_init(worker: object) -> None:
    """Leave what was loaded at the start out of every later search for garbage, and search less often.

    A batch of events makes thousands of objects that end with their request and never refer to themselves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
