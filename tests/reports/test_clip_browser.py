"""The page of a clip in a real browser: accessible in light and dark, readable at 360 px, keys move, print works."""

import importlib.util
import shutil

import pytest
from clip_evidence import MANIFEST, clip_evidence, verdict

from reports.clip_report import ClipFacts, Served, clip_page, write_clip_report
from reports.html import STATIC

CHROMIUM = shutil.which("chromium") or ""
NEEDS = [
    name
    for name, there in (
        ("the program chromium", CHROMIUM),
        ("the package playwright", importlib.util.find_spec("playwright")),
        ("the package axe-playwright-python", importlib.util.find_spec("axe_playwright_python")),
    )
    if not there
]
pytestmark = pytest.mark.skipif(bool(NEEDS), reason=f"needs {', '.join(NEEDS)}")

CUES = {"blink.valid_share": 1.0, "blink.rate_per_min": 6.0, "quality.valid_share": 1.0, "quality.iod_px": 70.0}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    evidence = clip_evidence(n_people=2, detected=3, cues=CUES)
    facts = ClipFacts(versions=MANIFEST["families"], sha256="ab" * 32, command="deepcue predict " + "long_name_" * 20)
    one = verdict(filename="a_very_long_name_without_a_blank_" * 4 + ".mp4", n_faces=2)
    write_clip_report(folder / "clip.html", [one], MANIFEST, folder, facts=facts, evidence=evidence)
    return folder / "clip.html"


