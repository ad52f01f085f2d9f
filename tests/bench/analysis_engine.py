"""The analysis engine, in memory: bars a second, ten years of one symbol, a batch of 500; against TA-Lib over the same bars in the same run.

TA-Lib computes the same 19 columns with its array functions: no signals, no state that could go on, one symbol a call. Values of both are compared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import talib
from signalbox.analysis.v1 import analysis_service_pb2 as pb

from services.analysis import translate
from services.analysis.analyst import Analyst
from services.analysis.compute import analyse
from services.analysis.domain import History
from services.analysis.engine import Bars, Engine, warm_up
from services.analysis.history import HistoryBook
from services.analysis.indicators.kernels import FloatArray
from services.runtime.clock import SystemClock
from tests.bench.results import Result
from tests.unit.analysis import series

SYMBOLS = 500
#: Sessions of ten years.
SESSIONS = 2_520
#: Bars of many series in turns, as the stream worker sees them, in records of 512.
STREAM_BARS, STREAM_SERIES, RECORD = 512_000, 500, 512
ROUNDS = 5
_WALK = series.walk(STREAM_BARS)
REFERENCE = "TA-Lib's array functions, one thread"


def run() -> list[Result]:
    """For `python -m tests.bench`."""
    warm_up()
    history = ten_years()
    talib_s = best(lambda: by_talib(history))
    answer = pb.AnalyzeRequest(symbol="AAPL.XNAS", last=SESSIONS)
    whole_s = best(lambda: translate.analysis_message(analyse(translate.query_of(answer), history)).SerializeToString())
    return [
        Result("analysis.engine_bars_per_s", STREAM_BARS / best(stream_of_many), "bars/s", REFERENCE, SESSIONS / talib_s),
        Result("analysis.engine_10y_daily_ms", 1e3 * best(lambda: one_pass(history)), "ms", REFERENCE, 1e3 * talib_s, higher_is_better=False),
        Result("analysis.answer_10y_daily_ms", 1e3 * whole_s, "ms", REFERENCE, 1e3 * talib_s, higher_is_better=False),
        Result("analysis.batch_500_s", best(lambda: asyncio.run(batch(history))), "s", REFERENCE, SYMBOLS * talib_s, higher_is_better=False),
    ]


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def ten_years() -> History:
    """The last ten years of a real symbol; the engine's values over them are TA-Lib's."""
    bars = {name: values[-SESSIONS:].copy() for name, values in series.daily("AAPL").items()}
    opens = (10_000 + np.arange(SESSIONS, dtype=np.int64)) * series.DAY_NS
    kind = np.full(SESSIONS, 2, np.int32)
    history = History(opens, opens + series.DAY_NS, bars["Open"], bars["High"], bars["Low"], bars["Close"], bars["Volume"], kind)
    values, expected = one_pass(history), by_talib(history)
    if not np.allclose(values, expected, rtol=1e-9, atol=1e-9, equal_nan=True):
        raise AssertionError("the engine and TA-Lib disagree")
    return history


def by_talib(history: History) -> FloatArray:
    """The same columns from TA-Lib; shape (bars, columns)."""
    close = history.close
    columns = [
        *(talib.SMA(close, period) for period in (5, 20, 50, 60, 200, 300)),
        *(talib.EMA(close, period) for period in (9, 12, 21, 26, 50)),
        talib.RSI(close, 14),
        *talib.MACD(close, 12, 26, 9),
        *talib.BBANDS(close, 20, 2, 2),
        talib.ATR(history.high, history.low, close, 14),
    ]
    return np.column_stack(columns)


def one_pass(history: History) -> FloatArray:
    """All columns of one series, and where its signals are."""
    engine = Engine(capacity=1)
    numbers = np.full(len(history), engine.series("AAPL.XNAS", 86400), np.int64)
    return engine.feed(Bars(numbers, history.ts_open, history.open, history.high, history.low, history.close, history.volume)).values


def stream_of_many() -> None:
    """Bars of many series in records, signals made."""
    engine = Engine(STREAM_SERIES)
    known = np.array([engine.series(f"S{at}.XSIM", 1) for at in range(STREAM_SERIES)], np.int64)
    high, low, close = _WALK
    numbers, opens = np.resize(known, STREAM_BARS), np.arange(STREAM_BARS, dtype=np.int64)
    for start in range(0, STREAM_BARS, RECORD):
        cut = slice(start, start + RECORD)
        engine.feed(Bars(numbers[cut], opens[cut], close[cut], high[cut], low[cut], close[cut], close[cut])).signals()


async def batch(history: History) -> None:
    """500 symbols through the service's own path, bars at hand, nothing in the cache; the last 300 bars of each answered."""

    class Source:
        async def bars(self, symbol: str, interval_s: int, start_ns: int | None) -> tuple[History, int]:
            return history, int(history.ts_open[0])

    class NoCache:
        async def get(self, key: str) -> bytes | None:
            return None

        async def set(self, key: str, value: bytes, ttl_s: float) -> None:
            """Keeps nothing."""

    with ThreadPoolExecutor(2) as pool:
        analyst = Analyst(HistoryBook(Source(), SystemClock(), 10**9), NoCache(), pool, ttl_s=1.0, parallel=16)
        queries = [translate.query_of(pb.AnalyzeRequest(symbol=f"S{at}.XNAS")) for at in range(SYMBOLS)]
        answers = [outcome async for outcome in analyst.batch(queries)]
    if len(answers) != SYMBOLS:
        raise AssertionError(f"expected {SYMBOLS} answers, were {len(answers)}")
