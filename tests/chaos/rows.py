"""Rows of the three topics as the contract compares them: identity, and everything else as bytes. And the rows that must be there.

Expected bars come from the naive oracle over every distinct tick that was sent, whatever its way; expected indicators and signals from one
processor that takes those bars in order, once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from signalbox.events.v1.analysis_batch_pb2 import SignalBatch

from services.analysis.stream import AnalysisProcessor
from services.prices.sessions import SessionTable
from services.runtime.columns import BarColumns, InstrumentRef, decode_bars, decode_indicators, encode_bars
from services.runtime.headers import record_headers
from services.runtime.stream.records import InputRecord
from services.runtime.topics import BARS, INDICATORS, SIGNALS
from tests.chaos.load import DAY, WEEK, WEEKS
from tests.es_trades import SESSIONS
from tests.oracle import Bar, Row, bars_of

#: Topic, then what a row is known by: symbol, interval, ts_open, revision, and the signal's type.
Identity = tuple[str, str, int, int, int, str]
Rows = dict[Identity, bytes]
_ANALYSED_AT_ONCE = 4096
_HOUR = DAY // 24


def rows_of(topic: str, value: bytes) -> Iterator[tuple[Identity, bytes]]:
    """The rows of one record. Raises BadRecord when it cannot be read."""
    return _READERS[topic](value)


def _bar_rows(value: bytes) -> Iterator[tuple[Identity, bytes]]:
    bars = decode_bars(value)
    names = ("ts_close", "open", "high", "low", "close", "volume", "vwap", "trade_count", "source_kind", "replay_shift")
    table = np.column_stack([getattr(bars, name).astype(np.int64) for name in names])
    keys = zip(bars.instrument.tolist(), bars.interval.tolist(), bars.ts_open.tolist(), bars.revision.tolist(), strict=True)
    for row, (instrument, interval, ts_open, revision) in enumerate(keys):
        ref = bars.instruments[instrument]
        yield (BARS.name, ref.symbol, interval, ts_open, revision, ""), table[row].tobytes() + bytes(ref[1:])


def _indicator_rows(value: bytes) -> Iterator[tuple[Identity, bytes]]:
    columns = decode_indicators(value)
    rest = np.column_stack([getattr(columns, name).astype(np.int64) for name in ("source_kind", "origin", "replay_shift")])
    names = ",".join(columns.names).encode()
    keys = zip(columns.symbol.tolist(), columns.interval.tolist(), columns.ts_open.tolist(), columns.revision.tolist(), strict=True)
    for row, (symbol, interval, ts_open, revision) in enumerate(keys):
        identity = (INDICATORS.name, columns.symbols[symbol], interval, ts_open, revision, "")
        yield identity, columns.values[row].tobytes() + rest[row].tobytes() + names


def _signal_rows(value: bytes) -> Iterator[tuple[Identity, bytes]]:
    for row in SignalBatch.FromString(value).signals:
        yield (SIGNALS.name, row.symbol, row.interval, row.ts_open, row.revision, row.type), row.SerializeToString(deterministic=True)


_READERS: dict[str, Callable[[bytes], Iterator[tuple[Identity, bytes]]]] = {
    BARS.name: _bar_rows,
    INDICATORS.name: _indicator_rows,
    SIGNALS.name: _signal_rows,
}


def session_table() -> SessionTable:
    """CME's sessions of the trades, for so many weeks as the load may run through.

    Those of every second week are an hour shorter: who forgets that a replay carries its sessions with it has other bars.
    """
    pairs = [(_ns(first) + week * WEEK, _ns(last) + week * WEEK - week % 2 * _HOUR) for week in range(WEEKS) for first, last in SESSIONS]
    opens, closes = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    return SessionTable({"CMES": 0}, np.array([0, len(pairs)]), opens, closes, np.arange(len(pairs)))


def session_of(mic: str, ts: int) -> tuple[int, int] | None:
    """The same, said once more and simply: UTC days, or the session that holds the time."""
    if mic == "XSIM":
        return ts // DAY * DAY, ts // DAY * DAY + DAY
    week = ts // WEEK - _ns(SESSIONS[0][0]) // WEEK
    pairs = [(_ns(first) + week * WEEK, _ns(last) - _ns(first) - week % 2 * _HOUR) for first, last in SESSIONS]
    return next(((begin, begin + length) for begin, length in pairs if begin <= ts < begin + length), None)


def _ns(time: str) -> int:
    return int(np.datetime64(time, "ns").astype(np.int64))


def expected_rows(sent: Iterable[Row]) -> Rows:
    """Every row that must be in the three topics, nothing else. sent: each tick once, in any order."""
    by_symbol: dict[str, list[Row]] = defaultdict(list)
    for row in sent:
        by_symbol[row.symbol].append(row)
    return {identity: value for rows in by_symbol.values() for identity, value in _rows_of_symbol(bars_of(rows, session_of))}


def _rows_of_symbol(bars: list[Bar]) -> Iterator[tuple[Identity, bytes]]:
    processor = AnalysisProcessor(0)
    for at in range(0, len(bars), _ANALYSED_AT_ONCE):
        value = encode_bars(columns_of(bars[at : at + _ANALYSED_AT_ONCE]))
        yield from rows_of(BARS.name, value)
        for output in processor.process(InputRecord(BARS.name, 0, at, value, record_headers(BARS.message, f"oracle/{at}"))):
            yield from rows_of(output.topic, output.value)


def columns_of(bars: list[Bar]) -> BarColumns:
    """The oracle's bars of one symbol as a batch."""
    columns = {name: np.array([getattr(bar, name) for bar in bars], np.int64) for name in Bar._fields[1:]}
    kind, interval = columns.pop("source_kind").astype(np.int32), columns.pop("interval").astype(np.uint32)
    zeros = np.zeros(len(bars), np.uint32)
    return BarColumns(
        instruments=(InstrumentRef(bars[0].symbol, 2, 0),),
        instrument=zeros,
        interval=interval,
        revision=zeros,
        source_kind=kind,
        ts_recv=np.empty(0, np.int64),
        **columns,
    )
