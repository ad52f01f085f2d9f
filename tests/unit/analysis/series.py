"""Bars for tests: the real daily ones and hard ones made by rule."""

from __future__ import annotations

import csv
import gzip
from importlib.resources import files

import numpy as np

from services.analysis.engine import Bars, Engine
from services.analysis.indicators.kernels import FloatArray, IntArray

DAY_NS = 86_400_000_000_000


def bars_of(series: int | IntArray, ts_open: IntArray, high: FloatArray, low: FloatArray, close: FloatArray) -> Bars:
    """Bars of one series, or of several when `series` is an array."""
    numbers = np.full(len(close), series, np.int64) if isinstance(series, int) else series
    return Bars(numbers, ts_open, close.copy(), high, low, close, np.full(len(close), 100.0))


def daily(ticker: str) -> dict[str, FloatArray]:
    """Daily bars 2000-2013 from bokeh_sampledata: columns Open, High, Low, Close, Volume, shape (sessions,)."""
    with gzip.open(str(files("bokeh_sampledata") / "_data" / "stocks.csv.gz"), "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["Ticker"] == ticker]
    return {name: np.array([float(row[name]) for row in rows]) for name in ("Open", "High", "Low", "Close", "Volume")}


def walk(count: int, seed: int = 1, start: float = 100.0, step: float = 0.5) -> tuple[FloatArray, FloatArray, FloatArray]:
    """High, low, close of a random walk in cents."""
    rng = np.random.default_rng(seed)
    close = np.maximum(np.round(start + np.cumsum(rng.normal(size=count)) * step, 2), 0.01)
    return np.round(close + rng.random(count), 2), np.round(close - rng.random(count) * 0.005, 2), close


def hard() -> dict[str, FloatArray]:
    """Closes on which sums lose precision or nothing moves."""
    rng = np.random.default_rng(0)
    gap = np.cumsum(rng.normal(size=3000)) * 0.1 + 100
    gap[1000:2000] += 1e6
    return {
        "constant": np.full(2000, 123.456),
        "constant then one step": np.where(np.arange(2000) < 700, 10.0, 10.01),
        "tiny moves at a large price": 1e6 + np.round(rng.normal(size=3000) * 1e-4, 6),
        "one tick at a large price": 1e5 + np.cumsum(rng.choice([0.0, 0.0, 0.01, -0.01], size=3000)),
        "gap up and down": gap,
        "spikes": np.where(np.arange(3000) % 97 == 0, 1e9, 1.0),
        "stairs": np.repeat(rng.random(100), 30),
        "very small prices": 1e-9 * np.exp(np.cumsum(rng.normal(size=3000) * 0.1)),
        "only up": np.linspace(1.0, 1000.0, 1000),
        "only down": np.linspace(1000.0, 1.0, 1000),
    }


def around(close: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Highs and lows for closes that come without."""
    return close + np.abs(np.sin(np.arange(len(close)))) * 1e-3, close - np.abs(np.cos(np.arange(len(close)))) * 1e-3


def values_of(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """All indicators of one series, shape (bars, columns)."""
    engine = Engine()
    return engine.feed(bars_of(engine.series("T.XSIM", 86400), np.arange(1, len(close) + 1) * DAY_NS, high, low, close)).values
