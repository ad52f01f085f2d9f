"""The report's page: whole, closed to the outside, safe from the texts in it, the same every time."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest

from services.reports.daily.model import DailyReportModel, SourceRow, SymbolState
from services.reports.daily.render.html import render_html
from tests.report_samples import model_of, real_input
from tests.unit.reports.made_reports import HOSTILE, MISSING_REASON, empty_report, made_report

#: Elements that have no end.
VOID = {"meta", "input", "br", "hr", "img", "link"}
#: 500 symbols have to stay quick to open and small enough to send: 12 MB. tests/integration/test_report_pages.py opens them.
MOST_BYTES_A_SYMBOL = 24_000


class Reader(HTMLParser):
    """Notes elements, attributes and texts, and that every element ends where it should."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def read(report: DailyReportModel) -> Reader:
    reader = Reader()
    reader.feed(render_html(report).decode("utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def page() -> Reader:
    return read(made_report(12))


@pytest.mark.parametrize("report", [made_report(12), made_report(1), empty_report()], ids=["many", "one", "none"])
def test_every_element_ends_and_every_id_is_one(report: DailyReportModel) -> None:
    ids = read(report).attributes("id")
    assert len(ids) == len(set(ids))


def test_nothing_is_fetched(page: Reader) -> None:
    assert page.attributes("src") == []
    fetched = [attributes["href"] for tag, attributes in page.elements if "href" in attributes and tag != "a"]
    assert all(address.startswith("#") for address in fetched)
    assert "link" not in {tag for tag, _ in page.elements}
    style = re.findall(r"<style>(.*?)</style>", render_html(made_report(1)).decode(), re.DOTALL)[0]
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_to_places_of_the_page_or_to_the_web(page: Reader) -> None:
    ids = set(page.attributes("id"))
    addresses = [attributes["href"] for tag, attributes in page.elements if tag in ("a", "use") and "href" in attributes]
    assert {address[1:] for address in addresses if address.startswith("#")} <= ids
    assert {address for address in addresses if not address.startswith("#")} == {"https://news.test/a?b=1&c=2"}


def test_the_policy_allows_exactly_the_pages_own_style_and_script() -> None:
    text = render_html(made_report(2)).decode()
    policy = next(attributes["content"] for tag, attributes in read(made_report(2)).elements if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for element in ("style", "script"):
        (source,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        assert f"{element}-src 'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'" in policy
    attributes = {name for _, found in read(made_report(2)).elements for name in found}
    assert not {name for name in attributes if name.startswith("on") or name == "style"}


def test_hostile_texts_stay_texts(page: Reader) -> None:
    assert "<script>alert('x')</script> & \"quotes\" ]]> </style> ${x} {{ 7 * 7 }} evil 日本 🙂" in page.text
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert [tag for tag, _ in page.elements].count("style") == 1
    raw = render_html(made_report(12)).decode()
    assert not set("\u202e\u202c\x00\x07") & set(raw)
    assert HOSTILE not in raw


def test_a_name_cannot_leave_its_attribute() -> None:
    report = made_report(1)
    evil = 'X" onclick="alert(1)" <b>.XNAS'
    first = replace(report.symbols[0], symbol=evil)
    reader = read(replace(report, symbols=(first,), signals=()))
    assert not reader.attributes("onclick")
    assert evil.lower() in reader.attributes("data-name")
    assert "b" not in {tag for tag, attributes in reader.elements if "onclick" in attributes}


def test_every_symbol_and_every_reason_is_there(page: Reader) -> None:
    report = made_report(12)
    shown = {attributes["data-name"] for tag, attributes in page.elements if tag == "article"}
    assert shown == {item.symbol.lower() for item in report.symbols}
    for row in report.coverage.rows:
        assert row.reason in page.text
        assert row.symbol.split(".")[0] in page.text
    assert MISSING_REASON in page.text
    assert "11 of 14 expected symbols have a bar of the day; 1 late, 1 missing and 1 failed." in page.text


def test_too_few_is_said_instead_of_a_number(page: Reader) -> None:
    assert "too few (n=7, needs 30)" in page.text
    assert "of this symbol alone: too few (n=7, needs 30)" in page.text
    assert "up in 56 % of 412" in page.text


def test_what_could_not_be_asked_is_not_called_none() -> None:
    report = made_report(3)
    lost = replace(report.coverage, sources=(SourceRow("news", False, "UNAVAILABLE: refused"), SourceRow("alerts", False, "TIMEOUT")))
    bare = replace(report, coverage=lost, alerts=(), news=replace(report.news, of_day=(), latest=()))
    text = read(bare).text
    assert "news gave nothing: UNAVAILABLE: refused" in text
    assert "alerts gave nothing: TIMEOUT" in text
    assert "No alert was open" not in text
    assert "No article was published" not in text


@pytest.mark.parametrize(("source", "word"), [("live", "LIVE"), ("replay", "REPLAY"), ("synthetic", "SYNTHETIC")])
def test_each_symbol_says_where_its_prices_come_from(source: str, word: str) -> None:
    reader = read(made_report(3, source=source))
    marks = [attributes["data-source"] for tag, attributes in reader.elements if tag == "span" and attributes.get("class") in ("badge", "sign")]
    # One in the head, three at the symbols, three in the explanation, two on news that was recorded earlier.
    assert marks.count(source) >= 4
    assert f"{word} 3 symbols" in reader.text


def test_warm_up_leaves_holes_and_no_nan(page: Reader) -> None:
    paths = page.attributes("d")
    assert len(paths) > 100
    assert all(re.fullmatch(r"[-MmLlVvHhZz0-9 .]+", path) for path in paths)
    assert "nan" not in {value.lower() for value in page.attributes("data-v")}
    young = made_report(3).symbols[2]
    assert np.isnan(young.chart.rsi_14).all()


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_html(made_report(6)) == render_html(made_report(6))
    assert render_html(made_report(6)) != render_html(made_report(6, seed=8))


def test_a_report_without_anything_says_so() -> None:
    text = read(empty_report()).text
    assert "No symbol was expected" in text
    assert "prices gave nothing" in text or "UNAVAILABLE: connection refused" in text
    assert "There are no figures." in text


def test_the_recorded_stocks_are_shown() -> None:
    report = model_of(real_input())
    text = read(report).text
    assert {item.state for item in report.symbols} == {SymbolState.ARRIVED}
    for item in report.symbols:
        assert f"{item.last.close:,.2f}" in text
    assert "recorded market data played again" in text


def test_a_symbol_stays_small() -> None:
    few, many = (len(render_html(made_report(count))) for count in (10, 40))
    assert (many - few) / 30 < MOST_BYTES_A_SYMBOL
