"""The newest forming bar of each series, in one table: taken over at the speed of numpy, made into rows when somebody asks."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gateway.hub.rows import BarRow
from gateway.hub.series import INTERVAL_NAMES, Channel, SeriesKey
from gateway.hub.tables import Table
from gateway.hub.updates import Update

_INTERVALS = np.array(sorted(INTERVAL_NAMES), np.int64)
_PLACE = {interval: place for place, interval in enumerate(_INTERVALS.tolist())}
_FIRST_SYMBOLS = 64


class FormingBars:
    """One row for each symbol and interval, and when its newest final bar opened: a forming bar that arrives after it would turn time back."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows = np.zeros((_FIRST_SYMBOLS * len(_INTERVALS), len(BarRow._fields)), np.int64)
        self._traceparents = np.full(len(self._rows), None, np.object_)
        self._known = np.zeros(len(self._rows), np.bool_)
        self._final = np.full(len(self._rows), -1, np.int64)

    def put(self, table: Table) -> NDArray[np.bool_]:
        """Take over rows; the last of each series stays. Returns which of them are newer than what is final."""
        numbers = np.array([self._number(symbol) for symbol in table.symbols], np.int64)
        self._grow()
        at = self._places(numbers[table.symbol], table.interval)
        self._rows[at], self._traceparents[at], self._known[at] = table.ints, table.traceparent, True
        newer: NDArray[np.bool_] = table.ints[:, 0] > self._final[at]
        return newer

    def finish(self, symbol: str, interval: int, ts_open: int) -> None:
        """The newest final bar of a series."""
        number = self._number(symbol)
        self._grow()
        self._final[number * len(_PLACE) + _PLACE[interval]] = ts_open

    def get(self, key: SeriesKey) -> Update | None:
        """The newest bar of a series."""
        number = self._numbers.get(key.symbol)
        if number is None:
            return None
        at = int(self._places(np.array([number]), np.array([key.interval]))[0])
        return Update(key, BarRow(*self._rows[at].tolist()), self._traceparents[at]) if self._known[at] else None

    def keys(self, interval: int) -> Iterator[SeriesKey]:
        """The series of an interval that have one."""
        for symbol, number in self._numbers.items():
            if self._known[number * len(_INTERVALS) + int(np.searchsorted(_INTERVALS, interval))]:
                yield SeriesKey(Channel.LIVE_BARS, symbol, interval)

    def _places(self, numbers: NDArray[np.int64], interval: NDArray[np.int64]) -> NDArray[np.int64]:
        return numbers * len(_INTERVALS) + np.searchsorted(_INTERVALS, interval)

    def _number(self, symbol: str) -> int:
        return self._numbers.setdefault(symbol, len(self._numbers))

    def _grow(self) -> None:
        while len(self._numbers) * len(_INTERVALS) > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._traceparents = np.concatenate([self._traceparents, np.full(len(self._traceparents), None, np.object_)])
            self._known = np.concatenate([self._known, np.zeros_like(self._known)])
            self._final = np.concatenate([self._final, np.full(len(self._final), -1, np.int64)])
