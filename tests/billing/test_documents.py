"""Invoices as PDF: what a finance department reads, and what a hostile text cannot do."""

from __future__ import annotations

import builtins
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import OpenerDirector

import pytest

from billing.closing import close_period
from billing.documents import invoice_document, invoice_file_name, invoice_html, invoice_pdf
from billing.models import Invoice, Plan
from billing.months import Month
from billing.previewing import preview_invoice
from billing.printing import DocumentsUnavailable
from billing.subscribing import subscribe
from customers.models import Customer
from tests.factories import (
    NOW,
    make_customer,
    make_meter,
    make_plan,
    make_subscription,
    send,
    send_tickets,
)

pytestmark = pytest.mark.django_db
needs_pdf_tools = pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="pdftotext is missing (apt-get install poppler-utils)"
)
ISSUER = {
    "name": "Helpful Machines Inc.",
    "address": "1 Market Street\nSan Francisco, CA 94105",
    "email": "billing@helpful.example",
    "tax_id": "US 12-3456789",
}
ARTEFACTS = Path(__file__).resolve().parents[2] / "test-artefacts"


@pytest.fixture(autouse=True)
def _issuer(settings: Any) -> None:
    settings.ISSUER = ISSUER


def issued(customer: Customer) -> Invoice:
    close_period(Month(2026, 10), now=NOW, grace_days=0)
    return Invoice.objects.get(customer=customer)


def keep(name: str, pdf: bytes) -> Path:
    """Leaves the file where people can look at it after a test run."""
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / name
    path.write_bytes(pdf)
    return path


