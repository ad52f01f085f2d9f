"""The page in a real Chromium, on the running stack."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.e2e.browser import chromium
from tests.e2e.conftest import Stack
from tests.e2e.records import publish_alert, publish_article
from tests.servers import REPOSITORY

pytestmark = pytest.mark.browser

SCREENSHOTS = REPOSITORY / "build" / "screenshots"
DESKTOP = (1440, 900)
PHONE = (390, 844)
#: Long enough for a slow machine that has just started the stack; nothing is asserted about speed.
PATIENCE_MS = 60_000
#: What the page promises to work under; the gateway's own policy may be looser.
STRICT_POLICY = "default-src 'self'; connect-src 'self' ws:"
PROCESSES = {"prices", "analysis", "gateway", "prices-worker", "analysis-worker", "feeds", "envoy", "kafka", "valkey"}
PROCESSES |= {"reports", "reports-worker", "scheduler", "news", "news-worker", "prices-jobs", "analysis-jobs"}


@dataclass(slots=True)
class Visit:
    """An open page and all that went wrong on it."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Collects console errors, exceptions, failed requests."""
        page, problems = self.page, self.problems
        page.on("console", lambda message: problems.append(f"console: {message.text}") if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(f"exception: {error.stack}"))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url} {request.failure}"))
        page.on("response", lambda response: problems.append(f"{response.status}: {response.url}") if response.status >= 400 else None)

    def until(self, condition: str, argument: object = None) -> None:
        """Waits until a JavaScript function of `argument` is true."""
        self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE_MS)

    def bar(self) -> dict[str, str]:
        """Open time and close of the newest bar, as the legend has them."""
        shown: dict[str, str] = self.page.evaluate("({...document.getElementById('legend').dataset})")
        return {"t": shown["t"], "close": shown["close"]}

    def until_candles(self, at_least: int = 2) -> None:
        """Waits until the chart has bars and nothing lies over it."""
        self.until("n => Number(document.getElementById('chart').dataset.bars) >= n && document.getElementById('veil').hidden", at_least)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def desktop(browser: Browser, stack: Stack) -> Iterator[Visit]:
    """The page at 1440 px, not opened yet."""
    yield from _visit(browser, stack, DESKTOP)


def _visit(browser: Browser, stack: Stack, size: tuple[int, int]) -> Iterator[Visit]:
    context = browser.new_context(base_url=stack.base_url, viewport={"width": size[0], "height": size[1]}, has_touch=size == PHONE)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visit = Visit(context.new_page())
    visit.watch()
    yield visit
    context.close()


def _screenshot(page: Page, name: str, *, full_page: bool = False) -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=full_page)
    return path


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_replay_moves_and_is_labelled(browser: Browser, stack: Stack, size: tuple[int, int]) -> None:
    for visit in _visit(browser, stack, size):
        page = visit.page
        page.goto("/")
        visit.until_candles(50)
        expect(page.locator("#sign")).to_have_attribute("data-source", "replay")
        expect(page.locator("#sign-word")).to_have_text("REPLAY")
        expect(page.locator("#sign-text")).to_contain_text("2013")
        expect(page.locator("#quote-symbol")).to_have_text("ES.XCME")
        before = visit.bar()
        visit.until("before => document.getElementById('legend').dataset.t > before.t", before)
        visit.until("before => document.getElementById('legend').dataset.close !== before.close", before)
        visit.until("() => document.querySelectorAll('#signals .signal').length >= 3")
        visit.until("() => /[0-9]/.test(document.getElementById('gauge-p50').textContent)")
        visit.until("() => document.querySelectorAll('#watch .row').length >= 6")
        _screenshot(page, f"page-{size[0]}", full_page=size == PHONE)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
        assert visit.problems == []


