"""The seller's logo: pictures only, written anew, kept in the database, and frozen with each document."""

from __future__ import annotations

import io
import zlib
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from PIL import Image, ImageFile, PngImagePlugin

from billing.correcting import issue_credit_note
from billing.documents import credit_note_html, invoice_html, invoice_pdf
from billing.logos import FITS, UnusableLogo, put_logo, read_logo, remove_logo
from billing.models import Invoice, Logo, Seller
from billing.one_off import Item, create_one_off
from customers.portal_access import create_portal_access, portal_link
from tests.factories import NOW, make_customer
from tests.staff import sign_in

pytestmark = pytest.mark.django_db
WHO: dict[str, Any] = {"by": "anna", "now": NOW}
SHOW, UPLOAD = "admin:billing_seller_changelist", "admin:billing_seller_logo"


def picture(
    colour: str = "#0f766e", *, size: tuple[int, int] = (120, 40), kind: str = "PNG", mode: str = "RGB"
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def one_off(code: str = "acme") -> Invoice:
    customer = make_customer(code)
    return create_one_off(customer, [Item("Set-up", Decimal(1), Decimal(10))], now=NOW)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_is_written_anew_as_png(kind: str) -> None:
    read = read_logo(picture(kind=kind))
    assert (read.width, read.height) == (120, 40)
    assert Image.open(io.BytesIO(read.content)).format == "PNG"


def test_a_large_picture_is_made_smaller_and_a_transparent_one_stays_so() -> None:
    read = read_logo(picture("#0f766e80", size=(3000, 1000), mode="RGBA"))
    assert (read.width, read.height) == (FITS[0], 400)
    assert Image.open(io.BytesIO(read.content)).mode == "RGBA"


def test_texts_and_whatever_hangs_on_a_picture_are_left_behind() -> None:
    file = io.BytesIO()
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "<script>alert(1)</script>")
    Image.new("RGB", (10, 10)).save(file, "PNG", pnginfo=notes)
    read = read_logo(file.getvalue() + b"<script>alert(2)</script>")
    assert b"script" not in read.content


def bomb() -> bytes:
    """A small file whose head says 30,000 by 30,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        )

    head = (30_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


REFUSED = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<html><body>hello</body></html>",
    "empty": b"",
    "gif": picture(kind="GIF", mode="P", colour="black"),
    "cut": picture()[:60],
    "cut JPEG": picture(size=(400, 400), kind="JPEG")[:700],
    "bomb": bomb(),
    "large": b"\x89PNG\r\n\x1a\n" + b"\0" * (2 * 1024 * 1024),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_whatever_is_no_picture_is_refused_in_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as the library of PDFs leaves it
    with pytest.raises(UnusableLogo) as refused:
        put_logo(REFUSED[name], **WHO)
    assert "logo" in refused.value.fields
    assert not Logo.objects.exists()
    assert not Seller.objects.exists()


def test_a_document_keeps_the_logo_it_was_written_with() -> None:
    before = invoice_html(one_off("before"))
    assert "<img" not in before
    put_logo(picture("red"), **WHO)
    invoice = one_off()
    note = issue_credit_note(invoice, reason="Goodwill", amount=Decimal(1), **WHO)
    red, red_note = invoice_html(Invoice.objects.get(pk=invoice.pk)), credit_note_html(note)
    assert 'src="data:image/png;base64,' in red
    assert b"/Subtype /Image" in invoice_pdf(invoice) or b"/Subtype/Image" in invoice_pdf(invoice)
    put_logo(picture("blue"), **WHO)
    assert invoice_html(Invoice.objects.get(pk=invoice.pk)) == red
    remove_logo()
    assert credit_note_html(note) == red_note
    assert "<img" not in invoice_html(one_off("later"))
    assert "<img" not in invoice_html(Invoice.objects.get(customer__code="before"))


def test_a_logo_uploaded_again_is_the_same_one_and_stays() -> None:
    assert put_logo(picture(), **WHO)
    assert not put_logo(picture(), **WHO)
    assert Logo.objects.count() == 1
    for change in (lambda: Logo.objects.update(width=1), Logo.objects.all().delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_a_billing_admin_uploads_and_removes_the_logo() -> None:
    anna = sign_in("Billing admin")
    shown = anna.get(reverse(SHOW)).content.decode()
    assert "No logo yet" in shown
    answer = anna.post(
        reverse(UPLOAD), {"logo": SimpleUploadedFile("logo.png", picture(), "image/png")}, follow=True
    )
    shown = answer.content.decode()
    assert "data:image/png;base64," in shown
    assert "Uploaded a logo." in shown
    anna.post(reverse(UPLOAD), {"remove": "1"})
    assert Seller.objects.get().logo is None
    assert Logo.objects.count() == 1


def test_a_refused_upload_says_what_to_do_at_its_field() -> None:
    anna = sign_in("Billing admin")
    answer = anna.post(reverse(UPLOAD), {"logo": SimpleUploadedFile("logo.svg", REFUSED["svg"], "image/png")})
    assert "Save the logo as PNG." in answer.content.decode()
    assert "This field is required." in anna.post(reverse(UPLOAD)).content.decode()
    assert not Logo.objects.exists()


@pytest.mark.parametrize("group", ["Billing clerk", "Read only"])
def test_others_see_the_seller_and_change_nothing(group: str) -> None:
    client = sign_in(group)
    page = client.get(reverse(SHOW))
    assert page.status_code == 200
    assert "Upload a logo" not in page.content.decode()
    sent = {"logo": SimpleUploadedFile("logo.png", picture(), "image/png")}
    assert client.post(reverse(UPLOAD), sent).status_code == 403
    assert not Logo.objects.exists()


def test_the_portal_shows_the_logo_of_now_and_serves_no_other() -> None:
    put_logo(picture("red"), **WHO)
    old = Logo.objects.get().digest
    put_logo(picture("blue"), **WHO)
    now = Seller.objects.get().logo
    assert now is not None
    client = Client()
    assert f"/portal/logo/{now.digest}.png" in client.get("/portal/sign-in/").content.decode()
    answer = client.get(f"/portal/logo/{now.digest}.png")
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content == bytes(now.content)
    assert client.get(f"/portal/logo/{old}.png").status_code == 404
    access = create_portal_access(make_customer(), "anna@acme.example")
    client.post(portal_link(access, ""))
    home = client.get("/portal/").content.decode()
    assert f"/portal/logo/{now.digest}.png" in home
    remove_logo()
    assert "/portal/logo/" not in client.get("/portal/").content.decode()
