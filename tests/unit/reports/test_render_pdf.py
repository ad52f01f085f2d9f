"""The report on paper: A4, every symbol, every reason, the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pypdfium2
import pytest

from services.reports.daily.model import DailyReportModel
from services.reports.daily.render.layout import Group, Piece, arrange, rows_of
from services.reports.daily.render.paper import BODY, BOTTOM, RIGHT, TOP, UNKNOWN, Paper, fit, width_of, wrap
from services.reports.daily.render.pdf import render_pdf
from tests.servers import REPOSITORY
from tests.unit.reports.made_reports import FAILED_REASON, LATE_REASON, MISSING_REASON, empty_report, made_report

#: A4 in points, to the point.
A4 = (595, 842)
#: 500 symbols stay under 10 MB.
MOST_BYTES_A_SYMBOL = 20_000
_MAKE = """
import hashlib
from services.reports.daily.render.html import render_html
from services.reports.daily.render.pdf import render_pdf
from tests.unit.reports.made_reports import made_report
for render in (render_html, render_pdf):
    print(hashlib.sha256(render(made_report(7))).hexdigest())
"""


def pages_of(report: DailyReportModel) -> list[str]:
    """Each page's text, of a document whose pages are all A4."""
    document = pypdfium2.PdfDocument(render_pdf(report))
    assert {tuple(round(side) for side in page.get_size()) for page in document} == {A4}
    return [page.get_textpage().get_text_range().replace("\r\n", "\n") for page in document]


@pytest.fixture(scope="module")
def pages() -> list[str]:
    return pages_of(made_report(12))


def test_every_symbol_has_its_place_and_the_table_tells_the_page(pages: list[str]) -> None:
    for item in made_report(12).symbols:
        ticker = item.symbol.split(".")[0]
        (row,) = [line for page in pages for line in page.split("\n") if line.startswith(ticker) and "%" in line and line.split()[-1].isdigit() and "×" in line]
        assert ticker in pages[int(row.split()[-1]) - 1]
        assert "MACD 12 26 9" in pages[int(row.split()[-1]) - 1]


def test_every_reason_is_printed(pages: list[str]) -> None:
    text = "\n".join(pages)
    for reason in (MISSING_REASON, LATE_REASON, FAILED_REASON):
        assert reason in text
    assert "11 of 14 expected symbols have a bar of the day; 1 late, 1 missing and 1 failed." in text


def test_too_few_is_said_instead_of_a_number(pages: list[str]) -> None:
    assert "too few (n=7, needs 30)" in "\n".join(pages)


def test_pages_are_numbered_and_say_what_the_prices_are(pages: list[str]) -> None:
    for number, page in enumerate(pages, start=1):
        assert f"{number} / {len(pages)}" in page
        assert "SYNTHETIC" in page


def test_a_symbol_is_on_one_page(pages: list[str]) -> None:
    """Its close is in its head, its last average at the end of its figures; of symbols that fit on a page nothing continues on another."""
    assert not [page for page in pages if ", continued" in page]


def test_hostile_titles_are_letters(pages: list[str]) -> None:
    text = "\n".join(pages)
    assert "<script>alert('x')</script>" in text
    assert "\u202e" not in text


def test_only_addresses_of_the_web_become_links() -> None:
    data = render_pdf(made_report(6))
    assert b"https://news.test/a" in data
    assert b"javascript" not in data


def test_a_report_without_anything_is_printed() -> None:
    text = "\n".join(pages_of(empty_report()))
    assert "No symbol was expected" in text
    assert "UNAVAILABLE: connection refused" in text


def test_a_symbol_longer_than_a_page_continues_under_its_name() -> None:
    report = made_report(4)
    long = replace(report.symbols[3], signals=report.symbols[3].signals * 6)
    found = [page for page in pages_of(replace(report, symbols=(long,))) if "DYNE003, continued" in page]
    assert found


def test_the_same_bytes_in_every_process() -> None:
    outputs = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen'}", "TZ": "Asia/Tokyo" if seed == "1" else "UTC"}
        outputs.add(subprocess.run([sys.executable, "-c", _MAKE], env=environment, cwd="/", capture_output=True, check=True, text=True).stdout)
    assert len(outputs) == 1


def test_the_same_bytes_twice_in_one_process() -> None:
    first = render_pdf(made_report(3))
    render_pdf(made_report(5))
    assert render_pdf(made_report(3)) == first


def test_a_symbol_stays_small() -> None:
    few, many = (len(render_pdf(made_report(count))) for count in (5, 25))
    assert (many - few) / 20 < MOST_BYTES_A_SYMBOL


def _piece(height: float) -> Piece:
    return Piece(height, lambda paper, top: None)


def test_groups_stay_together_where_they_fit() -> None:
    room = BOTTOM - TOP
    sheets = arrange([Group([_piece(room * 0.6)]), Group([_piece(room * 0.3), _piece(room * 0.3)])])
    assert [len(sheet.placed) for sheet in sheets] == [1, 2]


def test_a_table_repeats_its_heading() -> None:
    repeat = _piece(20)
    sheets = arrange(rows_of([_piece(40)], [_piece(12) for _ in range(150)], repeat))
    assert len(sheets) > 2
    assert all(sheet.placed[0][1] is repeat for sheet in sheets[1:])
    assert sum(1 for sheet in sheets for _, piece in sheet.placed if piece.height == 12) == 150
    assert all(top + piece.height <= BOTTOM + 0.1 for sheet in sheets for top, piece in sheet.placed)


@pytest.mark.parametrize("text", ["word " * 80, "x" * 900, "", "日本語の見出し" * 30, "a  b   c"])
def test_wrapped_lines_keep_within_their_width(text: str) -> None:
    Paper("", "")
    lines = wrap(text, BODY, 200)
    assert all(width_of(line, BODY) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(letter if ord(letter) < 0x250 else UNKNOWN for letter in text).replace(" ", "")
    assert len(wrap(text, BODY, 200, 2)) <= 2
    assert width_of(fit(text, BODY, 90), BODY) <= 90
    assert RIGHT > 90
