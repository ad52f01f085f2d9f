"""The recorded input of a report, and its file.

All that a report is made from is in it, frozen: bars, indicator values and signals as the services gave them, articles, alerts, the state of the
installation, and what could not be had and why. Its identity is the SHA-256 of its file.

The file is a ZIP of stored entries with fixed times: `input.json` with everything small, and Parquet tables `bars`, `indicators` and `signals` with the
rows of one symbol after the other; `input.json` says how many belong to each.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from services.reports.daily.errors import InputUnreadable
from services.reports.daily.model import AlertRow, FloatArray, IntArray, NewsItem, ProcessRow, SourceRow

#: Layout of the file.
INPUT_FORMAT = 1
#: Indicators that are asked for, in the order of their columns.
INDICATORS: tuple[str, ...] = (
    "sma_20",
    "sma_50",
    "sma_200",
    "ema_21",
    "rsi_14",
    "macd_12_26_9",
    "macd_12_26_9_signal",
    "macd_12_26_9_hist",
    "bbands_20_2_upper",
    "bbands_20_2_middle",
    "bbands_20_2_lower",
    "atr_14",
)
_BAR_COLUMNS = ("ts_open", "ts_close", "open", "high", "low", "close", "volume", "source_kind", "replay_of")
_SIGNAL_COLUMNS = ("row", "type", "strength")
#: The earliest time that a ZIP can hold: its entries carry no time of ours.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BarsRecord:
    """Daily bars of one symbol, oldest first; shape (n,) each. Times in UTC nanoseconds."""

    ts_open: IntArray
    ts_close: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    source_kind: IntArray
    """signalbox.market.v1.SourceKind."""
    replay_of: IntArray
    """When the bar really opened, for a replay; otherwise 0."""

    def __len__(self) -> int:
        return len(self.ts_open)

    def until(self, stop: int) -> BarsRecord:
        """The first `stop` bars."""
        return BarsRecord(*(getattr(self, name)[:stop] for name in _BAR_COLUMNS))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignalsRecord:
    """Signals of one symbol, in the order of their bars; shape (m,) each."""

    row: IntArray
    """Which bar, from 0."""
    type: IntArray
    """Position in SIGNAL_TYPES."""
    strength: FloatArray
    """0 to 1."""

    def __len__(self) -> int:
        return len(self.row)


#: The types of signals in the order of their numbers in the file: only ever added to at the end.
SIGNAL_TYPES: tuple[str, ...] = (
    "golden_cross",
    "death_cross",
    "rsi_overbought",
    "rsi_oversold",
    "rsi_bullish",
    "rsi_bearish",
    "macd_cross_up",
    "macd_cross_down",
    "macd_zero_cross_up",
    "macd_zero_cross_down",
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SymbolRecord:
    """What the services gave for one expected symbol."""

    symbol: str
    bars: BarsRecord
    """No bars: missing or failed."""
    indicators: Mapping[str, FloatArray]
    """By INDICATORS, of the last bars: all of one length, which may be less than the bars'."""
    signals: SignalsRecord
    why_missing: str = ""
    """Why there are no bars, when nothing failed."""
    error: str = ""
    """What failed; then there are no figures."""


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One value from a process's /metrics."""

    process: str
    name: str
    labels: tuple[tuple[str, str], ...]
    """By name."""
    value: float


@dataclass(frozen=True, slots=True)
class SystemRecord:
    """The installation at the moment of recording; None and empty where it did not tell."""

    version: str = ""
    measured_ns: int = 0
    ticks_per_second: float | None = None
    messages_per_second: float | None = None
    subscribers: int | None = None
    ticks_lag: int | None = None
    bars_lag: int | None = None
    processes: tuple[ProcessRow, ...] = ()
    metrics: tuple[MetricSample, ...] = ()


@dataclass(frozen=True, slots=True)
class _SymbolHead:
    symbol: str
    bars: int
    values: int
    signals: int
    why_missing: str
    error: str


