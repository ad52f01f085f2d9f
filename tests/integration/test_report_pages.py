"""The daily report's page in a real Chromium, opened from a file: desktop, phone, dark, and printed. Pictures are left in build/screenshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest
from playwright.sync_api import Browser, Page

from services.reports.daily.render.html import render_html
from services.reports.daily.render.pdf import render_pdf
from tests.e2e.browser import chromium
from tests.report_samples import model_of, real_input, sample_input
from tests.servers import REPOSITORY
from tests.unit.reports.made_reports import empty_report, made_report

pytestmark = pytest.mark.browser

SCREENSHOTS = REPOSITORY / "build" / "screenshots"
WIDTHS = (1280, 768, 390, 360)
#: A page of 500 symbols, and its paper, may not be larger.
MOST_BYTES_500 = 10_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as files."""
    target = tmp_path_factory.mktemp("reports")
    reports = {"real": model_of(real_input()), "made": made_report(12), "empty": empty_report()}
    for name, report in reports.items():
        (target / f"{name}.html").write_bytes(render_html(report))
    return target


def opened(browser: Browser, file: Path, width: int, scheme: str = "light") -> Iterator[Page]:
    """The page, which must ask for nothing but itself and complain of nothing."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def desktop(browser: Browser, folder: Path) -> Iterator[Page]:
    yield from opened(browser, folder / "made.html", 1280)


@pytest.fixture
def phone(browser: Browser, folder: Path) -> Iterator[Page]:
    yield from opened(browser, folder / "made.html", 390)


@pytest.mark.parametrize("name", ["real", "made", "empty"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(browser: Browser, folder: Path, name: str, width: int) -> None:
    for page in opened(browser, folder / f"{name}.html", width):
        wide, screen = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
        assert wide <= screen
        page.screenshot(path=_screenshot(f"report-{name}-{width}"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_from_their_ground(browser: Browser, folder: Path, scheme: str) -> None:
    """WCAG's 4.5 to 1 for small letters, over the colours that the page uses for them."""
    for page in opened(browser, folder / "made.html", 1280, scheme):
        poor = page.evaluate(
            """() => {
            const style = getComputedStyle(document.documentElement);
            const part = (hex, at) => { const c = parseInt(hex.slice(at, at + 2), 16) / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
            const weigh = (hex) => 0.2126 * part(hex, 1) + 0.7152 * part(hex, 3) + 0.0722 * part(hex, 5);
            const light = (name) => weigh(style.getPropertyValue(name).trim());
            const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
            const pairs = ['--text', '--soft', '--muted', '--up', '--down', '--accent', '--bad', '--warn', '--good'].map((name) => [name, '--panel']);
            for (const source of ['replay', 'synthetic', 'live', 'bad', 'warn']) pairs.push([`--${source}`, `--${source}-ground`]);
            return pairs.filter(([a, b]) => ratio(a, b) < 4.5).map(([a, b]) => `${a} on ${b}: ${ratio(a, b).toFixed(2)}`);
        }"""
        )
        assert poor == []
        page.screenshot(path=_screenshot(f"report-{scheme}"))


def test_labels_of_a_chart_do_not_lie_on_each_other(phone: Page) -> None:
    overlapping = phone.evaluate(
        """() => {
        document.querySelectorAll('.symbol').forEach((element) => { element.style.contentVisibility = 'visible'; });
        const found = [];
        for (const chart of document.querySelectorAll('.chart')) {
            const boxes = Array.from(chart.querySelectorAll('text'), (text) => [text.textContent, text.getBoundingClientRect()]);
            boxes.forEach(([a, first], index) => boxes.slice(index + 1).forEach(([b, second]) => {
                const across = Math.min(first.right, second.right) - Math.max(first.left, second.left);
                const down = Math.min(first.bottom, second.bottom) - Math.max(first.top, second.top);
                if (across > 1 && down > 4) found.push(`${a} / ${b}`);
            }));
        }
        return found;
    }"""
    )
    assert overlapping == []


def test_the_filter_leaves_what_was_looked_for(desktop: Page) -> None:
    desktop.keyboard.press("/")
    desktop.keyboard.type("dyne")
    shown = desktop.eval_on_selector_all("article:not([hidden])", "found => found.map((element) => element.dataset.name)")
    assert shown == ["dyne003.xnas", "dyne009.xnas"]
    assert desktop.inner_text("#found") == "2 of 12"
    assert desktop.locator("#all tbody tr:visible").count() == 2
    desktop.keyboard.press("Enter")
    assert desktop.evaluate("location.hash") == "#s-DYNE003.XNAS"
    desktop.keyboard.press("Escape")
    assert desktop.locator("article:not([hidden])").count() == 12
    desktop.fill("#filter", "nobody")
    assert desktop.is_visible("#nothing")


def test_a_link_shows_a_symbol_that_the_filter_hid(desktop: Page) -> None:
    desktop.fill("#filter", "dyne")
    desktop.evaluate("location.hash = '#s-ACME000.XNAS'")
    desktop.wait_for_function("!document.getElementById('s-ACME000.XNAS').hidden")


def test_a_table_is_sorted_by_its_figures(desktop: Page) -> None:
    button = desktop.locator("#all thead th", has_text="Change").locator("button")
    values = "rows => rows.map((row) => Number(row.cells[3].dataset.v))"
    button.click()
    falling = desktop.eval_on_selector_all("#all tbody tr", values)
    assert falling == sorted(falling, reverse=True)
    button.click()
    assert desktop.eval_on_selector_all("#all tbody tr", values) == falling[::-1]
    desktop.locator("#all thead th", has_text="RSI").locator("button").click()
    # What there is no figure for comes last, whichever way is sorted.
    assert desktop.eval_on_selector_all("#all tbody tr", "rows => rows.at(-1).cells[7].dataset.v") == "None"


def test_printed_it_is_a4_and_keeps_symbols_whole(browser: Browser, folder: Path, tmp_path: Path) -> None:
    for page in opened(browser, folder / "real.html", 1280):
        page.pdf(path=tmp_path / "printed.pdf", prefer_css_page_size=True, print_background=True)
    document = pypdfium2.PdfDocument(tmp_path / "printed.pdf")
    assert {tuple(round(side) for side in sheet.get_size()) for sheet in document} == {(595, 842)}
    texts = [sheet.get_textpage().get_text_range() for sheet in document]
    symbols = [text for text in texts if "Gap at the open" in text]
    assert sum(text.count("Gap at the open") for text in symbols) == 5
    # A symbol's first pane and what stands below its figures are on the same sheet.
    assert all(text.count("News of the day") == text.count("Volume ratio") == text.count("MACD 12 26 9") for text in symbols)
    assert f"1 / {len(texts)}" in texts[0]


def test_500_symbols_open_and_can_be_searched(browser: Browser, tmp_path: Path) -> None:
    report = model_of(sample_input(500))
    html, paper = render_html(report), render_pdf(report)
    assert len(html) < MOST_BYTES_500
    assert len(paper) < MOST_BYTES_500
    file = tmp_path / "many.html"
    file.write_bytes(html)
    for page in opened(browser, file, 390):
        assert page.locator("article").count() == len(report.symbols)
        last = report.symbols[-1].symbol
        page.fill("#filter", last)
        page.keyboard.press("Enter")
        page.wait_for_function("name => document.querySelector('article:not([hidden])').dataset.name === name", arg=last.lower())
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def _screenshot(name: str) -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS / f"{name}.png"
