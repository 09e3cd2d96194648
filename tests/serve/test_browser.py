"""The page in a real browser: drop, wait, click the timeline, delete; two windows, hostile names, dark, narrow."""

import base64
import contextlib
import socket

import pytest
from clip_maker import frames_of, write_clip
from events import wait_until
from page_server import Running, running

from ensemble.store import default_model
from serve.server import Options, Server
from serve.uploads import MAX_AT_ONCE

pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
import browser as browsers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not browsers.PROGRAM, reason=browsers.WHY_NOT)]

DROP = """([name, content, type]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
  for (const kind of ["dragover", "drop"]) document.getElementById("drop").dispatchEvent(new DragEvent(kind, options));
}"""


@pytest.fixture(scope="module")
def browser():
    with browsers.chromium() as one:
        yield one


@pytest.fixture
def page(browser, server):
    """The list in a window; at its end nothing was complained of."""
    with browsers.window(browser) as one:
        one.goto(server.server.url)
        yield one
        assert one.complaints == []


def drop(page, name, content, kind="video/mp4"):
    page.evaluate(DROP, [name, base64.b64encode(content).decode(), kind])


def line(page, name):
    """The table row of a clip."""
    return page.locator("#rows tr").filter(has=page.get_by_role("link", name=name, exact=True))


def until(page, expression):
    """Wait until a script's expression is true; the policy of the page forbids what playwright does for that."""
    from playwright.sync_api import Error

    def holds():
        try:
            return page.evaluate(expression)
        except Error as error:
            if "navigation" not in str(error):  # the page of a clip comes in place of the one that waits for it
                raise
            return False

    wait_until(holds)


def names(page):
    return page.locator("#rows .name a").all_inner_texts()


def overflows(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_drop_a_clip_wait_for_the_verdict_click_the_timeline_and_delete(browser, tmp_path):
    from skimage.data import astronaut

    clip = write_clip(tmp_path / "a.mp4", frames_of(astronaut(), 50, (320, 240)), tone_s=2.0)
    one = Running(tmp_path / "work", server=Server(Options(work=tmp_path / "work", model=default_model(), port=0)))
    with contextlib.ExitStack() as undo:
        undo.callback(one.stop)
        page, other = (undo.enter_context(browsers.window(browser)) for _ in range(2))
        for each in (page, other):
            each.goto(one.server.url)
        drop(page, "talk.mp4", clip.read_bytes())
        page.locator("#rows .score").wait_for()
        other.locator("#rows .score").wait_for()
        assert line(other, "talk.mp4").locator(".score").inner_text() == f"{one.rows()[0]['probability']:.2f}"

        page.get_by_role("link", name="talk.mp4").click()
        until(page, "document.querySelector('video')?.readyState >= 2")
        duration = page.evaluate("document.querySelector('video').duration")
        plot = page.locator(".timeline .plot").first
        box = plot.bounding_box()
        plot.click(position={"x": 0.6 * box["width"], "y": 10})
        until(page, "(({ seeking, currentTime }) => !seeking && currentTime > 0)(document.querySelector('video'))")
        assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(0.6 * duration, abs=0.1)
        face = page.locator(".player .box").first
        face.wait_for()
        assert face.inner_text()
        inside, around = face.bounding_box(), page.locator("video").bounding_box()
        assert around["x"] < inside["x"] < inside["x"] + inside["width"] < around["x"] + around["width"]

        page.evaluate("document.querySelector('video').currentTime = 0")
        until(page, "document.getElementById('moment').value < 0.1")
        page.evaluate("document.querySelector('video').play()")
        until(page, "document.getElementById('moment').value > 0.5")  # playing moves the cursor
        page.locator("footer").scroll_into_view_if_needed()
        page.locator(".player.away video").wait_for()  # a small one stays in view
        page.get_by_label("Boxes of the people").uncheck()
        until(page, "[...document.querySelectorAll('.player .box')].every((box) => box.hidden)")

        page.get_by_role("link", name="All clips").click()
        line(page, "talk.mp4").get_by_role("button", name="Delete").click()
        line(page, "talk.mp4").get_by_role("button", name="Really delete").click()
        for each in (page, other):
            each.get_by_text("No clip yet.").wait_for()
            assert each.complaints == []
        assert one.rows() == []


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>.mp4", "<script>alert(1)<\\script>", "\u202egnp.exe", "'\"&lt;b&gt;.mp4"]
)
def test_a_hostile_name_is_shown_as_text(page, server, name):
    drop(page, name, b"fine 0.5")
    page.locator("#rows .score").wait_for()
    (row,) = server.rows()
    assert names(page) == [row["shown"]]
    assert page.locator("#rows img, #rows script, #rows b").count() == 0


