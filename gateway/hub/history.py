"""The last rows of a series, in columns, each identity once."""

from collections import deque
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.hub.rows import BarRow, EventRow, IndicatorRow, Row, SignalRow

IntBlock = NDArray[np.int64]
FloatBlock = NDArray[np.float64]
#: Makes a row of one line of the columns.
MakeRow = Callable[[list[int]], Row]
RowT = TypeVar("RowT", SignalRow, EventRow)

#: Rows of a new series; doubled until the capacity is reached, so that a quiet series costs little.
_FIRST_ROWS = 64


class History(Protocol):
    """The last rows of one series, numbered from 0 since the start; older ones are forgotten."""

    def count(self) -> int:
        """Rows taken since the start."""
        ...

    def first(self) -> int:
        """Number of the oldest row kept."""
        ...

    def row(self, number: int) -> Row:
        """A row that is kept."""
        ...


class Columns:
    """A ring of rows of integers and, beside them, floats. The first integer is the row's time, ascending."""

    def __init__(self, capacity: int, ints: int, floats: int = 0) -> None:
        self._capacity = capacity
        self._ints: IntBlock = np.zeros((min(_FIRST_ROWS, capacity), ints), np.int64)
        self._floats: FloatBlock = np.zeros((len(self._ints), floats), np.float64)
        self.count = 0

    @property
    def first(self) -> int:
        """Number of the oldest row kept."""
        return max(0, self.count - self._capacity)

    def append(self, ints: IntBlock, floats: FloatBlock | None = None) -> None:
        """Add rows, oldest first; shapes (n, ints) and (n, floats)."""
        if len(ints) > self._capacity:
            self.count += len(ints) - self._capacity
            ints, floats = ints[-self._capacity :], None if floats is None else floats[-self._capacity :]
        if self.count + len(ints) > len(self._ints):
            self._grow(self.count + len(ints))
        begin = self.count % len(self._ints)
        # A slice, for nearly all come one by one, and don't reach the end of the ring.
        at = slice(begin, begin + len(ints)) if begin + len(ints) <= len(self._ints) else np.arange(begin, begin + len(ints)) % len(self._ints)
        self._ints[at] = ints
        if floats is not None:
            self._floats[at] = floats
        self.count += len(ints)

    def ints(self, number: int) -> list[int]:
        """The integers of a row that is kept."""
        line: list[int] = self._ints[number % len(self._ints)].tolist()
        return line

    def floats(self, number: int) -> list[float]:
        """The floats of a row that is kept."""
        line: list[float] = self._floats[number % len(self._floats)].tolist()
        return line

    def has(self, columns: tuple[int, ...], values: tuple[int, ...]) -> bool:
        """Whether a kept row has these values in these columns."""
        kept = self._ints[: min(self.count, len(self._ints))]
        return bool((kept[:, columns] == values).all(axis=1).any())

    def _grow(self, rows: int) -> None:
        size = len(self._ints)
        if rows <= size or size == self._capacity:
            return
        while size < min(rows, self._capacity):
            size = min(2 * size, self._capacity)
        # Before the capacity is reached nothing has wrapped around, so rows stay where they are.
        self._ints = np.resize(self._ints, (size, self._ints.shape[1]))
        self._floats = np.zeros((size, self._floats.shape[1])) if self._floats.shape[1] == 0 else np.resize(self._floats, (size, self._floats.shape[1]))


