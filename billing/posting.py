"""One HTTP request to an endpoint: to an address that was checked, within a time, reading a bounded answer.

No redirect is followed and no proxy asked. The name is resolved once, and the connection goes to the very address that
was checked, so a name that changes what it stands for in between gains nothing.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from billing.errors import AddressRefused
from billing.webhook_addresses import Target, addresses_of, read_url

CONNECT_SECONDS = 5.0
MAX_ANSWER = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status with the beginning of the body, or the reason why nothing did."""

    status: int | None
    text: str
    error: str
    milliseconds: int

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Answer:
    """Send a body and give what came of it, within about so many seconds after the name was resolved. Never raises
    for what the other side does.
    """
    started = time.monotonic()
    try:
        target = read_url(url)
        addresses = addresses_of(target)
    except AddressRefused as refused:
        return _nothing(refused.message, started)
    except (OSError, UnicodeError) as unknown:
        return _nothing(f"The name is not known: {unknown}", started)
    sending = time.monotonic()
    try:
        connected = _connect(target, addresses, seconds=seconds)
    except OSError as refused:
        return _nothing(f"No connection: {_words(refused)}", started)
    # A timer ends an exchange that trickles: the time-out of a socket starts again with every byte.
    late = threading.Event()
    timer = threading.Timer(max(seconds - (time.monotonic() - sending), 0.1), _hang_up, (connected, late))
    timer.daemon = True
    timer.start()
    try:
        if isinstance(connected, ssl.SSLSocket):
            connected.do_handshake()
        return _exchange(target, connected, body, headers, started)
    except (OSError, http.client.HTTPException, ValueError) as broken:
        if late.is_set() or isinstance(broken, TimeoutError):  # whichever clock was first
            return _nothing(f"No answer within {seconds:g} seconds.", started)
        return _nothing(f"The exchange broke: {_words(broken)}", started)
    finally:
        timer.cancel()
        connected.close()


def _exchange(
    target: Target, connected: socket.socket, body: bytes, headers: Mapping[str, str], started: float
) -> Answer:
    kind = http.client.HTTPSConnection if target.is_secure else http.client.HTTPConnection
    connection = kind(target.host, target.port)
    connection.sock = connected
    try:
        connection.request("POST", target.path, body=body, headers={**headers, "Connection": "close"})
        response = connection.getresponse()
        text = (
            response.read(MAX_ANSWER).decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
        )
    finally:
        connection.close()
    return Answer(response.status, text, "", _since(started))


def _connect(target: Target, addresses: list[str], *, seconds: float) -> socket.socket:
    problem: OSError | None = None
    for address in addresses[:4]:
        try:
            connected = socket.create_connection((address, target.port), timeout=CONNECT_SECONDS)
        except OSError as refused:
            problem = refused
            continue
        connected.settimeout(seconds)
        if not target.is_secure:
            return connected
        return ssl.create_default_context().wrap_socket(
            connected, server_hostname=target.host, do_handshake_on_connect=False
        )
    assert problem is not None  # there is at least one address
    raise problem


def _hang_up(connected: socket.socket, late: threading.Event) -> None:
    late.set()
    try:
        # The plain one: that of a TLS socket would take its state from the thread that still reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


def _nothing(error: str, started: float) -> Answer:
    return Answer(None, "", error[:400], _since(started))


def _words(problem: Exception) -> str:
    return str(problem) or type(problem).__name__


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
