"""Sources of bars of the past."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.prices.jobs.files import BarFile
from services.prices.jobs.stocks import RecordedStocks
from services.prices.jobs.table import BarTable, SourceFailed, fixed
from services.prices.jobs.yahoo import ticker_of
from services.prices.sessions import SessionTable, build
from services.runtime.errors import InvalidArgument

NS = 10**9
DAY = 86_400


@pytest.fixture(scope="module")
def sessions() -> SessionTable:
    return build(2026, ["XNYS"])


def read(source: Any, symbol: str, interval_s: int = DAY, start: int = 0, end: int = 4 * 10**18, stored: int = -1) -> BarTable:
    table: BarTable = asyncio.run(source.bars(symbol, interval_s, start, end, stored))
    return table


def prices(table: BarTable) -> list[list[float]]:
    return [[round(value / 10**table.instrument.price_digits, 4) for value in row[2:6]] for row in table.rows.tolist()]


# -- recorded stocks


def test_of_the_recorded_stocks_nothing_is_given_that_is_still_to_be_played(sessions: SessionTable) -> None:
    source = RecordedStocks(sessions)
    fresh = read(source, "AAPL.XNAS")
    last_year_ns = int(fresh.rows[-1, 0])
    # The file ends on 2013-03-01; its last year is played day by day.
    assert 2_990 < len(fresh) < 3_030
    played = read(source, "AAPL.XNAS", stored=last_year_ns + 10 * DAY * NS)
    assert len(fresh) < len(played) <= len(fresh) + 7
    assert len(read(source, "AAPL.XNAS", stored=4 * 10**18)) == 3_270
    assert set(source.symbols()) == {"AAPL.XNAS", "FB.XNAS", "GOOG.XNAS", "IBM.XNYS", "MSFT.XNAS"}


@pytest.mark.parametrize(("symbol", "interval", "why"), [("TSLA.XNAS", DAY, "expected one of AAPL"), ("AAPL.XNAS", 60, "daily bars only")])
def test_what_the_recorded_stocks_do_not_have(sessions: SessionTable, symbol: str, interval: int, why: str) -> None:
    with pytest.raises(SourceFailed, match=why):
        read(RecordedStocks(sessions), symbol, interval)


# -- files

CSV = """Date,Symbol,Open,High,Low,Close,Volume
2024-03-01,AAPL.XNAS,179.55,180.53,177.38,179.66,73488000
2024-03-04,AAPL.XNAS,176.15,176.9,173.79,175.1,81510100
2024-03-01,IBM.XNYS,185.49,188.38,185.18,188.2,4018000
"""


def test_a_csv_of_daily_bars(tmp_path: Path, sessions: SessionTable) -> None:
    (tmp_path / "bars.csv").write_text(CSV)
    source = BarFile(tmp_path / "bars.csv", [], sessions)
    assert source.symbols() == ["AAPL.XNAS", "IBM.XNYS"]
    table = read(source, "AAPL.XNAS")
    assert prices(table) == [[179.55, 180.53, 177.38, 179.66], [176.15, 176.9, 173.79, 175.1]]
    assert tuple(table.rows[0, :2].tolist()) == sessions.session_on("XNAS", date(2024, 3, 1))
    assert table.rows[0, 6] == 73_488_000 * 10**table.instrument.size_digits


def test_a_parquet_file_of_minutes_of_one_symbol(tmp_path: Path, sessions: SessionTable) -> None:
    minutes = [1_704_067_200_000 + 60_000 * number for number in (2, 0, 1)]
    columns = {"ts_ms": minutes, "open": [3.0, 1.0, 2.0], "high": [3.5, 1.5, 2.5], "low": [2.5, 0.5, 1.5], "close": [3.25, 1.25, 2.25], "volume": [5, 6, 7]}
    pq.write_table(pa.table(columns), tmp_path / "bars.parquet")
    table = read(BarFile(tmp_path / "bars.parquet", ["BTC.XSIM"], sessions), "BTC.XSIM", 60, end=(minutes[0]) * 1_000_000)
    assert prices(table) == [[1.0, 1.5, 0.5, 1.25], [2.0, 2.5, 1.5, 2.25]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("open,high,low,close,volume\n1,1,1,1,1\n", "one of the columns ts_ms"),
        ("date,open,high,low,volume\n2024-03-01,1,1,1,1\n", "the columns close too"),
        ("date,open,high,low,close,volume\n2024-03-01,1,1,1,1,1\n", "a column symbol, or exactly one symbol"),
        ("", "a CSV or Parquet file with a header"),
    ],
)
def test_a_wrong_file_says_what_is_expected(tmp_path: Path, sessions: SessionTable, text: str, why: str) -> None:
    (tmp_path / "bars.csv").write_text(text)
    with pytest.raises(InvalidArgument, match=why):
        BarFile(tmp_path / "bars.csv", [], sessions)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2024-03-01,1,0.5,1,1,1", "expected 0 < low"),
        ("2024-03-01,x,1,1,1,1", "expected a number, was 'x'"),
        ("2024-03-02,1,1,1,1,1", "2024-03-02 is not a session of XNAS"),
        ("soon,1,1,1,1,1", "expected a time, was 'soon'"),
    ],
)
def test_a_wrong_row_names_itself(tmp_path: Path, sessions: SessionTable, line: str, why: str) -> None:
    (tmp_path / "bars.csv").write_text(f"date,open,high,low,close,volume\n{line}\n")
    with pytest.raises(SourceFailed, match=why):
        read(BarFile(tmp_path / "bars.csv", ["AAPL.XNAS"], sessions), "AAPL.XNAS")


def test_float_noise_is_rounded_away() -> None:
    assert fixed(293.32000732421875, 4) == 2_933_200
    with pytest.raises(SourceFailed):
        fixed(None, 4)


def test_symbols_have_yahoos_names() -> None:
    assert [ticker_of(symbol) for symbol in ("AAPL.XNAS", "VOD.XLON", "SAP.XETR")] == ["AAPL", "VOD.L", "SAP.DE"]
    with pytest.raises(SourceFailed, match="XSIM"):
        ticker_of("TEST.XSIM")
