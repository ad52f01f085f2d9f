"""The engine: bars in, indicator values and signals out. A state machine without input, output or clock.

The stream worker, Analyze and (later) the backtest run this same code, one bar after the other, so their values are equal to the last bit for equal
first bars, however the bars were cut into batches.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from services.analysis.errors import StateMismatch
from services.analysis.indicators import averages, momentum, volatility
from services.analysis.indicators.kernels import Crossings, FloatArray, IntArray, Parameters, State, advance
from services.analysis.indicators.registry import NAMES
from services.analysis.signals import Signal, compiled_rules, read_crossings
from services.runtime.stream.state import Frozen, pack_state, unpack_state

#: Changes whenever a bit of any value or signal does; part of every cache key and of every answer. A golden test notices.
ENGINE_VERSION = "1"
#: Of `snapshot`: its layout, and the engine. A checkpoint of another engine does not count, the series are computed anew from their first bars.
STATE_VERSION = 1000 * 1 + int(ENGINE_VERSION)

#: The longest look back at single closes; shorter windows share the ring.
_WINDOW = max(*averages.SMA_PERIODS, volatility.BANDS_PERIOD)
_FIRST_CAPACITY = 16


class SeriesKey(NamedTuple):
    """What a series is known by."""

    symbol: str
    """Ticker dot MIC."""
    interval_s: int
    """Length of the bars in seconds; 86400 means a session."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Final bars in the order in which they became known; shape (n,) each."""

    series: IntArray
    """As `Engine.series` gave it."""
    ts_open: IntArray
    """UTC ns."""
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True)
class Step:
    """What some bars led to."""

    rows: IntArray
    """The bars that were taken, as positions in what was fed; shape (m,)."""
    values: FloatArray
    """Their indicators, NaN while warming up; shape (m, columns)."""
    crossings: Crossings
    """What the signals are made of, in the order of their bars."""

    def signals(self, start: int = 0, stop: int | None = None) -> tuple[Signal, ...]:
        """The signals of the bars taken from `start` to before `stop`, in their order; a signal's `row` counts within `rows`.

        Made on demand: each costs some microseconds, and an answer holds few of the bars that it was computed from.
        """
        first, end = np.searchsorted(self.crossings.row, (start, len(self.rows) if stop is None else stop))
        return read_crossings(self.crossings.part(int(first), int(end)), self.values)


def _factors(periods: tuple[int, ...]) -> FloatArray:
    return np.array([2.0 / (period + 1) for period in periods], np.float64)


def _parameters() -> Parameters:
    macd = (momentum.MACD_FAST, momentum.MACD_SLOW, momentum.MACD_SIGNAL)
    return Parameters(
        sma=np.array(averages.SMA_PERIODS, np.int64),
        ema=np.array(averages.EMA_PERIODS, np.int64),
        ema_factor=_factors(averages.EMA_PERIODS),
        rsi=momentum.RSI_PERIOD,
        macd=np.array(macd, np.int64),
        macd_factor=_factors(macd),
        bands=volatility.BANDS_PERIOD,
        bands_width=float(volatility.BANDS_WIDTH),
        atr=volatility.ATR_PERIOD,
    )


_PARAMETERS = _parameters()
_RULES = compiled_rules()


def _new_state(capacity: int) -> State:
    def floats(*shape: int) -> FloatArray:
        return np.zeros((capacity, *shape), np.float64)

    return State(
        bars=np.zeros(capacity, np.int64),
        origin=np.zeros(capacity, np.int64),
        last=np.zeros(capacity, np.int64),
        closes=floats(_WINDOW),
        sma=floats(len(averages.SMA_PERIODS)),
        ema=floats(len(averages.EMA_PERIODS)),
        rsi=floats(2),
        macd=floats(3),
        bands=floats(4),
        bands_left=np.zeros(capacity, np.int64),
        atr=floats(),
        values=np.full((capacity, len(NAMES)), np.nan),
    )


def _room(rows: int) -> Crossings:
    most = rows * len(_RULES.left)
    return Crossings(np.empty(most, np.int64), np.empty(most, np.int64), np.empty((most, 2), np.float64))


