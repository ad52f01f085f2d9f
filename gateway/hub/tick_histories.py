"""The last ticks of every symbol, in few arrays: most of them interest nobody, so a table of many symbols goes in as a whole."""

import numpy as np
from numpy.typing import NDArray

from gateway.hub.history import IntBlock
from gateway.hub.rows import TickRow
from gateway.hub.tables import Table

#: Symbols whose ticks share an array. It is of zeros that were never written, so what a quiet symbol does not use takes no memory.
_SHARED = 256


class TickHistories:
    """The last `capacity` ticks of each symbol."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._slots: dict[str, int] = {}
        self._counts: NDArray[np.int64] = np.zeros(_SHARED, np.int64)
        self._shared: list[IntBlock] = []

    def of(self, symbol: str) -> "TickHistory":
        """Those of a symbol, seen as a History."""
        return TickHistory(self, self._slot(symbol))

    def add(self, table: Table) -> list[str]:
        """Take the rows of a table of ticks, those of each symbol oldest first. Returns the symbols that had none before."""
        if not len(table.ints):
            return []
        known = len(self._slots)
        used = np.flatnonzero(np.bincount(table.symbol, minlength=len(table.symbols)))
        names = [table.symbols[number] for number in used.tolist()]
        slot_of = np.zeros(len(table.symbols), np.int64)
        slot_of[used] = [self._slot(symbol) for symbol in names]
        slot = slot_of[table.symbol]
        order = np.argsort(slot, kind="stable")
        slot = slot[order]
        slots, begins, counts = np.unique(slot, return_index=True, return_counts=True)
        rank = np.arange(len(slot)) - np.repeat(begins, counts)
        kept = rank >= np.repeat(counts - self._capacity, counts)
        place = ((self._counts[slot] + rank) % self._capacity)[kept]
        self._put(slot[kept], place, table.ints[order[kept]])
        self._counts[slots] += counts
        return [symbol for symbol in names if self._slots[symbol] >= known]

    def append(self, slot: int, ints: IntBlock) -> None:
        """Take rows of one symbol, not more than are kept, oldest first."""
        place = (self._counts[slot] + np.arange(len(ints))) % self._capacity
        self._shared[slot // _SHARED][slot % _SHARED, place] = ints
        self._counts[slot] += len(ints)

    def count(self, slot: int) -> int:
        """Ticks of a symbol since the start."""
        return int(self._counts[slot])

    def first(self, slot: int) -> int:
        """Number of the oldest one kept."""
        return max(0, self.count(slot) - self._capacity)

    def row(self, slot: int, number: int) -> TickRow:
        """One that is kept."""
        return TickRow(*self._shared[slot // _SHARED][slot % _SHARED, number % self._capacity].tolist())

    def _slot(self, symbol: str) -> int:
        slot = self._slots.get(symbol)
        if slot is None:
            slot = self._slots[symbol] = len(self._slots)
            if slot % _SHARED == 0:
                self._shared.append(np.zeros((_SHARED, self._capacity, len(TickRow._fields)), np.int64))
            if slot >= len(self._counts):
                self._counts = np.append(self._counts, np.zeros_like(self._counts))
        return slot

    def _put(self, slot: NDArray[np.int64], place: NDArray[np.int64], ints: IntBlock) -> None:
        """slot: ascending."""
        for number, rows in enumerate(np.split(np.arange(len(slot)), np.searchsorted(slot, np.arange(1, len(self._shared)) * _SHARED))):
            self._shared[number][slot[rows] % _SHARED, place[rows]] = ints[rows]


class TickHistory:
    """The last ticks of one symbol."""

    __slots__ = ("_all", "_slot")

    def __init__(self, histories: TickHistories, slot: int) -> None:
        self._all, self._slot = histories, slot

    def count(self) -> int:
        """As History says."""
        return self._all.count(self._slot)

    def first(self) -> int:
        """As History says."""
        return self._all.first(self._slot)

    def row(self, number: int) -> TickRow:
        """As History says."""
        return self._all.row(self._slot, number)

    def add(self, block: IntBlock) -> None:
        """Take rows with the columns of TickRow, not more than are kept."""
        self._all.append(self._slot, block)
