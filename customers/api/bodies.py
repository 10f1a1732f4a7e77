"""Reading the body of a request, plain or packed with gzip, never beyond its size limit."""

from __future__ import annotations

import zlib
from typing import Any

from django.conf import settings
from django.http.request import UnreadablePostError
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.request import Request

GZIP = 31  # zlib's number for the gzip format
CUT_OFF = "The connection ended before the whole body was sent. Send it again."
CHUNKED = "The body came in chunks, which are not read here. Send it with a Content-Length."


class TooLarge(APIException):
    """The body is larger than the server reads, or holds more than it takes at once."""

    status_code = 413
    default_code = "too_large"


def refuse_chunks(request: Request) -> None:
    """Refuse a body without a length: the framework takes it for none, and all that it says would be left out."""
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise ParseError(CHUNKED)


def read_body(request: Request) -> bytes:
    """Give the body, unpacked. Raises ParseError, TooLarge or, for other packings than gzip, a 415."""
    limit = settings.EVENT_BODY_MAX_BYTES
    packing = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if packing not in {"", "identity", "gzip"}:
        raise UnsupportedMediaType(
            packing, f"Content-Encoding {packing!a} is not read here. Use gzip or none."
        )
    body = _read(request, limit)
    return _unpack(body, limit) if packing == "gzip" and body else body


def _read(request: Request, limit: int) -> bytes:
    stream: Any = request.stream
    if stream is None:
        return b""
    try:
        body: bytes = stream.read(limit + 1)
    except UnreadablePostError as broken:
        raise ParseError(CUT_OFF) from broken
    said = int(request.META.get("CONTENT_LENGTH") or request.META["HTTP_CONTENT_LENGTH"])  # else no stream
    if max(len(body), said) > limit:
        raise TooLarge(_sentence("The body", limit))
    if len(body) < said:  # what came may look whole, and a number in it have lost its last digits
        raise ParseError(CUT_OFF)
    return body


def _unpack(packed: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(GZIP)
    try:
        body = unpacker.decompress(packed, limit + 1)
    except zlib.error as broken:
        raise ParseError("The body is not gzip, although Content-Encoding says so.") from broken
    if len(body) > limit:
        raise TooLarge(_sentence("The unpacked body", limit))
    if not unpacker.eof:
        raise ParseError("The gzip body is cut off. Send all of it.")
    if unpacker.unused_data:
        raise ParseError("Something follows the end of the gzip body. Send one gzip stream only.")
    return body


def _sentence(what: str, limit: int) -> str:
    return f"{what} is larger than {limit // (1024 * 1024)} MiB. Send it in smaller parts."
