"""One analysis: the engine's pass over a history, and the part of it that was asked for. Pure; runs in a thread without the interpreter's lock for the pass."""

import numpy as np

from services.analysis.domain import Analysis, History, Query
from services.analysis.engine import Bars, Engine
from services.runtime.errors import InvalidArgument


def analyse(query: Query, history: History) -> Analysis:
    """Computes from the query's origin and cuts out its range. Raises InvalidArgument when no bar opens at or after the origin."""
    used = _from_origin(query, history)
    engine = Engine(capacity=1)
    series = np.full(len(used), engine.series(query.symbol, query.interval_s), np.int64)
    step = engine.feed(Bars(series, used.ts_open, used.open, used.high, used.low, used.close, used.volume))
    start, stop = _range(query, used)
    return Analysis(query, used, step, start, stop)


def _from_origin(query: Query, history: History) -> History:
    if query.origin_ns is None:
        return history
    first = int(np.searchsorted(history.ts_open, query.origin_ns))
    if first == len(history):
        raise InvalidArgument("origin", query.origin_ns, f"a time not after the last bar, which opens at {history.ts_open[-1]} ns UTC")
    return History(*(getattr(history, name)[first:] for name in History.__slots__))


def _range(query: Query, history: History) -> tuple[int, int]:
    start = 0 if query.start_ns is None else int(np.searchsorted(history.ts_open, query.start_ns))
    stop = len(history) if query.end_ns is None else int(np.searchsorted(history.ts_open, query.end_ns))
    return max(start, stop - query.last), max(start, stop)
