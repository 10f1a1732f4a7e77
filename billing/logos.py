"""The seller's logo: checked to be a picture, written anew as PNG, and kept in the database.

What was uploaded is never stored or shown: only the pixels that were read from it are.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from PIL import Image, ImageOps, UnidentifiedImageError

from billing.errors import BillingError
from billing.models import Logo
from billing.parties import seller_for_update

MOST_UPLOADED = 2 * 1024 * 1024
MOST_PIXELS = 16_000_000  # read from the head of the file, before anything is unpacked
FITS = (1200, 600)  # sharp at the 60 mm by 18 mm that documents give it


class UnusableLogo(BillingError):
    """What was uploaded cannot be a logo."""

    code = "unusable_logo"

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"logo": message})


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file without anything but pixels."""

    content: bytes
    width: int
    height: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read_logo(content: bytes) -> Picture:
    """Read a PNG or JPEG file and write it anew, made smaller where it is larger than documents need.

    Raises UnusableLogo for anything else: SVG files, which can hold scripts and links, and files that pretend.
    """
    if len(content) > MOST_UPLOADED:
        raise UnusableLogo("The file is larger than 2 MB. Save the logo smaller.")
    if _is_cut(content):
        raise UnusableLogo("The file is cut off before its end. Upload it again.")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as uploaded:
            if uploaded.width * uploaded.height > MOST_PIXELS:
                raise UnusableLogo(
                    f"The picture has {uploaded.width:,} by {uploaded.height:,} pixels. "
                    f"{FITS[0]:,} by {FITS[1]:,} are enough: save it smaller."
                )
            upright = ImageOps.exif_transpose(uploaded)
            has_holes = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            pixels = upright.convert("RGBA" if has_holes else "RGB")
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as refused:
        raise UnusableLogo(
            "This is not a PNG or JPEG picture that can be read. Save the logo as PNG."
        ) from refused
    pixels.thumbnail(FITS)
    clean = Image.frombytes(pixels.mode, pixels.size, pixels.tobytes())  # leaves texts and profiles behind
    written = io.BytesIO()
    clean.save(written, format="PNG", optimize=True)
    if written.tell() > Logo.MOST_BYTES:
        raise UnusableLogo(
            "The picture has too much detail for a logo. Save it smaller or with fewer colours."
        )
    return Picture(written.getvalue(), clean.width, clean.height)


def _is_cut(content: bytes) -> bool:
    """Say whether a picture has no end. Pillow fills what is missing with grey once the library of PDFs is loaded."""
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content
    return content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")


@transaction.atomic
def put_logo(content: bytes, *, by: str, now: datetime) -> bool:
    """Let new documents show a logo; give whether it is another one than before. Raises UnusableLogo.

    Documents that exist keep the logo they were written with, or none.
    """
    picture = read_logo(content)
    logo, _ = Logo.objects.get_or_create(
        digest=picture.digest,
        defaults={
            "content": picture.content,
            "width": picture.width,
            "height": picture.height,
            "uploaded_by": by,
            "uploaded_at": now,
        },
    )
    return _set(logo)


@transaction.atomic
def remove_logo() -> bool:
    """Let new documents show no uploaded logo; give whether there was one. Documents that exist keep theirs."""
    return _set(None)


def _set(logo: Logo | None) -> bool:
    seller = seller_for_update()
    if seller.logo == logo:
        return False
    seller.logo = logo
    seller.save()
    return True