@pytest.fixture
def open_page(browser, page_file):
    """Factory of open pages; what the page asks of the network, and what its script complains of, is an error."""
    contexts, wrong = [], []

    def opened(*, width=1200, file=page_file, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def violations(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response
    assert found["passes"]
    return [
        (one["id"], one["impact"], one["nodes"][0]["html"][:200], one["nodes"][0].get("failureSummary", ""))
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing_serious(open_page, scheme, width):
    page = open_page(width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert violations(page) == []


def test_axe_would_find_something(open_page):
    page = open_page()
    page.evaluate("document.querySelector('.faces img').removeAttribute('alt')")
    assert [name for name, *_ in violations(page)] == ["image-alt"]


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(width=width)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_dark_is_dark(open_page):
    colour = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(open_page(color_scheme="dark").evaluate(colour)) < 60
    assert min(open_page(color_scheme="light").evaluate(colour)) > 240


def reading(page, lane):
    return page.locator(f"output[data-lane='{lane}']").inner_text()


def test_arrow_keys_move_the_cursor_and_the_readings(open_page):
    page = open_page()
    slider, lane = page.locator("#moment"), "p0.forensic_cnn.logit"
    assert reading(page, "p0.blink.openness") != "not measured"
    page.keyboard.press("Tab")  # skip link
    slider.focus()
    before = (reading(page, lane), page.locator(".plot .cursor").first.get_attribute("x1"))
    for _ in range(45):
        slider.press("ArrowRight")
    assert page.locator("#moment-text").inner_text() == "4.5 s"
    assert slider.get_attribute("aria-valuetext").startswith("4.5 s; Face network ")
    assert (reading(page, lane), page.locator(".plot .cursor").first.get_attribute("x1")) != before
    assert page.locator(".plot .cursor").first.get_attribute("x1") == "45%"
    series = page.evaluate("window.deepcue.evidence.lanes")[lane]
    nearest = min(range(len(series["times"])), key=lambda k: abs(series["times"][k] - 4.5))
    assert float(reading(page, lane)) == pytest.approx(series["values"][nearest], abs=0.5 * 10 ** -series["digits"])
    slider.press("End")
    assert page.evaluate("window.deepcue.seconds") == 10
    slider.press("ArrowRight")
    assert page.evaluate("window.deepcue.seconds") == 10
    slider.press("Home")
    slider.press("PageUp")
    assert page.evaluate("window.deepcue.seconds") == 1


def test_what_was_measured_over_a_window_reads_so_to_its_end(open_page):
    page = open_page()
    lane = "sound.forensic_voice.logit"
    measured = "{times: [1.5, 2.5], values: [-1, 1], window_s: 3}"
    page.evaluate(f"Object.assign(deepcue.evidence.lanes['{lane}'], {measured})")
    for seconds, value in ((0, "\u22121.0"), (1.9, "\u22121.0"), (4, "+1.0"), (4.2, "not measured")):
        page.evaluate(f"document.dispatchEvent(new CustomEvent('deepcue:time', {{detail: {{seconds: {seconds}}}}}))")
        assert reading(page, lane) == value


def test_a_missing_value_reads_as_not_measured(open_page):
    page = open_page()
    page.evaluate("document.dispatchEvent(new CustomEvent('deepcue:time', { detail: { seconds: 6.4 } }))")
    assert reading(page, "p0.blink.openness") == "not measured"


def test_a_pointer_reads_and_a_click_seeks(open_page):
    page = open_page()
    page.evaluate("document.addEventListener('deepcue:seek', e => { (window.sought ??= []).push(e.detail.seconds) })")
    plot = page.locator(".plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    middle = (box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    assert page.locator("#moment-text").inner_text() == "3.0 s"
    page.mouse.move(5, 5)
    assert page.locator("#moment-text").inner_text() == "0.0 s"  # pointing alone keeps nothing
    assert page.evaluate("window.sought") is None
    page.mouse.click(*middle)
    page.mouse.move(5, 5)
    assert page.locator("#moment-text").inner_text() == "3.0 s"
    assert page.evaluate("window.sought") == [pytest.approx(3.0, abs=0.02)]


def test_a_player_moves_the_cursor_and_finds_people(open_page):
    page = open_page()
    page.evaluate("document.addEventListener('deepcue:seek', () => { window.sought = true })")
    page.evaluate("document.dispatchEvent(new CustomEvent('deepcue:time', { detail: { seconds: 2.5 } }))")
    assert page.locator(".plot .cursor").first.get_attribute("x1") == "25%"
    assert page.evaluate("window.sought") is None  # or a player would seek while it plays
    people = page.evaluate("window.deepcue.boxesAt(2.5)")
    assert [one["name"] for one in people] == ["Person 1", "Person 2"]
    assert all(0 <= edge <= 1.1 for one in people for edge in one["box"])
    assert page.evaluate("window.deepcue.boxesAt(99)") == []


def test_a_face_and_a_frame_seek_to_their_time(open_page):
    page = open_page()
    face = page.locator(".faces a").first
    face.click()
    assert page.evaluate("window.deepcue.seconds") == pytest.approx(float(face.get_attribute("data-seconds")), abs=1e-3)
    frame = page.locator(".filmstrip a").nth(4)
    frame.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("window.deepcue.seconds") == pytest.approx(
        float(frame.get_attribute("data-seconds")), abs=1e-3
    )


def test_a_frame_of_any_shape_is_shown_whole(open_page):
    """Non-regression test: of portrait clips the filmstrip showed the middle third, from the chin down."""
    page = open_page()
    shown = """([image]) => {
        const { width, height } = image.getBoundingClientRect();
        return [getComputedStyle(image).objectFit, width > 0 && height > 0];
    }"""
    assert page.locator(".filmstrip img").evaluate_all(shown) == ["contain", True]


def test_focus_can_be_seen(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(outline.removesuffix("px")) >= 2


def test_without_script_everything_is_there_but_the_cursor(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator(".plot .line").count() == 12
    assert page.locator(".plot .line").first.is_visible()
    assert not page.locator("#moment").is_visible()
    assert not page.locator(".reading").first.is_visible()


def test_printing_gives_a_pdf_of_a_few_pages_with_the_lanes(open_page, tmp_path):
    page = open_page()
    pdf = page.pdf(path=tmp_path / "clip.pdf", prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    n_pages = pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/") + pdf.count(b"/Type /Page ")
    assert 3 <= n_pages <= 9
    page.emulate_media(media="print")
    assert page.locator(".plot").first.is_visible()
    assert not page.locator("#moment").is_visible()
    ticks, plot = page.locator(".ticks").bounding_box(), page.locator(".plot").first.bounding_box()
    assert (ticks["x"], ticks["width"]) == pytest.approx((plot["x"], plot["width"]), abs=1)
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


def test_dark_pages_print_on_white(open_page):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'"


def test_a_server_can_show_it_under_a_policy_without_inline_script_or_style(browser, tmp_path):
    text = clip_page(verdict(), MANIFEST, tmp_path, evidence=clip_evidence(), served=Served("/assets/"))
    page, wrong = browser.new_page(viewport={"width": 1200, "height": 900}), []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    html = {"body": text, "content_type": "text/html", "headers": {"Content-Security-Policy": POLICY}}
    page.route("**/clip", lambda route: route.fulfill(**html))
    page.route("**/assets/*", lambda route: route.fulfill(path=STATIC / route.request.url.rsplit("/", 1)[1]))
    page.goto("http://127.0.0.1/clip")  # answered by the two lines above
    page.locator("#moment").press("End")
    assert page.locator("#moment-text").inner_text() == "10.0 s"
    assert page.locator(".plot .cursor").first.get_attribute("x1") == "100%"
    assert page.locator("rect[fill='url(#unsaid)']").count() == 2
    assert page.evaluate("getComputedStyle(document.querySelector('.plot .line')).fill") == "none"
    assert not wrong
    page.close()
