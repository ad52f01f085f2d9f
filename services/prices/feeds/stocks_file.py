"""The file of daily bars of five US stocks that the package bokeh_sampledata carries. The package is located, never imported."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from services.prices.feeds.errors import DataMissing, DataUnreadable
from services.prices.instruments import Instrument, instrument_of
from services.prices.sequencer import Int64Array, UInt32Array
from services.prices.sessions import SessionTable

#: The file's ticker -> our symbol, by the market each was listed on when the file was made.
SYMBOLS: Mapping[str, str] = {"AAPL": "AAPL.XNAS", "FB": "FB.XNAS", "GOOG": "GOOG.XNAS", "IBM": "IBM.XNYS", "MSFT": "MSFT.XNAS"}

_PRICES = ("Open", "High", "Low", "Close")
_COLUMNS = ("Ticker", "Date", *_PRICES, "Volume")


class BadRow(NamedTuple):
    """A row that cannot be used. line: in the file, from 1, the header included."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class DailyBars:
    """Bars in the order of their sessions. Columns of shape (n,); times UTC nanoseconds, prices and volume in fixed point."""

    symbols: tuple[str, ...]
    symbol: UInt32Array
    ts_open: Int64Array
    ts_close: Int64Array
    open: Int64Array
    high: Int64Array
    low: Int64Array
    close: Int64Array
    volume: Int64Array

    def __len__(self) -> int:
        return len(self.ts_open)


class _Bar(NamedTuple):
    symbol: int
    ts_open: int
    ts_close: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class _Unusable(Exception):
    """A row cannot be used; the message says why."""


def locate() -> Path:
    """The gzipped CSV in the installed package. Raises DataMissing."""
    spec = find_spec("bokeh_sampledata")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "_data" / "stocks.csv.gz"
        if path.is_file():
            return path
    raise DataMissing("bokeh_sampledata's stocks.csv.gz", "install the Python package bokeh_sampledata 2026.1 (`uv sync`)")


def load(path: Path, sessions: SessionTable) -> tuple[DailyBars, list[BadRow]]:
    """The bars of the symbols we know, and the rows left out with their reasons: nothing is filled in. Raises DataUnreadable."""
    with gzip.open(path, "rt", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataUnreadable(str(path), f"expected columns {', '.join(_COLUMNS)}; without {', '.join(missing)}")
        bad: list[BadRow] = []
        bars = list(_bars(((reader.line_num, row) for row in reader), sessions, bad))
    if not bars:
        raise DataUnreadable(str(path), "no usable row; the first: " + (bad[0].why if bad else "the file is empty"))
    return _columns(bars), bad


def _bars(rows: Iterable[tuple[int, dict[str, str]]], sessions: SessionTable, bad: list[BadRow]) -> Iterator[_Bar]:
    instruments = {ticker: (at, instrument_of(symbol)) for at, (ticker, symbol) in enumerate(SYMBOLS.items())}
    for line, row in rows:
        ticker = row["Ticker"]
        if ticker not in instruments:
            bad.append(BadRow(line, f"Ticker: expected one of {', '.join(SYMBOLS)}, was {ticker!r}"))
            continue
        try:
            yield _bar(row, *instruments[ticker], sessions)
        except _Unusable as error:
            bad.append(BadRow(line, f"{ticker} {row['Date']}: {error}"))


def _bar(row: Mapping[str, str], symbol: int, instrument: Instrument, sessions: SessionTable) -> _Bar:
    session = sessions.session_on(instrument.mic, _date(row["Date"]))
    if session is None:
        raise _Unusable(f"Date: not a session of {instrument.mic}")
    opened, high, low, close = (_fixed(row, name, instrument.price_digits) for name in _PRICES)
    volume = _fixed(row, "Volume", instrument.size_digits)
    if min(opened, high, low, close) <= 0 or volume < 0:
        raise _Unusable("expected prices above zero and a volume of zero or more")
    if not low <= min(opened, close) <= max(opened, close) <= high:
        raise _Unusable(f"expected Low <= Open, Close <= High, was {row['Open']}, {row['High']}, {row['Low']}, {row['Close']}")
    return _Bar(symbol, *session, opened, high, low, close, volume)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise _Unusable(f"Date: {error}") from error


def _fixed(row: Mapping[str, str | None], name: str, digits: int) -> int:
    text = row[name]
    if not text:
        raise _Unusable(f"{name}: is missing")
    try:
        scaled = Decimal(text).scaleb(digits)
    except InvalidOperation as error:
        raise _Unusable(f"{name}: expected a number, was {text!r}") from error
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise _Unusable(f"{name}: expected a number with at most {digits} digits, was {text!r}")
    return int(scaled)


def _columns(bars: list[_Bar]) -> DailyBars:
    table = np.array(sorted(bars, key=lambda bar: (bar.ts_open, bar.symbol)), np.int64)
    symbol, *columns = (np.ascontiguousarray(table[:, column]) for column in range(table.shape[1]))
    return DailyBars(tuple(SYMBOLS.values()), symbol.astype(np.uint32), *columns)
