"""Documents in the customer's language and script: whole words, real glyphs, and words that stay once issued."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from billing.accounts import statement_of, statement_pdf
from billing.closing import close_period
from billing.collecting import record_payment
from billing.correcting import issue_credit_note
from billing.documents import credit_note_html, credit_note_pdf, invoice_html, invoice_pdf
from billing.formatting import in_locale
from billing.models import DocumentWords, Invoice, TaxSetup
from billing.months import Month
from billing.one_off import Item, create_one_off
from billing.subscribing import subscribe
from billing.wording import CATALOGUES, in_words, label, language_of, word, words_now
from customers.models import Customer
from tests.billing.money import tax
from tests.billing.test_documents import ISSUER, keep, needs_pdf_tools, words
from tests.factories import NOW, make_customer, make_meter, make_plan, send_tickets

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def has_font_for(language: str) -> bool:
    if shutil.which("fc-list") is None:
        return False
    found = subprocess.run(["fc-list", f":lang={language}", "family"], capture_output=True, text=True)
    return "Noto" in found.stdout


def needs_fonts(*languages: str) -> pytest.MarkDecorator:
    missing = [language for language in languages if not has_font_for(language)]
    return pytest.mark.skipif(
        bool(missing),
        reason=f"no Noto font for {', '.join(missing)} (apt-get install fonts-noto-core fonts-noto-cjk)",
    )


@pytest.fixture(autouse=True)
def _issuer(settings: Any) -> None:
    settings.ISSUER = ISSUER | {
        "payment": "Example Bank, IBAN DE02 1203 0000 0000 2020 51",
        "terms": "Net 14.",
    }


ADDRESSES: dict[str, dict[str, str]] = {
    "ar": {
        "name": "شركة الاختبار المحدودة للتجارة والخدمات",
        "address": "شارع الملك فهد 12\nالرياض 11564",
        "tax_id": "310122393500003",
        "locale": "ar_SA",
    },
    "ja": {
        "name": "株式会社サンプル商事",
        "address": "〒100-0005\n東京都千代田区丸の内一丁目9番1号\nグラントウキョウノースタワー",
        "tax_id": "T1234567890123",
        "locale": "ja_JP",
    },
    "he": {"name": "חברת הדגמה בע״מ", "address": "רחוב הרצל 12\nתל אביב 6578901", "locale": "he_IL"},
    "zh": {"name": "示例科技（上海）有限公司", "address": "上海市浦东新区世纪大道100号", "locale": "zh_CN"},
}
METERS = {
    "ar": "تذاكر الدعم المحلولة",
    "ja": "解決済みサポートチケット",
    "he": "פניות שנפתרו (tier 1)",
    "zh": "已解决的工单",
}
TIERS = {
    "kind": "usage",
    "meter": "tickets_resolved",
    "model": "graduated",
    "tiers": [{"up_to": "100", "unit_amount": "2.00"}, {"up_to": None, "unit_amount": "1.50"}],
}


def invoice_in(locale: str, *, meter: str = "Tickets Resolved", **fields: Any) -> Invoice:
    """120 tickets in two tiers and a fee of half a month: 100 x $2.00 + 20 x $1.50 + $10.00 = $240.00, and 19 % tax."""
    customer = make_customer(locale=locale, country="DE", **fields)
    make_meter(label=meter)
    fee = {"kind": "subscription", "label": "Platform", "amount": "31.00", "prorated": True}
    plan = make_plan(TIERS, fee)
    tax("DE", "19")
    subscribe(customer, plan=plan, start_on=date(2026, 10, 22))
    send_tickets(120, occurred_at="2026-10-23T10:00:00Z")
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    return Invoice.objects.get()


def test_every_language_has_every_word_with_the_same_placeholders() -> None:
    for language in CATALOGUES:
        catalogue, english = CATALOGUES[language], CATALOGUES["en"]
        for part in ("WORDS", "LABELS"):
            theirs, ours = getattr(catalogue, part), getattr(english, part)
            assert set(theirs) == set(ours), language
            for key, text in theirs.items():
                assert text.strip() == text != "", f"{language} {key}"
                assert names(text) == names(ours[key]), f"{language} {key}"


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_documents_hold_no_word_outside_the_catalogues() -> None:
    """Whatever a template of a document says between its tags is a sign, not a word."""
    for template in (ROOT / "templates/documents").glob("*.html"):
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", template.read_text(), flags=re.DOTALL)
        text = re.sub(r"<style>.*?</style>|<[^>]*>", "", text, flags=re.DOTALL)
        assert not re.search(r"[A-Za-z]", text), template.name
        for key in re.findall(r'\{% word "(\w+)"', template.read_text()):
            assert key in CATALOGUES["en"].WORDS, f"{template.name}: {key}"


def test_rating_and_fees_write_no_label_that_has_no_translation() -> None:
    """Every label that the application can write on a line is found again, with its figures."""
    for english, german in (
        ("Up to 1,000.5", "Bis 1.000,5"),
        ("Over 100 up to 1,000", "Über 100 bis 1.000"),
        ("All units at the price of: Over 100", "Alle Einheiten zum Preis der Stufe: Über 100"),
        ("Flat fee: up to 100", "Pauschale: Bis 100"),
        ("Window 2: Up to 5", "Fenster 2: Bis 5"),
        ("Packages of 100", "Pakete zu 100"),
        ("Included: first 50", "Enthalten: die ersten 50"),
        ("Platform (10 of 31 days)", "Platform (10 von 31 Tagen)"),
        ("Platform: 10 of 31 days paused", "Platform: 10 von 31 Tagen pausiert"),
        ("2 seats, 10 of 31 days", "2 Plätze, 10 von 31 Tagen"),
        ("Adjustment of Calls, made by hand, invoice INV-2026-000001",
         "Berichtigung von Calls, made by hand, Rechnung INV-2026-000001"),
        ("Minimum of the plan (10 of 31 days)", "Mindestbetrag des Tarifs (10 von 31 Tagen)"),
        ("Service fee 2.5 %", "Servicegebühr 2,5 %"),
        ("Priority support", "Priority support"),
        ("Up to you", "Up to you"),
    ):  # fmt: skip
        with in_words(words_now("de")), in_locale("de_DE"):
            assert label(english) == german
        assert label(english) == english


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_a_label_is_found_again_from_what_it_was_made_of(language: str) -> None:
    """For each label of each language: filled in English and translated, it equals the translation filled in."""
    values = {"tier": "Up to 5", "name": "Some: (fee), x", "what": "Other, y", "number": "INV-2026-000001"}
    with in_words(words_now(language)):
        for key, english in CATALOGUES["en"].LABELS.items():
            filled = {name: values.get(name, "7") for name in names(english)}
            wanted = {name: label(value) if name == "tier" else value for name, value in filled.items()}
            expected = english.format(**filled) if language == "en" else word(key, **wanted)
            assert label(english.format(**filled)) == expected, key


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de_AT", "de"), ("pt_BR", "pt"), ("ar_EG", "ar"), ("sv_SE", "en"), ("en_GB", "en"), ("", "en")],
)
def test_the_language_is_that_of_the_number_format_and_english_where_there_are_no_words(
    locale: str, language: str
) -> None:
    assert language_of(locale) == language


@needs_pdf_tools
def test_a_german_invoice_is_german_throughout() -> None:
    path = keep("invoice-de.pdf", invoice_pdf(invoice_in("de_DE")))
    text = words(path)
    for expected in (
        "Rechnungsdatum 20. November 2026",
        "Fällig am 4. Dezember 2026",
        "Bis 100 · 100 tickets × 2,00 $ = 200,00 $",
        "Über 100 · 20 tickets × 1,50 $ = 30,00 $",
        "Platform (10 von 31 Tagen)",
        "Zwischensumme 240,00 $",
        "VAT 19 % 45,60 $",
        "auf 240,00 $",
        "Gesamtbetrag (USD) 285,60 $",
        "Bitte zahlen Sie 285,60 $ bis 4. Dezember 2026",
        "Seite 1 von 1",
    ):
        assert expected in text
    for english in ("Invoice", "Amount", "Due", "Total", "Page", "days", "Please", "Plan "):
        assert english not in text.replace("Support Outcome Plan", "")


def test_reverse_charge_is_said_in_the_customers_language_and_staffs_own_sentence_as_it_is() -> None:
    TaxSetup.objects.update_or_create(defaults={"seller_country": "FR"})
    customer = make_customer(locale="de_DE", country="DE", tax_id="DE136695976")
    page = invoice_html(
        create_one_off(customer, [Item("Setup", Decimal(1), Decimal(9))], now=NOW, at_once=True)
    )
    assert "Steuerschuldnerschaft des Leistungsempfängers (Reverse Charge)." in page
    assert "Reverse charge:" not in page
    TaxSetup.objects.update(reverse_charge_sentence="Art. 196 Directive 2006/112/EC applies.")
    page = invoice_html(
        create_one_off(customer, [Item("Setup", Decimal(1), Decimal(9))], now=NOW, at_once=True)
    )
    assert "Art. 196 Directive 2006/112/EC applies." in page


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Edit the German catalogue until the end of the test."""

    def edit(key: str, text: str) -> None:
        monkeypatch.setitem(CATALOGUES["de"].WORDS, key, text)
        words_now.cache_clear()

    yield edit
    monkeypatch.undo()
    words_now.cache_clear()


