"""`signalbox report`: what is asked, and what a person is told."""

import pytest

from deploy.local.errors import SettingError
from deploy.local.report_cli import creation, lines_of


def test_what_is_not_given_is_not_sent() -> None:
    assert creation("", [], [], "", "") == {}
    assert creation("2013-03-01", ["AAPL.XNAS"], ["html", "pdf"], "UTC", "") == {
        "date": "2013-03-01",
        "universe": ["AAPL.XNAS"],
        "formats": ["REPORT_FORMAT_HTML", "REPORT_FORMAT_PDF"],
        "time_zone": "UTC",
    }
    assert creation("", [], [], "", "2013-03-01-0a0a0a0a") == {"input_of": "2013-03-01-0a0a0a0a"}


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(SettingError, match="--format: was 'docx'; expected: html, pdf, json, parquet"):
        creation("", [], ["docx"], "", "")


def test_a_report_in_one_line_and_its_warnings() -> None:
    report = {
        "id": "2013-03-01-0a0a0a0a",
        "date": "2013-03-01",
        "symbols_expected": 6,
        "symbols_arrived": 5,
        "symbols_missing": 1,
        "signals": 1,
        "seconds": 2.46,
    }
    assert lines_of(report) == ["2013-03-01-0a0a0a0a: 2013-03-01, 5 of 6 symbols (1 missing), 1 signal, made in 2.5 s"]
    full = {**report, "symbols_arrived": 6, "symbols_missing": 0, "signals": 0, "warnings": ["news: away"]}
    assert lines_of(full) == ["2013-03-01-0a0a0a0a: 2013-03-01, 6 of 6 symbols, 0 signals, made in 2.5 s", "  ! news: away"]