class Engine:
    """Indicators and signals of any number of series."""

    def __init__(self, capacity: int = _FIRST_CAPACITY) -> None:
        """capacity: series to make room for at once, >= 1; more room is made when it is needed."""
        self._state = _new_state(capacity)
        self._keys: dict[SeriesKey, int] = {}
        self._of_symbol: dict[str, tuple[int, ...]] = {}
        self.duplicates = 0
        """Bars left out because they did not open after the last one of their series."""

    @property
    def keys(self) -> tuple[SeriesKey, ...]:
        """The series that are known, in the order of their numbers."""
        return tuple(self._keys)

    @property
    def series_count(self) -> int:
        """How many series are known."""
        return len(self._keys)

    def series(self, symbol: str, interval_s: int) -> int:
        """The number of a series, for `Bars.series`; a new one when it was not known."""
        key = SeriesKey(symbol, interval_s)
        known = self._keys.get(key)
        if known is not None:
            return known
        if len(self._keys) == len(self._state.bars):
            self._grow()
        self._keys[key] = len(self._keys)
        self._of_symbol.pop(symbol, None)
        return self._keys[key]

    def known_series(self, symbol: str, intervals: tuple[int, ...]) -> tuple[int, ...]:
        """The numbers of a symbol's series of these intervals, always the same ones; -1 for one that is not known."""
        numbers = self._of_symbol.get(symbol)
        if numbers is None:
            numbers = self._of_symbol[symbol] = tuple(self._keys.get(SeriesKey(symbol, interval), -1) for interval in intervals)
        return numbers

    def origins(self, series: IntArray) -> IntArray:
        """Open times of the first bars of these series, UTC ns; shape as `series`. 0 for a series without bars."""
        origins: IntArray = self._state.origin[series]
        return origins

    @property
    def all_origins(self) -> IntArray:
        """As `origins`, by the numbers of all series, and of some that are not there yet."""
        return self._state.origin

    def bars_taken(self, series: int) -> int:
        """Bars that a series has taken so far."""
        return int(self._state.bars[series])

    def feed(self, bars: Bars) -> Step:
        """Takes bars, in order. A bar that does not open after the last one of its series is left out and counted."""
        count = len(bars)
        rows, values, crossings = np.empty(count, np.int64), np.empty((count, len(NAMES)), np.float64), _room(count)
        taken, found = advance(self._state, _PARAMETERS, _RULES, bars.series, bars.ts_open, bars.high, bars.low, bars.close, rows, values, crossings)
        self.duplicates += count - taken
        return Step(rows[:taken], values[:taken], crossings.part(0, found))

    def freeze(self) -> Frozen:
        """Everything that is needed to go on as if nothing had happened; equal states give equal bytes."""
        used = len(self._keys)
        meta = {"engine": ENGINE_VERSION, "names": NAMES, "series": list(self._keys), "duplicates": self.duplicates}
        arrays = {name: array[:used].copy() for name, array in self._state._asdict().items()}
        return Frozen(sum(array.nbytes for array in arrays.values()), partial(pack_state, arrays, meta))

    def snapshot(self) -> bytes:
        """The bytes of `freeze`."""
        return self.freeze().pack()

    @classmethod
    def restore(cls, data: bytes) -> "Engine":
        """The engine as it was. Raises StateMismatch when the state is another engine's, services.runtime.stream.state.StateError when it is none."""
        arrays, meta = unpack_state(data)
        if (meta["engine"], meta["names"]) != (ENGINE_VERSION, list(NAMES)):
            raise StateMismatch((meta["engine"], meta["names"]), (ENGINE_VERSION, list(NAMES)))
        keys = [SeriesKey(symbol, interval) for symbol, interval in meta["series"]]
        engine = cls(capacity=max(_FIRST_CAPACITY, len(keys)))
        engine._keys = {key: number for number, key in enumerate(keys)}
        engine.duplicates = meta["duplicates"]
        for name, array in engine._state._asdict().items():
            array[: len(keys)] = arrays[name]
        return engine

    def _grow(self) -> None:
        old, self._state = self._state, _new_state(2 * len(self._state.bars))
        for new, before in zip(self._state, old, strict=True):
            new[: len(before)] = before


def warm_up() -> None:
    """Compiles the kernel into numba's cache beside the source, so that no process compiles when it starts (2-10 s)."""
    engine = Engine()
    one, price = np.array([engine.series("WARM.XSIM", 1)], np.int64), np.ones(1)
    engine.feed(Bars(one, one + 1, price, price, price, price, price))
