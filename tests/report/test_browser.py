"""The report in a real browser, with the network off."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
    # Playwright's own threads and pipes outlive it for a moment.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]
pytest.importorskip("playwright", reason="playwright is not installed")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from report_samples import fill

    from attnlib import report

    root = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLIB_REPORTS", str(root))
        fill(root / "quick")
        return report.build("quick").parent


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS
        )
        yield running
        running.close()


@pytest.fixture
def open_page(browser, folder):
    """Return a function that opens a page; nothing may be fetched."""
    contexts, trouble = [], []

    def note(request):
        if not request.url.startswith(("file:", "data:")):
            trouble.append(request.url)

    def open_page(name, scripts=True, dark=False, width=390):
        context = browser.new_context(
            viewport={"width": width, "height": 844},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", note)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto((folder / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.mark.parametrize(
    "name", ["index.html", "06_recurrent_glimpses.html", "failed-00-s0.html"]
)
def test_a_phone_never_scrolls_sideways(open_page, name):
    page = open_page(name)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390


def test_the_scoreboard_can_be_read_without_scripts(open_page):
    page = open_page("index.html", scripts=False)
    assert page.locator("#filters").is_hidden()
    assert page.locator(".verdict.reproduced").first.is_visible()
    assert page.locator("tr[data-verdict=reproduced]").first.is_visible()


def test_filters_leave_what_was_asked_for(open_page):
    page = open_page("index.html", width=1280)
    page.select_option("select[name=verdict]", "missed")
    rows = page.locator("tr[data-id]:visible")
    assert rows.count() > 0
    verdicts = {
        rows.nth(i).get_attribute("data-verdict") for i in range(rows.count())
    }
    assert verdicts == {"missed"}
    page.fill("input[name=words]", "no such words anywhere")
    assert rows.count() == 0
    page.click("button[type=reset]")
    page.wait_for_function("document.forms[0].elements.verdict.value === ''")
    assert page.locator("tr[data-verdict=reproduced]:visible").count() > 0


def test_formulas_are_drawn_and_have_a_size(open_page):
    page = open_page("06_recurrent_glimpses.html")
    boxes = page.locator("math").evaluate_all(
        "all => all.map(m => m.getBoundingClientRect().height)"
    )
    assert boxes and min(boxes) > 5


def test_code_opens_at_once(open_page):
    page = open_page("06_recurrent_glimpses.html")
    code = page.locator("details.code pre").first
    assert code.is_hidden()
    page.click("#all-code")
    assert code.is_visible()


def test_dark_is_dark_and_figures_stay_on_white(open_page):
    page = open_page("06_recurrent_glimpses.html", dark=True)
    background = "e => getComputedStyle(e).backgroundColor"
    body = page.locator("body").evaluate(background)
    assert max(int(v) for v in body[4:-1].split(",")) < 60
    figure = page.locator("figure img").first
    assert figure.evaluate(background) == "rgb(255, 255, 255)"
