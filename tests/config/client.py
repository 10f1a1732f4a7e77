"""A process that uses the embedded server: attaches, says so, and answers one line of SQL at a time."""

import sys
from pathlib import Path

import psycopg

from config.embedded import attach

data_dir = Path(sys.argv[1])
print("attached", flush=True)
for line in sys.stdin:
    with psycopg.connect(
        host=str(attach(data_dir)), port=5432, user="reckoner", dbname="reckoner"
    ) as connection:
        cursor = connection.execute(line)
        print(cursor.fetchall() if cursor.description else "done", flush=True)