def test_an_issued_document_never_changes_when_a_translation_is_edited(german: Any) -> None:
    invoice = invoice_in("de_DE")
    note = issue_credit_note(invoice, reason="Kulanz", amount=Decimal(9), by="anna", now=NOW)
    before, note_before = invoice_html(Invoice.objects.get()), credit_note_html(note)
    german("due_date", "Spätestens")
    german("reason", "Weshalb:")
    assert invoice_html(Invoice.objects.get()) == before
    assert credit_note_html(note) == note_before
    later = issue_credit_note(Invoice.objects.get(), reason="Kulanz", amount=Decimal(1), by="anna", now=NOW)
    assert "Weshalb:" in credit_note_html(later)


def test_stored_words_are_stored_once_and_stay() -> None:
    invoice_in("de_DE")
    other = make_customer("other", locale="de_CH")
    create_one_off(other, [Item("Setup", Decimal(1), Decimal(9))], now=NOW, at_once=True)
    stored = DocumentWords.objects.get()
    assert (stored.language, stored.digest) == ("de", words_now("de").digest)
    for change in (lambda: DocumentWords.objects.update(texts={}), DocumentWords.objects.all().delete):
        with pytest.raises(DatabaseError, match="stays as it is"), transaction.atomic():
            change()


def test_a_document_from_before_there_were_languages_stays_english() -> None:
    invoice = invoice_in("de_DE")
    del invoice.recipient["words"]
    page = invoice_html(invoice)
    assert "Due date" in page
    assert "4. Dezember 2026" in page  # numbers and days were always as the locale writes them