@dataclass(frozen=True, slots=True)
class InputHead:
    """Everything of the input that is not a table."""

    date: str
    """The day, YYYY-MM-DD."""
    date_was_asked: bool
    time_zone: str
    recorded_ns: int
    sources: tuple[SourceRow, ...] = ()
    articles: tuple[NewsItem, ...] = ()
    """Newest received first."""
    alerts: tuple[AlertRow, ...] = ()
    system: SystemRecord = SystemRecord()
    format: int = INPUT_FORMAT
    symbols: tuple[_SymbolHead, ...] = field(default=())
    """Filled when it is written."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReportInput:
    """The input. Without a repr, as what it consists of: asyncio.run makes that of a coroutine's result, which took 8 s for the arrays of 500 symbols."""

    head: InputHead
    symbols: tuple[SymbolRecord, ...]
    """Every expected symbol, by name."""


_HEAD = TypeAdapter(InputHead)


def no_bars() -> BarsRecord:
    """An empty series."""
    columns: dict[str, NDArray[Any]] = {name: np.empty(0, _dtype(name)) for name in _BAR_COLUMNS}
    return BarsRecord(**columns)


def no_signals() -> SignalsRecord:
    """No signals."""
    return SignalsRecord(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def _dtype(name: str) -> type[np.int64] | type[np.float64]:
    return np.int64 if name in {"ts_open", "ts_close", "source_kind", "replay_of", "row", "type"} else np.float64


def input_sha256(data: bytes) -> str:
    """Identity of an input: the hash of its file, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def write_input(record: ReportInput) -> bytes:
    """The file. Equal inputs give equal bytes (with the same version of pyarrow)."""
    symbols = record.symbols
    heads = tuple(_SymbolHead(item.symbol, len(item.bars), _values(item), len(item.signals), item.why_missing, item.error) for item in symbols)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry("input.json"), _HEAD.dump_json(replace(record.head, symbols=heads)))
        archive.writestr(_entry("bars.parquet"), _table({name: [getattr(item.bars, name) for item in symbols] for name in _BAR_COLUMNS}))
        columns = {name: [item.indicators[name] for item in symbols if item.indicators] for name in INDICATORS}
        archive.writestr(_entry("indicators.parquet"), _table(columns))
        archive.writestr(_entry("signals.parquet"), _table({name: [getattr(item.signals, name) for item in symbols] for name in _SIGNAL_COLUMNS}))
    return target.getvalue()


def _values(item: SymbolRecord) -> int:
    return len(item.indicators[INDICATORS[0]]) if item.indicators else 0


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.external_attr = 0o644 << 16
    return entry


def _table(columns: Mapping[str, Sequence[NDArray[Any]]]) -> bytes:
    arrays = {name: np.concatenate([np.empty(0, _dtype(name)), *parts]) for name, parts in columns.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink, compression="zstd", use_dictionary=False, write_statistics=False)
    return bytes(sink.getvalue())


def read_input(data: bytes) -> ReportInput:
    """The input of a file. Raises InputUnreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            head = _HEAD.validate_json(archive.read("input.json"))
            tables = [_columns(archive.read(f"{name}.parquet")) for name in ("bars", "indicators", "signals")]
    except (zipfile.BadZipFile, KeyError, ValidationError, pa.ArrowException) as error:
        raise InputUnreadable(str(error)) from error
    if head.format != INPUT_FORMAT:
        raise InputUnreadable(f"expected format {INPUT_FORMAT}, was {head.format}")
    return ReportInput(head, tuple(_split(head.symbols, *tables)))


def _columns(data: bytes) -> dict[str, NDArray[Any]]:
    table = pq.read_table(pa.BufferReader(data))
    return {name: table.column(name).to_numpy() for name in table.column_names}


Columns = Mapping[str, NDArray[Any]]


def _split(heads: Sequence[_SymbolHead], bars: Columns, values: Columns, signals: Columns) -> list[SymbolRecord]:
    found: list[SymbolRecord] = []
    bar = value = signal = 0
    for head in heads:
        found.append(
            SymbolRecord(
                symbol=head.symbol,
                bars=BarsRecord(**{name: bars[name][bar : bar + head.bars] for name in _BAR_COLUMNS}),
                indicators={name: values[name][value : value + head.values] for name in INDICATORS} if head.values else {},
                signals=SignalsRecord(**{name: signals[name][signal : signal + head.signals] for name in _SIGNAL_COLUMNS}),
                why_missing=head.why_missing,
                error=head.error,
            )
        )
        bar, value, signal = bar + head.bars, value + head.values, signal + head.signals
    return found