class Identities:
    """Which (time, revision) a series has had: all that is in the ring, and everything older than it."""

    def __init__(self, columns: Columns, revision_column: int) -> None:
        self._columns = columns
        self._places = (0, revision_column)
        self.newest = -1

    def fresh(self, times: NDArray[np.int64], revisions: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which rows were not seen before; None for all of them, the usual case."""
        if len(times) and times[0] > self.newest and (len(times) == 1 or bool((times[1:] > times[:-1]).all())):
            self.newest = int(times[-1])
            return None
        seen: set[tuple[int, int]] = set()
        return np.array([self._is_fresh(pair, seen) for pair in zip(times.tolist(), revisions.tolist(), strict=True)], np.bool_)

    def _is_fresh(self, pair: tuple[int, int], in_batch: set[tuple[int, int]]) -> bool:
        if pair in in_batch:
            return False
        in_batch.add(pair)
        if pair[0] > self.newest:
            self.newest = pair[0]
            return True
        # What is older than the ring has been seen and forgotten.
        forgotten = self._columns.first > 0 and pair[0] <= self._columns.ints(self._columns.first)[0]
        return not forgotten and not self._columns.has(self._places, pair)


class BarHistory:
    """The last final bars of one series."""

    def __init__(self, capacity: int) -> None:
        self._columns = Columns(capacity, len(BarRow._fields))
        self._identities = Identities(self._columns, BarRow._fields.index("revision"))

    @property
    def newest(self) -> int:
        """Open time of the newest bar; -1 for none."""
        return self._identities.newest

    def count(self) -> int:
        """As History says."""
        return self._columns.count

    def first(self) -> int:
        """As History says."""
        return self._columns.first

    def row(self, number: int) -> BarRow:
        """As History says."""
        return BarRow(*self._columns.ints(number))

    def add(self, block: IntBlock) -> int:
        """Take rows with the columns of BarRow. Returns how many were new."""
        fresh = self._identities.fresh(block[:, 0], block[:, BarRow._fields.index("revision")])
        block = block if fresh is None else block[fresh]
        self._columns.append(block)
        return len(block)


class IndicatorHistory:
    """The last indicator values of one series. When the set of indicators changes, it begins anew."""

    _INTS = 4

    def __init__(self, capacity: int, names: tuple[str, ...]) -> None:
        self.names = names
        self._columns = Columns(capacity, self._INTS, len(names))
        self._identities = Identities(self._columns, 1)

    def count(self) -> int:
        """As History says."""
        return self._columns.count

    def first(self) -> int:
        """As History says."""
        return self._columns.first

    def row(self, number: int) -> IndicatorRow:
        """As History says."""
        ts_open, revision, source_kind, replay_shift = self._columns.ints(number)
        return IndicatorRow(ts_open, revision, source_kind, replay_shift, self.names, tuple(self._columns.floats(number)))

    def add(self, ints: IntBlock, values: FloatBlock) -> int:
        """Take rows: ints has ts_open, revision, source_kind, replay_shift; values has a column for each name. Returns how many were new."""
        fresh = self._identities.fresh(ints[:, 0], ints[:, 1])
        if fresh is not None:
            ints, values = ints[fresh], values[fresh]
        self._columns.append(ints, values)
        return len(ints)


class _FewRows(Generic[RowT]):
    """The last rows of one series as they are, each identity once: for what comes seldom."""

    def __init__(self, capacity: int, identity: Callable[[RowT], Hashable]) -> None:
        self._rows: deque[RowT] = deque(maxlen=capacity)
        self._identity: Callable[[RowT], Hashable] = identity
        self._seen: set[Hashable] = set()
        self._count = 0

    def count(self) -> int:
        """As History says."""
        return self._count

    def first(self) -> int:
        """As History says."""
        return self._count - len(self._rows)

    def row(self, number: int) -> RowT:
        """As History says."""
        return self._rows[number - self.first()]

    def add(self, row: RowT) -> bool:
        """Take a row. Returns whether it was new."""
        identity = self._identity(row)
        if identity in self._seen or self._is_forgotten(row):
            return False
        if len(self._rows) == self._rows.maxlen:
            self._seen.discard(self._identity(self._rows[0]))
        self._rows.append(row)
        self._seen.add(identity)
        self._count += 1
        return True

    def _is_forgotten(self, row: RowT) -> bool:
        return False


class SignalHistory(_FewRows[SignalRow]):
    """The last signals of one series."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, _identity)

    def _is_forgotten(self, row: SignalRow) -> bool:
        # What is not newer than the oldest that is kept has been seen and forgotten.
        return self._count > len(self._rows) and row.ts_open <= self._rows[0].ts_open


class EventHistory(_FewRows[EventRow]):
    """The last events under one name."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, attrgetter("identity"))


def _identity(row: SignalRow) -> tuple[int, int, str]:
    return row.ts_open, row.revision, row.type