def words(path: Path) -> str:
    text = subprocess.run(
        ["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True
    ).stdout
    return re.sub(r"[ \u00a0]+", " ", text)


def pages(path: Path) -> list[str]:
    return words(path).removesuffix("\f").split("\f")


@needs_pdf_tools
def test_the_invoice_says_what_120_tickets_cost_and_why() -> None:
    acme = make_customer(
        name="Acme Robotics Ltd.",
        address="Unit 4, Riverside\n12 Dock Road\nLondon SE1 2AB",
        email="accounts@acme.example",
        tax_id="GB 123 4567 89",
        timezone="Europe/London",
    )
    make_subscription(acme)
    send_tickets(120)
    path = keep("invoice.pdf", invoice_pdf(issued(acme)))
    text = words(path)
    for expected in (
        "Helpful Machines Inc.",
        "San Francisco, CA 94105",
        "US 12-3456789",
        "Acme Robotics Ltd.",
        "London SE1 2AB",
        "GB 123 4567 89",
        "INV-2026-000001",
        "Invoice date 20 November 2026",
        "Due date 4 December 2026",
        "1–31 October 2026",
        "Europe/London time",
        "Support Outcome Plan",
        "Tickets Resolved 120 tickets $2.00 $240.00",
        "120 tickets × $2.00 = $240.00",
        "Total (USD) $240.00",
        "Amount due $240.00",
        "Please pay $240.00 by 4 December 2026",
        "1 of 1",
    ):
        assert expected in text
    assert "Draft" not in text
    assert len(pages(path)) == 1


@needs_pdf_tools
def test_a_draft_says_so_and_asks_for_nothing() -> None:
    subscription = make_subscription()
    send_tickets(3)
    draft = preview_invoice(subscription, now=NOW, period=None)
    close_period(Month(2026, 10), now=NOW, grace_days=99)
    stored = Invoice.objects.get()
    for name, invoice in (("preview.pdf", draft), ("draft.pdf", stored)):
        text = words(keep(name, invoice_pdf(invoice)))
        assert 'class="mark draft"' in invoice_html(invoice)
        assert "Draft invoice" in text
        assert "Not issued yet" in text
        assert "Amount due" not in text
        assert "Please pay" not in text


def test_a_void_invoice_is_marked_and_asks_for_nothing() -> None:
    make_subscription()
    send_tickets(120)
    invoice = issued(Customer.objects.get())
    invoice.status = "void"
    assert invoice_document(invoice).due == 0
    page = invoice_html(invoice)
    assert 'class="mark void"' in page
    assert "This invoice is void" in page
    assert "Please pay" not in page


def test_zero_usage_gives_an_invoice_over_nothing() -> None:
    make_subscription()
    page = invoice_html(issued(Customer.objects.get()))
    assert "0 tickets × $2.00 = $0.00" in page
    assert "Nothing is to be paid for this period." in page


def long_invoice(name: str = "Acme") -> Invoice:
    """45 lines over several pages, each with tiers."""
    acme = make_customer(name=name)
    rates = []
    for n in range(45):
        make_meter(f"service_{n:02}", label=f"Service {n:02} of the platform", unit="call")
        rates.append(
            {
                "kind": "usage",
                "meter": f"service_{n:02}",
                "model": "graduated",
                "tiers": [
                    {"up_to": "2", "unit_amount": "0.125"},
                    {"up_to": None, "unit_amount": "0.00001"},
                ],
            }
        )
    subscribe(acme, plan=make_plan(*rates, code="long", name="Everything Plan"), start_on=date(2026, 10, 1))
    send(
        *(
            {
                "key": f"s{n}-{i}",
                "meter": f"service_{n:02}",
                "customer": "acme",
                "occurred_at": "2026-10-05T08:00:00Z",
            }
            for n in range(45)
            for i in range(3)
        )
    )
    return issued(acme)


@needs_pdf_tools
def test_a_long_invoice_numbers_its_pages_and_repeats_the_head_of_its_table() -> None:
    path = keep("invoice-long.pdf", invoice_pdf(long_invoice()))
    found = pages(path)
    assert len(found) > 2
    for number, page in enumerate(found, start=1):
        assert f"{number} of {len(found)}" in page
        assert "INV-2026-000001" in page
        if "Service" in page:
            assert re.search(r"Description +Quantity +Unit price +Amount \(USD\)", page)


def test_a_rounded_line_shows_the_exact_sum_and_what_it_was_rounded_to() -> None:
    page = invoice_html(long_invoice())
    # 2 x 0.125 + 1 x 0.00001 = 0.25001
    assert 'Up to 2</bdi> · <bdi dir="ltr">2 calls × $0.125 = $0.25' in page
    assert 'Over 2</bdi> · <bdi dir="ltr">1 call × $0.00001 = $0.00001' in page
    assert "Sum $0.25001, rounded to $0.25" in page


@needs_pdf_tools
def test_long_names_and_other_scripts_stay_on_the_page() -> None:
    acme = make_customer(
        name="شركة الاختبار المحدودة للتجارة والخدمات",
        address="東京都千代田区丸の内一丁目\nרחוב הרצל 12\n" + "Unbreakable" * 12,
    )
    make_meter(
        "tickets_resolved", label="已解决的工单 " + "Bearbeitungsvorgangsnummernverwaltung" * 3, unit="工单"
    )
    subscribe(acme, plan=make_plan(name="Extraordinarily long plan name " * 5), start_on=date(2026, 10, 1))
    send_tickets(120)
    path = keep("invoice-scripts.pdf", invoice_pdf(issued(acme)))
    text = words(path)
    assert "東京都千代田区" in text
    assert "已解决的工单" in text
    fonts = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True).stdout
    rows = fonts.splitlines()[2:]
    assert rows
    assert all(row.split()[-5] == "yes" for row in rows), f"fonts that are not embedded: {fonts}"