def test_a_text_file_named_mp4_is_a_row_that_says_so(page):
    drop(page, "text.mp4", b"broken")
    row = line(page, "text.mp4")
    row.get_by_text("nothing measured").wait_for()
    assert "could not be read" in row.inner_text()
    assert "no video or audio that FFmpeg can open" in row.inner_text()
    assert row.get_by_role("button", name="Try again").count() == 0


def test_two_windows_see_the_same(page, browser, server):
    with browsers.window(browser) as other:
        other.goto(server.server.url)
        drop(page, "a.mp4", b"fine 0.25")
        drop(other, "b.mp4", b"fine 0.75")
        for one in (page, other):
            until(one, "document.querySelectorAll('#rows .score').length === 2")
        assert names(page) == names(other)
        line(other, "a.mp4").get_by_role("button", name="Delete").click()
        line(other, "a.mp4").get_by_role("button", name="Really delete").click()
        until(page, "document.querySelectorAll('#rows tr').length === 1")
        assert names(page) == ["b.mp4"]
        assert other.complaints == []


def test_progress_of_what_is_measured_and_what_waits(page):
    drop(page, "first.mp4", b"wait")
    drop(page, "second.mp4", b"fine 0.5")
    page.get_by_text("following faces, 50 %").wait_for()
    line(page, "second.mp4").get_by_text("in the queue").wait_for()
    assert line(page, "first.mp4").get_by_role("progressbar").get_attribute("value") == "0.5"
    page.get_by_role("link", name="first.mp4").click()
    page.get_by_text("following faces, 50 %").wait_for()
    page.get_by_role("link", name="All clips").click()
    line(page, "first.mp4").get_by_role("button", name="Delete").click()
    line(page, "first.mp4").get_by_role("button", name="Really delete").click()
    page.locator("#rows .score").wait_for()


def test_the_page_of_a_clip_comes_when_it_is_measured(page, server):
    drop(page, "a.mp4", b"wait")
    page.get_by_text("following faces, 50 %").wait_for()
    (row,) = server.rows()
    page.goto(f"{server.server.url}clips/{row['id']}")
    page.get_by_text("following faces, 50 %").wait_for()
    server.server.parts.clips.finish(row["id"], {"status": "ok", "has_page": 1})
    (server.server.parts.work.of(row["id"]) / "page.html").write_text("<p>the page</p>")
    page.get_by_text("the page").wait_for()


def test_sort_by_probability_and_search(page):
    for name, content in (("b.mp4", b"fine 0.25"), ("a.mp4", b"fine 0.75"), ("c.mp4", b"broken")):
        drop(page, name, content)
        line(page, name).get_by_text(["uncertain", "nothing measured"][name == "c.mp4"]).wait_for()
    assert names(page) == ["c.mp4", "a.mp4", "b.mp4"]  # the newest first
    head = page.get_by_role("columnheader", name="P(FAKE)")
    head.get_by_role("button").click()
    assert names(page) == ["a.mp4", "b.mp4", "c.mp4"]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert names(page) == ["b.mp4", "a.mp4", "c.mp4"]
    page.get_by_label("Search").fill("nothing")
    assert names(page) == ["c.mp4"]
    assert page.locator("#count").inner_text() == "1 of 3 clips"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "clips.csv"


