"""A headless Chromium for the tests, and what a page did wrong in it."""

import os
import shutil
from contextlib import contextmanager

import pytest
from conftest import require

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
#: WCAG 2.2 AA
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PATIENCE_MS = 60_000


@contextmanager
def chromium():
    """Start the Chromium of the machine; playwright's own download is not needed."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[book]'")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    require(program, "Chromium", "apt-get install chromium fonts-noto-cjk")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root with its sandbox
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


def open_page(browser, **options):
    """A new page that fails rather than waits for ever."""
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE_MS)
    return page


def watch(page, local):
    """Collect a page's complaints: console errors, exceptions, failed requests, requests that leave ``local``."""
    wrong = []

    def on_console(message):
        if message.type == "error":
            wrong.append(f"console: {message.text}")

    def on_request(request):
        if not request.url.startswith((local, "data:", "blob:")):
            wrong.append(f"leaves the machine: {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    page.on("request", on_request)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    return wrong


def inaccessible(page, *, contrast):
    """What axe-core finds against WCAG 2.2 AA and headings out of order, one line an element.

    Contrast takes axe a second for some hundred words, so that it is left out where another page looks the same.
    """
    from axe_playwright_python.sync_playwright import Axe

    rules = {"heading-order": {"enabled": True}, "color-contrast": {"enabled": contrast}}
    options = {"runOnly": STANDARD, "rules": rules, "resultTypes": ["violations"]}
    return [
        f"{violation['id']}: {node['target']} {node['html'][:120]} {node['failureSummary'][:200]}"
        for violation in Axe().run(page, options=options).response["violations"]
        for node in violation["nodes"]
    ]
