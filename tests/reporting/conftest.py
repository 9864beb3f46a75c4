"""Pages of reports in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atommem_cli.reporting import run_figures

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one file: its event loop must not outlive it. Without it the tests are skipped, but for a machine
    that promises one by ATOMMEM_BROWSER."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "the package playwright is not installed"
    else:
        missing = "" if CHROMIUM else "no chromium is on PATH"
    if missing:
        if os.environ.get("ATOMMEM_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of evaluations without their figures, most of what a report costs: for what else is in a page."""
    monkeypatch.setattr(run_figures, "FIGURES", {})


class Watched:
    """A tab, with everything it should not do."""

    def __init__(self, browser: Browser, page: Path, address: str = "", **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.tab: Tab = self.context.new_page()
        self.wrong: list[str] = []
        self.tab.on("console", lambda message: self.wrong.append(f"console: {message.text}"))
        self.tab.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.tab.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.tab.on("request", self._request)
        self.tab.goto(page.as_uri() + address)

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.wrong.append(f"request: {request.url[:80]}")

    def text(self, selector: str) -> str:
        return self.tab.locator(selector).inner_text()

    def names(self) -> list[str]:
        return self.tab.locator("#list a > .t").all_inner_texts()

    def close(self) -> None:
        self.context.close()
        assert self.wrong == []


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    tabs: list[Watched] = []

    def open_page(page: Path, address: str = "", **context: Any) -> Watched:
        tabs.append(Watched(browser, page, address, **context))
        return tabs[-1]

    yield open_page
    for tab in tabs:
        tab.close()