def test_what_is_refused_is_said(browser, tmp_path):
    with running(tmp_path, max_upload=100, max_disk=150) as one, browsers.window(browser) as page:
        page.goto(one.server.url)
        drop(page, "large.mp4", bytes(101))
        page.get_by_text("--max-upload").wait_for()
        drop(page, "empty.mp4", b"")
        page.get_by_text("the file is empty").wait_for()
        for name in ("a.mp4", "b.mp4"):
            drop(page, name, b"fine 0.5" + bytes(80))
        page.get_by_text("--max-disk").wait_for()
        assert len(one.rows()) == 1
        page.get_by_role("button", name="Dismiss").first.click()
        assert page.locator("#uploads li").count() == 2


def test_an_upload_waits_for_its_turn(page, server):
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MAX_AT_ONCE)]
    for one in held:
        one.sendall(b"POST /api/clips?name=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n")
    wait_until(lambda: server.server.parts.uploads.under_way == MAX_AT_ONCE)
    with page.expect_response(lambda answer: answer.status == 503):
        drop(page, "a.mp4", b"fine 0.5")
    for one in held:
        one.close()
    page.locator("#rows .score").wait_for()
    page.complaints.clear()  # the browser notes every 503


def test_a_server_that_is_gone_is_said_and_found_again(browser, tmp_path):
    with browsers.window(browser) as page:
        with running(tmp_path) as one:
            port = one.port
            page.goto(one.server.url)
            drop(page, "a.mp4", b"fine 0.5")
            page.locator("#rows .score").wait_for()
        page.get_by_text("The server does not answer").wait_for()
        with running(tmp_path, port=port) as one:
            page.locator("#notice").wait_for(state="hidden")
            assert names(page) == ["a.mp4"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 720, 980, 1600])  # 720: a window of 1,440 px at 200 %
def test_it_fits_from_narrow_to_wide_in_light_and_dark(browser, server, scheme, width):
    options = {"viewport": {"width": width, "height": 700}, "color_scheme": scheme}
    with browsers.window(browser, **options) as page:
        page.goto(server.server.url)
        drop(page, f"{'long' * 30}.mp4", b"fine 0.5")
        drop(page, "text.mp4", b"broken")
        drop(page, "measured.mp4", b"wait")
        page.get_by_text("following faces, 50 %").wait_for()
        assert not overflows(page)
        assert min(page.evaluate("[...document.querySelectorAll('#rows .name')].map((cell) => cell.clientWidth)")) > 200
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(ground) < 200) == (scheme == "dark")
        assert page.complaints == []


def test_it_works_by_keyboard_alone(page):
    drop(page, "a.mp4", b"fine 0.5")
    page.locator("#rows .score").wait_for()
    line(page, "a.mp4").get_by_role("link").focus()
    page.keyboard.press("Tab")
    for label in ("Delete", "Really delete"):
        assert page.evaluate("document.activeElement.textContent") == label
        page.keyboard.press("Enter")
    page.get_by_text("No clip yet.").wait_for()
    page.locator("#files").focus()
    assert page.evaluate("getComputedStyle(document.getElementById('drop')).outlineStyle") == "solid"


def test_it_is_accessible(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    drop(page, "a.mp4", b"fine 0.5")
    drop(page, "b.mp4", b"broken")
    drop(page, "c.mp4", b"wait")
    page.get_by_text("following faces, 50 %").wait_for()
    found = axe.run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_nothing_is_loaded_from_elsewhere(browser, server):
    with browsers.window(browser) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.server.url)
        drop(page, "a.mp4", b"fine 0.5")
        page.locator("#rows .score").wait_for()
        assert asked
        assert all(url.startswith((server.server.url, "data:")) for url in asked)