def test_a_document_whose_words_are_missing_is_refused_rather_than_guessed() -> None:
    invoice = invoice_in("de_DE")
    invoice.recipient["words"] = "0" * 32
    with pytest.raises(DocumentWords.DoesNotExist):
        invoice_html(invoice)


def are_embedded(path: Path) -> None:
    fonts = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True).stdout
    rows = fonts.splitlines()[2:]
    assert rows
    assert all(row.split()[-5] == "yes" for row in rows), f"fonts that are not embedded: {fonts}"


@needs_pdf_tools
@pytest.mark.parametrize("language", [pytest.param(each, marks=needs_fonts(each)) for each in ADDRESSES])
def test_names_addresses_and_lines_of_other_scripts_have_real_glyphs(
    language: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Invoice, credit note and statement: fonts embedded, letters read back, and none drawn as the empty box."""
    invoice = invoice_in(meter=METERS[language], **ADDRESSES[language])
    path = keep(f"invoice-{language}.pdf", invoice_pdf(invoice))
    are_embedded(path)
    text = words(path)
    for line in (ADDRESSES[language]["name"], METERS[language], *ADDRESSES[language]["address"].splitlines()):
        for letter in line.replace(" ", ""):
            assert letter in text, f"{letter} of {line}"
    note = issue_credit_note(invoice, reason=METERS[language], amount=Decimal("9.00"), by="anna", now=NOW)
    are_embedded(keep(f"credit-note-{language}.pdf", credit_note_pdf(note)))
    record_payment(invoice, amount=Decimal(50), received_on=NOW.date(), by="anna", now=NOW, reference="4711")
    customer = Customer.objects.get()
    statement = statement_of(customer, "USD", first=date(2026, 10, 1), last=date(2026, 12, 31))
    are_embedded(keep(f"statement-{language}.pdf", statement_pdf(statement)))
    assert [each.getMessage() for each in caplog.records if each.name == "weasyprint"] == []


@needs_pdf_tools
def test_a_letter_without_a_glyph_would_be_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """The proof above can fail: a letter that no font has is named in the log of the PDF engine."""
    customer = make_customer(name="Acme \U000f1234")
    invoice_pdf(create_one_off(customer, [Item("Setup", Decimal(1), Decimal(9))], now=NOW))
    assert [each.getMessage() for each in caplog.records if ".notdef glyph" in each.getMessage()] != []
