"""Making PDF files from pages that are complete in themselves, and the logo that stands on them."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from billing.errors import BillingError
from billing.models import Logo

LOGO_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}


class DocumentsUnavailable(BillingError):
    """This machine cannot make PDF files."""

    code = "documents_unavailable"


def pdf_of(html: str) -> bytes:
    """Give a page as a PDF file; the same page gives the same file. It fetches nothing, whatever the page says.

    Raises DocumentsUnavailable when the system libraries of the PDF engine are missing.
    """
    weasyprint = _engine()
    identifier = hashlib.sha256(html.encode()).digest()[:16]
    # Names, addresses and descriptions come from outside; whatever they say, it reaches nothing.
    refuses_all_but_embedded = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
    page = weasyprint.HTML(string=html, base_url=None, url_fetcher=refuses_all_but_embedded)
    return bytes(page.write_pdf(pdf_identifier=identifier, pdf_tags=True))


def logo_of(issuer: Mapping[str, str]) -> str:
    """Give the logo of a document's issuer as embedded data: the one uploaded when the document was written.

    Where none was, the file named by ISSUER_LOGO; empty where there is none either.
    """
    if digest := issuer.get("logo"):
        return _uploaded(digest)
    return _embedded(settings.ISSUER_LOGO) if settings.ISSUER_LOGO else ""


@functools.lru_cache(maxsize=4)  # an uploaded logo never changes
def _uploaded(digest: str) -> str:
    content = Logo.objects.values_list("content", flat=True).get(pk=digest)
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


@functools.lru_cache(maxsize=4)
def _embedded(path: str) -> str:
    content = base64.b64encode(Path(path).read_bytes()).decode()
    return f"data:{LOGO_TYPES[Path(path).suffix.lower()]};base64,{content}"


def plain_name(text: str) -> str:
    """Give only what may stand in any file name."""
    return "".join(letter for letter in text if letter.isalnum() or letter in "._-")


def _engine() -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where libraries are missing it prints an essay
            import weasyprint
            import weasyprint.urls
    except OSError as missing:
        raise DocumentsUnavailable(
            "PDF files need system libraries that this server lacks: " + str(missing).splitlines()[0] + ". "
            "On Debian or Ubuntu: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0."
        ) from missing
    return weasyprint
