"""The 500,000 E-mini S&P 500 trades that the package mlfinpy carries, as batches, and their bars by pandas."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from services.runtime.columns import InstrumentRef, TickColumns
from tests.oracle import Bar

ES = InstrumentRef("ES.XCME", 2, 0)
SOURCE = "replay:es"
SECOND = 1_000_000_000
#: CME's sessions that the trades touch: date, open, close in UTC. Labor Day closed at noon in Chicago; the last one ends after the last trade.
SESSIONS = (("2013-09-01 22:00", "2013-09-02 17:00"), ("2013-09-02 22:00", "2013-09-03 22:00"))


@lru_cache(maxsize=1)
def trades() -> pd.DataFrame:
    """Columns ts (UTC ns), price (hundredths), size, seq (row of the file, from 1). The file's times are Chicago's, without a zone."""
    spec = importlib.util.find_spec("mlfinpy")
    assert spec is not None
    assert spec.origin is not None
    frame = pd.read_csv(Path(spec.origin).parent / "dataset" / "data" / "tick_data.csv")
    times = pd.to_datetime(frame["DateTime"]).dt.tz_localize("America/Chicago").dt.tz_convert("UTC").dt.tz_localize(None)
    ts = times.astype("datetime64[ns]").astype("int64")
    price = (frame["Price"] * 100).round().astype("int64")
    return pd.DataFrame({"ts": ts, "price": price, "size": frame["Volume"].astype("int64"), "seq": np.arange(1, len(frame) + 1)})


def batches(rows: pd.DataFrame, size: int) -> list[TickColumns]:
    """Rows as batches of so many, then the end of the source: it has nothing more before 2013-09-04."""
    columns = [rows[name].to_numpy(np.int64) for name in ("ts", "price", "size", "seq")]
    result = []
    for at in range(0, len(rows), size):
        ts, price, volume, seq = (column[at : at + size] for column in columns)
        result.append(TickColumns(SOURCE, 2, (ES,), np.zeros(len(ts), np.uint32), ts, ts, price, volume, seq))
    none = np.empty(0, np.int64)
    end = int(pd.Timestamp("2013-09-04").value)
    return [*result, TickColumns(SOURCE, 2, (ES,), np.empty(0, np.uint32), none, none, none, none, none, watermark=end, source_ended=True)]


@lru_cache(maxsize=1)
def expected_bars() -> list[Bar]:
    """Bars of all trades by pandas, sorted by identity; vwap by Python's integers."""
    frame = trades().copy()
    bars = []
    for interval in (1, 60, 300, 900, 3600):
        length = interval * SECOND
        bars += _grouped(frame, frame["ts"] // length * length, interval, None)
    for first, last in SESSIONS:
        ts_open, ts_close = (pd.Timestamp(time).value for time in (first, last))
        inside = frame[(frame["ts"] >= ts_open) & (frame["ts"] < ts_close)]
        bars += _grouped(inside, pd.Series(ts_open, inside.index), 86400, ts_close)
    return sorted(bars)


def _grouped(frame: pd.DataFrame, keys: Any, interval: int, ts_close: int | None) -> list[Bar]:
    frame = frame.assign(notional=frame["price"] * frame["size"])
    groups = frame.groupby(keys)
    table = groups["price"].agg(["first", "max", "min", "last"]).join(groups[["size", "notional"]].sum()).join(groups["price"].count())
    return [
        Bar("ES.XCME", interval, ts, ts_close or ts + interval * SECOND, first, high, low, last, size, _vwap(notional, size), count, 2, 0)
        for ts, first, high, low, last, size, notional, count in table.itertuples()
    ]


def _vwap(notional: int, volume: int) -> int:
    quotient, rest = divmod(int(notional) * 10_000, int(volume))
    return quotient + (2 * rest > volume or (2 * rest == volume and quotient % 2 == 1))
