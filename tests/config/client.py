"""A process that uses the embedded server: attaches, says so, and answers one line of SQL at a time."""

import sys
from pathlib import Path

import psycopg

from config.embedded import attach

data_dir = Path(sys.argv[1])
print("attached", flush=True)
for line in sys.stdin:
    socket_dir = str(attach(data_dir))
    with psycopg.connect(host=socket_dir, port=5432, user="reckoner", dbname="reckoner") as connection:
        cursor = connection.execute(line)
        answer = cursor.fetchall() if cursor.description else "done"
    print(answer, flush=True)  # after the commit, like any answer of this product
