"""Batches for tests of the bar engine, and its answers as the oracle's bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from services.prices.bars import BarEngine
from services.prices.sessions import SessionTable
from services.runtime.columns import WEEK_NS, BarColumns, InstrumentRef, TickColumns
from tests.oracle import FUTURE, SECOND, Bar

#: A Sunday, 22:00 UTC less ten seconds; so minutes, hours, sessions and days end near it.
BASE = 1_378_072_790 * SECOND
LATENESS = 2 * SECOND
#: One market with short sessions around BASE, one with UTC days, one nobody knows.
SYMBOLS = ("AA.XCME", "BB.XSIM", "CC.XXXX")
REFS = {symbol: InstrumentRef(symbol, 2, number) for number, symbol in enumerate(SYMBOLS)}
KINDS = {"live": 1, "replay": 2, "synthetic": 3}

#: symbol, ns after BASE, price, size, seq
Tick = tuple[str, int, int, int, int]


def session_table() -> SessionTable:
    """Sessions of XCME: -60 to 5 s, 10 to 15 s, 15 to 70 s, 80 s to 5,000 s after BASE."""
    opens = np.array([-60, 10, 15, 80]) * SECOND + BASE
    closes = np.array([5, 15, 70, 5000]) * SECOND + BASE
    return SessionTable({"CMES": 0}, np.array([0, 4]), opens, closes, np.arange(4))


def new_engine(lateness: int = LATENESS) -> BarEngine:
    return BarEngine(session_table(), lateness)


def batch(
    source: str,
    ticks: Sequence[Tick],
    watermark: int = 0,
    ended: bool = False,
    shift: int = 0,
    names: Iterable[str] = (),
    ahead: int | Sequence[int] = 0,
) -> TickColumns:
    """watermark: ns after BASE + shift, 0 = none. names: symbols named without a row. ahead: ns from receipt to event time, of each row or of all."""
    symbols = sorted({tick[0] for tick in ticks} | set(names))
    columns = np.array([tick[1:] for tick in ticks], np.int64).reshape(-1, 4).T
    ts = columns[0] + BASE + shift
    return TickColumns(
        source=source,
        source_kind=KINDS[source.partition(":")[0]],
        instruments=tuple(REFS[symbol] for symbol in symbols),
        instrument=np.array([symbols.index(tick[0]) for tick in ticks], np.uint32),
        ts_event=ts,
        ts_recv=ts - np.array(ahead, np.int64),
        price=columns[1],
        size=columns[2],
        seq=columns[3],
        watermark=watermark + BASE + shift if watermark else 0,
        source_ended=ended,
        replay_shift=shift,
    )


def bars_of_columns(bars: BarColumns | None) -> list[Bar]:
    """Rows of a batch of bars, in its order."""
    if bars is None:
        return []
    symbols = [bars.instruments[number].symbol for number in bars.instrument.tolist()]
    columns: list[list[Any]] = [getattr(bars, name).tolist() for name in Bar._fields[1:]]
    return [Bar(symbol, *row) for symbol, row in zip(symbols, zip(*columns, strict=True), strict=True)]


def final_bars(engine: BarEngine, batches: Iterable[TickColumns]) -> list[Bar]:
    """All final bars that the batches lead to, sorted by identity."""
    return sorted(bar for ticks in batches for bar in bars_of_columns(engine.process(ticks).bars))


TIMES = st.one_of(st.integers(0, 30_000), st.integers(0, 200)).map(lambda ms: ms * SECOND // 1000)
PRICES = st.one_of(st.integers(1, 1000), st.integers(1, 2**49))
SIZES = st.one_of(st.integers(1, 20), st.integers(1, 2**50))
#: How far a row is ahead of its receipt, ns: around the most that is allowed, and that to the nanosecond.
AHEAD = st.one_of(st.just(0), st.integers(FUTURE - SECOND, FUTURE + SECOND), st.sampled_from((FUTURE - 1, FUTURE, FUTURE + 1)))


@st.composite
def any_batches(draw: st.DrawFn) -> list[TickColumns]:
    """Anything a broker may hold: late rows, rows twice, rows of the future, rows that cannot be used, sources that end and come again, in any order."""
    tick = st.tuples(st.sampled_from(SYMBOLS), TIMES, st.one_of(PRICES, st.just(0)), st.one_of(SIZES, st.just(-1)), st.integers(0, 12))
    names = st.sets(st.sampled_from(SYMBOLS), max_size=1)
    batches = []
    for _ in range(draw(st.integers(1, 8))):
        source = draw(st.sampled_from(["live:x", "live:y", "replay:z", "synthetic:q"]))
        ticks = draw(st.lists(tick, max_size=10))
        ticks += draw(st.lists(st.sampled_from(ticks), max_size=4)) if ticks else []
        ahead = draw(st.lists(AHEAD, min_size=len(ticks), max_size=len(ticks)))
        watermark = draw(st.one_of(st.just(0), st.integers(1, 40))) * SECOND
        shift = draw(st.sampled_from((0, 0, WEEK_NS))) if source.startswith("replay") else 0
        batches.append(batch(source, ticks, watermark, draw(st.sampled_from((False, False, True))), shift, draw(names), ahead))
    return batches


#: A row with its source; the replay shift is its source's.
SourceTick = tuple[str, Tick]


@st.composite
def honest_ticks(draw: st.DrawFn) -> list[SourceTick]:
    """Rows of three sources, two of them of the same symbol, in the order of time; seq counts each source's rows."""
    rows = []
    for source, symbol in (("live:x", "AA.XCME"), ("live:y", "AA.XCME"), ("replay:z", "BB.XSIM")):
        ticks = draw(st.lists(st.tuples(TIMES, PRICES, SIZES), max_size=15))
        rows += [(source, (symbol, ts, price, size, seq)) for seq, (ts, price, size) in enumerate(sorted(ticks), 1)]
    return sorted(rows, key=lambda row: row[1][1])
