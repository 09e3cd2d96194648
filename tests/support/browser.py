"""Debian's chromium, driven by playwright; nothing is downloaded."""

import contextlib
import shutil

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MS = 600_000  # only what never happens lasts so long
WHY_NOT = "no chromium is installed: apt-get install -y chromium"


@contextlib.contextmanager
def chromium():
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


IN_A_HURRY = """
const wait = window.setTimeout.bind(window);
window.setTimeout = (call, ms, ...rest) => wait(call, ms === 2500 ? 250 : ms, ...rest);
"""  # of list.js's IDLE_MS: an idle list asks for changes ten times as often


@contextlib.contextmanager
def window(browser, **options):
    """A page in a window of its own; what it complains of is in ``page.complaints``."""
    context = browser.new_context(**options)
    context.add_init_script(IN_A_HURRY)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.complaints = []
    page.on("console", lambda one: page.complaints.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda one: (page.complaints.append(f"dialog: {one.message}"), one.dismiss()))
    try:
        yield page
    finally:
        context.close()