def test_markup_in_names_is_printed_and_not_obeyed() -> None:
    acme = make_customer(name='<img src="file:///etc/passwd"><b>Acme</b>')
    make_subscription(acme)
    page = invoice_html(issued(acme))
    assert "&lt;img src=&quot;file:///etc/passwd&quot;&gt;" in page
    assert "<img" not in page


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses a document asked for; opening one fails the test."""
    from weasyprint.urls import URLFetcher

    asked: list[str] = []
    fetch = URLFetcher.fetch

    def remember(self: URLFetcher, url: str, headers: object = None) -> object:
        asked.append(url)
        return fetch(self, url, headers)

    monkeypatch.setattr(URLFetcher, "fetch", remember)
    monkeypatch.setattr(OpenerDirector, "open", lambda *_, **__: pytest.fail("a document opened an address"))
    return asked


def test_a_document_fetches_nothing(monkeypatch: pytest.MonkeyPatch, asked_for: list[str]) -> None:
    make_subscription()
    invoice = issued(Customer.objects.get())
    hostile = invoice_html(invoice).replace(
        "</body>",
        '<img src="http://127.0.0.1:9/x.png"><img src="file:///etc/passwd">'
        '<link rel="stylesheet" href="ftp://127.0.0.1/a.css"></body>',
    )
    monkeypatch.setattr("billing.documents.invoice_html", lambda _: hostile)
    assert invoice_pdf(invoice).startswith(b"%PDF-")
    assert set(asked_for) == {"http://127.0.0.1:9/x.png", "file:///etc/passwd", "ftp://127.0.0.1/a.css"}


def test_an_invoice_asks_for_no_resource_and_renders_without_a_warning(
    asked_for: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    make_subscription()
    assert invoice_pdf(issued(Customer.objects.get())).startswith(b"%PDF-")
    assert asked_for == []
    assert [each.getMessage() for each in caplog.records if each.name == "weasyprint"] == []


def test_the_same_invoice_gives_the_same_file() -> None:
    make_subscription()
    invoice = issued(Customer.objects.get())
    assert invoice_pdf(invoice) == invoice_pdf(Invoice.objects.get())


def test_missing_system_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    make_subscription()
    invoice = issued(Customer.objects.get())
    real = builtins.__import__

    def without_pango(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_pango)
    with pytest.raises(DocumentsUnavailable, match=r"libpango-1.0-0.*apt-get install"):
        invoice_pdf(invoice)


def test_yen_have_no_decimals_and_dinars_three() -> None:
    for code, currency, expected in (
        ("tokyo", "JPY", "120 tickets × ¥300 = ¥36,000"),
        ("tunis", "TND", "120 tickets × TND\u00a00.125 = TND\u00a015.000"),
    ):
        customer = make_customer(code, currency=currency)
        plan = Plan.objects.filter(code=code).first() or plan_in(currency, code)
        subscribe(customer, plan=plan, start_on=date(2026, 10, 1))
        send_tickets(120, first=1000 if currency == "JPY" else 2000, customer=code)
        assert expected in invoice_html(issued(customer))


def plan_in(currency: str, code: str) -> Plan:
    if not Plan.objects.exists():
        make_meter()
    rate = {
        "kind": "usage",
        "meter": "tickets_resolved",
        "model": "per_unit",
        "unit_amount": "300" if currency == "JPY" else "0.125",
    }
    return make_plan(rate, code=code, currency=currency)


def test_a_file_is_named_after_the_number_or_the_draft() -> None:
    make_subscription()
    close_period(Month(2026, 10), now=NOW, grace_days=99)
    draft = Invoice.objects.get()
    assert invoice_file_name(draft) == "draft-acme-2026-10-01.pdf"
    draft.number = "INV-2026-000001"
    assert invoice_file_name(draft) == "INV-2026-000001.pdf"


def test_a_line_of_another_period_names_it() -> None:
    make_subscription()
    send_tickets(120)
    invoice = issued(Customer.objects.get())
    assert invoice_html(invoice).count("October 2026") == 1
    document = invoice_document(invoice)
    assert [each.period for each in document.lines] == [""]
    invoice.period_start, invoice.period_end = date(2026, 11, 1), date(2026, 12, 1)
    assert [each.period for each in invoice_document(invoice).lines] == ["1–31 October 2026"]
    assert invoice_html(invoice).count("1–31 October 2026") == 1
