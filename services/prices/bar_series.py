"""One series of final bars in memory: rows of fixed size, sorted by open time, growing at the end, forgetting at the beginning."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: One bar. Fixed point as in BarBatch; the digits are kept by row, so that a change of an instrument's digits cannot falsify older bars.
BAR = np.dtype(
    [
        ("ts_open", np.int64),
        ("ts_close", np.int64),
        ("open", np.int64),
        ("high", np.int64),
        ("low", np.int64),
        ("close", np.int64),
        ("volume", np.int64),
        ("vwap", np.int64),
        ("trade_count", np.int64),
        ("replay_shift", np.int64),
        ("revision", np.int32),
        ("source_kind", np.uint8),
        ("price_digits", np.uint8),
        ("size_digits", np.uint8),
    ]
)
#: Structured array of BAR, shape (n,).
BarRows = NDArray[Any]

_FIRST_CAPACITY = 256


class BarSeries:
    """Bars of one (symbol, interval): each open time once, at its highest revision.

    limit: number of bars kept, >= 1; the oldest are dropped first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = np.empty(_FIRST_CAPACITY, BAR)
        self._first = 0
        self._end = 0
        self._dropped_to_ns = -1

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def rows(self) -> BarRows:
        """The bars, oldest first: a view that is valid until the next `add`."""
        return self._buffer[self._first : self._end]

    def add(self, rows: BarRows) -> int:
        """Adds bars, in any order. Returns how many were dropped because their identity was known or older than what is kept."""
        fresh = self._fresh(rows)
        if len(fresh):
            last = int(self.rows["ts_open"][-1]) if len(self) else -1
            opens = fresh["ts_open"]
            if int(opens[0]) > last and (len(opens) == 1 or bool((opens[1:] > opens[:-1]).all())):
                self._append(fresh)
            else:
                self._replace(_merged(self.rows, fresh))
        return len(rows) - len(fresh)

    def _fresh(self, rows: BarRows) -> BarRows:
        mask = rows["ts_open"] > self._dropped_to_ns
        kept = self.rows
        if len(kept) and int(rows["ts_open"].min()) <= int(kept["ts_open"][-1]):
            at = np.minimum(np.searchsorted(kept["ts_open"], rows["ts_open"]), len(kept) - 1)
            known = (kept["ts_open"][at] == rows["ts_open"]) & (kept["revision"][at] >= rows["revision"])
            mask &= ~known
        return rows if mask.all() else rows[mask]

    def _append(self, rows: BarRows) -> None:
        if self._end + len(rows) > len(self._buffer):
            self._make_room(len(rows))
        self._buffer[self._end : self._end + len(rows)] = rows
        self._end += len(rows)
        self._forget()

    def _make_room(self, count: int) -> None:
        """Moves the bars to the beginning of the buffer, a larger one unless half of it is free."""
        kept = self.rows
        wanted = len(kept) + count
        larger = np.empty(max(_FIRST_CAPACITY, 2 * wanted), BAR) if 2 * wanted > len(self._buffer) else self._buffer
        larger[: len(kept)] = kept.copy()
        self._buffer, self._first, self._end = larger, 0, len(kept)

    def _replace(self, rows: BarRows) -> None:
        self._buffer, self._first, self._end = rows, 0, len(rows)
        self._forget()

    def _forget(self) -> None:
        over = len(self) - self._limit
        if over > 0:
            self._dropped_to_ns = int(self.rows["ts_open"][over - 1])
            self._first += over


def _merged(kept: BarRows, fresh: BarRows) -> BarRows:
    """Both, sorted, each open time once: the highest revision, of equal ones the first that came."""
    rows = np.concatenate([kept, fresh])
    order = np.lexsort((np.arange(len(rows)), -rows["revision"], rows["ts_open"]))
    rows = rows[order]
    first = np.ones(len(rows), np.bool_)
    first[1:] = rows["ts_open"][1:] != rows["ts_open"][:-1]
    return rows[first]