def test_health_of_every_process(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/")
    expect(page.locator("#system-state")).to_have_attribute("data-state", "ready")
    shown = {process.get_attribute("data-process"): process.get_attribute("data-state") for process in page.locator(".process").all()}
    assert shown.keys() == PROCESSES
    assert set(shown.values()) == {"ready"}
    assert desktop.problems == []


def test_daily_bars_only(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/")
    page.locator('.row[data-symbol="AAPL.XNAS"]').click()
    expect(page).to_have_url(re.compile(r"#AAPL\.XNAS/1d$"))
    expect(page.locator('#intervals [data-interval="1m"]')).to_be_disabled()
    desktop.until_candles(50)
    before = desktop.bar()
    desktop.until("before => document.getElementById('legend').dataset.t > before.t", before)
    expect(page.locator("#sign-word")).to_have_text("REPLAY")
    _screenshot(page, "page-daily")
    page.locator('.row[data-symbol="ES.XCME"]').click()
    expect(page).to_have_url(re.compile(r"#ES\.XCME/1m$"))
    desktop.until_candles(50)
    assert desktop.problems == []


def test_synthetic_is_labelled(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/#TEST.XSIM/1s")
    desktop.until_candles()
    expect(page.locator("#sign-word")).to_have_text("SYNTHETIC")
    before = desktop.bar()
    desktop.until("before => document.getElementById('legend').dataset.t > before.t", before)
    _screenshot(page, "page-synthetic")
    assert desktop.problems == []


def test_intervals_without_indicators_say_so(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/#ES.XCME/5m")
    desktop.until_candles(20)
    expect(page.locator("#overlays-note")).to_be_visible()
    expect(page.locator("#overlays")).to_be_hidden()
    page.keyboard.press("2")
    expect(page).to_have_url(re.compile(r"#ES\.XCME/1m$"))
    expect(page.locator("#overlays-note")).to_be_hidden()
    desktop.until_candles(50)
    assert desktop.problems == []


def test_indicators_and_their_switches(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/")
    desktop.until_candles(50)
    desktop.until("() => /SMA 20\\s*[0-9]/.test(document.getElementById('legend').textContent)")
    expect(page.locator(".pane-label")).to_have_text([re.compile(r"RSI 14.*\d"), re.compile(r"MACD.*\d")])
    page.locator('[data-overlay="atr"]').click()
    expect(page.locator(".pane-label")).to_have_count(3)
    page.locator('[data-overlay="sma20"]').click()
    expect(page.locator("#legend")).not_to_contain_text("SMA 20")


def test_a_signal_leads_to_its_chart(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/#TEST.XSIM/1s")
    page.locator("#signals .signal", has_text="ES").first.wait_for()
    # The list moves while one aims: the click goes to the row that is there, by its key.
    page.evaluate("[...document.querySelectorAll('.signal')].find(row => row.dataset.key.startsWith('ES.XCME|1m')).click()")
    expect(page).to_have_url(re.compile(r"#ES\.XCME/1m$"))
    desktop.until_candles(50)
    assert desktop.problems == []


def test_keyboard_alone(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/")
    desktop.until("() => document.querySelectorAll('#watch .row').length >= 6")
    page.locator('.row[aria-selected="true"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#quote-symbol")).not_to_have_text("ES.XCME")
    page.locator("#tab-signals").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-trades")).to_be_visible()
    assert desktop.problems == []


def test_nothing_inline(desktop: Visit) -> None:
    def strictly(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, headers=response.headers | {"content-security-policy": STRICT_POLICY})

    page = desktop.page
    # An answer that went through our hands counts as one from the public network, which may not ask this machine for a socket.
    page.context.grant_permissions(["local-network-access"])
    page.route("**/", strictly)
    page.goto("/")
    desktop.until_candles(50)
    expect(page.locator('.credit a[href="https://www.tradingview.com/"]')).to_be_visible()
    assert desktop.problems == []


class Line:
    """The page's connection, with someone on the wire: can cut it, refuse it, lose a frame."""

    def __init__(self, page: Page) -> None:
        self.refuses = False
        self.loses = 0
        self.refused = 0
        self.made = 0
        self._page = page
        self._open: WebSocketRoute | None = None
        page.route_web_socket(re.compile(r"/v1/stream$"), self._connect)

    def cut(self) -> None:
        assert self._open is not None
        self._open.close(code=1013, reason="too slow")

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that happens on the wire; the events come while the page waits."""
        for _ in range(600):
            if condition():
                return
            self._page.wait_for_timeout(50)
        raise AssertionError("waited 30 s for the connection")

    def say_going_away(self, reconnect_after_ms: int) -> None:
        assert self._open is not None
        self._open.send(json.dumps([{"T": "going_away", "reason": "restart", "reconnect_after_ms": reconnect_after_ms}]))

    def _connect(self, client: WebSocketRoute) -> None:
        if self.refuses:
            self.refused += 1
            client.close(code=1013, reason="too many clients")
            return
        self._open = client
        self.made += 1
        server = client.connect_to_server()
        server.on_message(lambda frame: self._pass(client, frame))

    def _pass(self, client: WebSocketRoute, frame: str | bytes) -> None:
        if self.loses > 0:
            self.loses -= 1
        else:
            client.send(frame)


def test_a_lost_connection_shows_and_heals(desktop: Visit) -> None:
    page, line = desktop.page, Line(desktop.page)
    page.goto("/")
    desktop.until_candles(50)
    line.refuses = True
    line.cut()
    expect(page.locator("#notice")).to_contain_text("No connection")
    expect(page.locator("#link")).to_have_text("Disconnected")
    _screenshot(page, "page-disconnected")
    expect(page.locator("#retry")).to_be_visible()
    line.refuses = False
    # The page may have tried by itself just now and taken the button away: a click that waits for the button would wait for ever.
    page.evaluate("document.getElementById('retry').click()")
    expect(page.locator("body")).to_have_attribute("data-connection", "open")
    expect(page.locator("#notice")).to_be_hidden()
    desktop.until_candles(50)
    before = desktop.bar()
    desktop.until("before => document.getElementById('legend').dataset.t > before.t", before)
    assert desktop.problems == []


def test_a_lost_connection_heals_by_itself(desktop: Visit) -> None:
    """After tries that failed, and after a notice that said when to come back; nobody clicks."""
    page, line = desktop.page, Line(desktop.page)
    page.goto("/")
    desktop.until_candles(50)
    line.refuses = True
    line.cut()
    line.until(lambda: line.refused >= 2)
    line.refuses = False
    line.until(lambda: line.made == 2)
    expect(page.locator("body")).to_have_attribute("data-connection", "open")
    expect(page.locator("#notice")).to_be_hidden()
    # An hour: the page waits as long as it was told, not as long as its own backoff is.
    line.say_going_away(3_600_000)
    line.cut()
    expect(page.locator("#notice")).to_contain_text(re.compile(r"Next try in 3[56]\d\d s"))
    page.evaluate("document.getElementById('retry').click()")
    line.until(lambda: line.made == 3)
    expect(page.locator("body")).to_have_attribute("data-connection", "open")
    line.say_going_away(100)
    line.cut()
    line.until(lambda: line.made == 4)
    expect(page.locator("body")).to_have_attribute("data-connection", "open")
    before = desktop.bar()
    desktop.until("before => document.getElementById('legend').dataset.t > before.t", before)
    assert desktop.problems == []


def test_a_lost_message_is_noticed(desktop: Visit) -> None:
    page, line = desktop.page, Line(desktop.page)
    page.goto("/")
    desktop.until_candles(50)
    line.loses = 1
    expect(page.locator('#flows [data-bad="true"]')).to_have_text("1")
    desktop.until_candles(50)
    before = desktop.bar()
    desktop.until("before => document.getElementById('legend').dataset.t > before.t", before)
    assert desktop.problems == []


def test_recorded_news_are_labelled_and_feeds_that_are_not_reached_named(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/")
    desktop.until("() => document.querySelectorAll('#news li').length >= 3")
    recorded = page.locator("#news li", has_text="Federal Reserve Board").first
    expect(recorded.locator(".badge")).to_have_text("Recorded")
    expect(page.locator("#feeds-state")).to_have_attribute("data-state", "failing")
    failing = [feed for feed in page.request.get("/v1/news/feeds").json()["feeds"] if feed["health"] == "FEED_HEALTH_FAILING"]
    said = page.locator("#feeds-text")
    expect(said).to_have_text(re.compile(rf"^{len(failing)} of \d+ feeds not reached since \d\d:\d\d UTC \(\w.*\): "))
    expect(said).to_contain_text("yahoo (")
    said.click()
    for feed in failing:
        expect(page.locator(f'#feeds-list [data-feed="{feed["name"]}"]')).to_contain_text(re.compile(r"since \d+ \w+ 20\d\d \d\d:\d\d UTC: unreachable: "))
    assert desktop.problems == []


def test_hostile_news_are_text(desktop: Visit, stack: Stack) -> None:
    page = desktop.page
    page.goto("/")
    desktop.until("() => document.querySelectorAll('#news li').length >= 1")
    title = '<img src="nowhere.png" onerror="window.hit=1"><script>window.hit=1</script>&lt;b&gt;'
    identity = publish_article(stack, title, url="javascript:window.hit=1", symbol='X"><img src=x onerror=window.hit=1>')
    shown = page.locator(f'#news li[data-id="{identity}"]')
    expect(shown.locator(".news-title")).to_have_text(title)
    assert shown.locator("a, img, script").count() == 0
    shown.locator(".news-title").click()
    assert page.evaluate("window.hit") is None
    assert desktop.problems == []


def test_an_alert_is_shown_until_it_is_over(desktop: Visit, stack: Stack) -> None:
    page = desktop.page
    page.goto("/")
    desktop.until_candles()
    title = "The test <b>burns</b>"
    publish_alert(stack, "e2e/fire", title)
    shown = page.locator("#alerts li", has_text=title)
    expect(shown).to_have_attribute("data-severity", "critical")
    _screenshot(page, "page-alert")
    publish_alert(stack, "e2e/fire", title, is_resolved=True)
    expect(shown).to_have_count(0)
    assert desktop.problems == []


def test_the_schedule_with_last_and_next_runs(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/")
    plan = page.locator('.plan[data-schedule="daily-report"]')
    expect(plan).to_have_attribute("data-state", "succeeded")
    expect(plan.locator(".plan-last")).to_have_text(re.compile(r"^(\d\d:\d\d|\d+ \w{3})$"))
    schedules = page.request.get("/v1/schedules").json()["schedules"]
    shown = page.locator(".plan").evaluate_all("rows => rows.map(row => [row.dataset.schedule, row.querySelector('.plan-next').textContent])")
    assert {name for name, _ in shown} == {each["name"] for each in schedules}
    assert all(re.fullmatch(r"\d+[smhd].*", until) for _, until in shown), shown
    expect(page.locator("#leader")).to_be_empty()
    assert desktop.problems == []


#: Collects what the row of the newest report's job says as it goes.
_COLLECT = """() => {
  window.said = [];
  new MutationObserver(() => {
    const row = [...document.querySelectorAll('.job')].find(each => each.querySelector('.job-kind').textContent === 'report.daily');
    if (row) window.said.push([row.dataset.id, row.querySelector('.job-state').textContent]);
  }).observe(document.getElementById('jobs'), { subtree: true, childList: true, characterData: true });
}"""


def test_a_report_is_made_and_opened_from_the_page(desktop: Visit) -> None:
    page = desktop.page
    page.goto("/")
    desktop.until("() => document.querySelectorAll('.job').length > 0")
    page.evaluate(_COLLECT)
    with page.expect_response("**/v1/reports/daily") as answer:
        page.locator("#make-report").click()
    identity = answer.value.json()["metadata"]["id"]
    expect(page.locator(f'.job[data-id="{identity}"]')).to_have_attribute("data-state", "succeeded")
    expect(page.locator("#work-note")).to_be_empty()
    shares = [int(text[:-1]) for each, text in page.evaluate("window.said") if each == identity and text.endswith("%")]
    # A small report is made within a second: at least one step is seen, none goes back.
    assert shares
    assert shares == sorted(shares)
    assert shares[-1] <= 99
    link = page.locator("#report a").first
    name = link.inner_text()
    day = re.fullmatch(r"Daily report (20\d\d-\d\d-\d\d)", name)
    assert day, name
    with page.context.expect_page() as opened:
        link.click()
    report = Visit(opened.value)
    report.page.wait_for_load_state()
    report.watch()
    answered = report.page.reload()
    assert answered is not None
    assert answered.status == 200
    expect(report.page.locator("body")).to_contain_text(day[1])
    pdf = page.request.get(page.locator("#report a", has_text="PDF").get_attribute("href") or "")
    assert (pdf.status, pdf.headers["content-type"], pdf.body()[:5]) == (200, "application/pdf", b"%PDF-")
    assert report.problems == []
    assert desktop.problems == []


#: Panels whose content is wider than they are, with what sticks out.
_CUT = """() => ['.work-body', '#report', '#jobs', '#schedule', '.plan', '.news', '#feeds-state', '#news', '.news-title', '.news-about', '#processes']
  .flatMap(which => [...document.querySelectorAll(which)]).filter(node => node.scrollWidth > node.clientWidth + 1)
  .map(node => `${node.className} ${node.textContent}`)"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_of_work_and_news_is_cut(browser: Browser, stack: Stack, size: tuple[int, int]) -> None:
    for visit in _visit(browser, stack, size):
        page = visit.page
        page.goto("/")
        visit.until("() => document.querySelectorAll('#news li').length >= 3 && document.querySelectorAll('.plan').length >= 6")
        expect(page.locator("#report a").first).to_be_visible()
        page.locator("#feeds-text").click()
        expect(page.locator("#feeds-list li").first).to_be_visible()
        _screenshot(page, f"work-{size[0]}", full_page=size == PHONE)
        assert page.evaluate(_CUT) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
        assert visit.problems == []


def test_what_cannot_be_asked_is_said_until_it_can(desktop: Visit) -> None:
    page = desktop.page
    page.route("**/v1/schedules", lambda route: route.fulfill(status=503, body="{}"))
    page.goto("/")
    expect(page.locator("#work-trouble")).to_have_text("/v1/schedules answered 503")
    page.unroute("**/v1/schedules")
    expect(page.locator("#work-trouble")).to_be_empty()
    expect(page.locator(".plan")).to_have_count(6)
