"""A real browser against a real server: pages as people see them, pictures of them, no error left in the console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

ARTEFACTS = Path(__file__).resolve().parents[2] / "test-artefacts"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 60_000  # only a failure waits as long: a slow machine shows no mistake

# A page that has just come is clickable before its scripts are: a test is faster than any person, so it sees pages only
# once their scripts have run. Nothing of it is left in the page then.
READY_FIRST = """
const unready = new CSSStyleSheet();
unready.replaceSync("html { visibility: hidden }");
document.adoptedStyleSheets = [unready];
addEventListener("DOMContentLoaded", () => { document.adoptedStyleSheets = []; });
"""

Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, live_server: Any) -> Iterator[Callable[..., Page]]:
    """Opens a page in a browser of its own; relative addresses lead to the server.

    The test fails when a page wrote an error to the console, as a refused script or a missing file does.
    """
    contexts = []
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        refused_page = message.page is not None and message.location["url"] == message.page.url
        if message.type == "error" and not refused_page:  # a refused form comes back with a 4xx, as it should
            errors.append(f"{message.location['url']}: {message.text}")

    def open_one(**options: Any) -> Page:
        context = browser.new_context(base_url=live_server.url, viewport=DESKTOP, locale="en-US", **options)
        context.set_default_timeout(PATIENCE_MS)
        if options.get("java_script_enabled", True):
            context.add_init_script(READY_FIRST)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == [], "Errors in the browser's console."


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@pytest.fixture
def shoot() -> Shoot:
    """Takes pictures of a whole page, wide and on a phone, light and dark, and refuses a page wider than the phone."""

    def shoot(page: Page, name: str) -> None:
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            for size in (DESKTOP, PHONE):
                page.set_viewport_size(size)
                page.emulate_media(color_scheme=scheme)
                if "/admin/" in page.url:  # the admin reads the scheme once, while it opens
                    page.evaluate(
                        "dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark"
                    )
                folder = ARTEFACTS / "screenshots"
                folder.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=folder / f"{name}-{size['width']}-{scheme}.png", full_page=True)
        width = page.evaluate("document.documentElement.scrollWidth")
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")
        if "/admin/" in page.url:
            page.evaluate("document.documentElement.classList.remove('dark')")
        assert width <= PHONE["width"], f"{name} is {width} px wide on a phone of {PHONE['width']} px."

    return shoot
