"""The columnar records of the stream, by compiled code: the same columns and bytes as services.runtime.columns, several times faster for small records.

For the stream workers and the gateway: who imports this loads numba. Records that the compiled reader does not take for plain are left to `columns`, which also
says what is wrong with them; with SIGNALBOX_ENGINE=plain all of them are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from signalbox.events.v1.analysis_batch_pb2 import IndicatorBatch
from signalbox.events.v1.bar_batch_pb2 import BarBatch
from signalbox.events.v1.tick_batch_pb2 import TickBatch

from services.runtime import wire_kernels as kernels
from services.runtime.columns import INTERVALS, MAX_SOURCE, WEEK_NS, TickColumns, decode_ticks, read_instruments
from services.runtime.engine_choice import PLAIN
from services.runtime.timestamps import MAX_TIME_NS
from services.runtime.wire import Memory

Ints = NDArray[np.int64]
Smalls = NDArray[np.uint32]

_ANY = (-(2**63), 2**63 - 1)
_COUNT = (0, 2**63 - 1)
_COUNT_OR_UNKNOWN = (-1, 2**63 - 1)
_TIME = (0, MAX_TIME_NS)
_INDEX = (0, 2**32 - 1)
_KIND = (1, 3)

#: The wide columns of bars in their order here, and the least and largest number of each.
BAR_WIDE = {
    "ts_open": _TIME,
    "ts_close": _TIME,
    "open": _COUNT,
    "high": _COUNT,
    "low": _COUNT,
    "close": _COUNT,
    "volume": _COUNT,
    "vwap": _COUNT_OR_UNKNOWN,
    "trade_count": _COUNT_OR_UNKNOWN,
    "replay_shift": _ANY,
}
#: The small columns of bars.
BAR_SMALL = {"instrument": _INDEX, "interval": (INTERVALS[0], INTERVALS[-1]), "revision": _INDEX, "source_kind": _KIND}
_TICK_WIDE = {"ts_event": _ANY, "ts_recv": _ANY, "price": _ANY, "size": _ANY, "seq": _COUNT}
_TICK_SMALL = {"instrument": _INDEX}
_TICK_SCALARS = {
    "source": kernels.STRING,
    "source_kind": kernels.NUMBER,
    "watermark": kernels.FIXED,
    "source_ended": kernels.NUMBER,
    "replay_shift": kernels.FIXED,
    "ts_init": kernels.FIXED,
}
#: Entries of a table that the compiled reader takes.
_MOST_ENTRIES = 16_384
_SOURCES: Memory[bytes, str] = Memory(lambda data: data.decode())


class _Reader:
    """Reads messages of one type whose table is `instruments`. Not for several threads at once."""

    def __init__(self, message: type[Message], wide: dict[str, tuple[int, int]], small: dict[str, tuple[int, int]], scalars: dict[str, int]) -> None:
        fields = message.DESCRIPTOR.fields_by_name
        self._plan = np.zeros((max(field.number for field in fields.values()) + 1, 2), np.int64)
        kinds = {"instruments": (kernels.ENTRY, 0)}
        kinds |= {name: (kernels.WIDE, place) for place, name in enumerate(wide)} | {name: (kernels.SMALL, place) for place, name in enumerate(small)}
        kinds |= {name: (kind, place) for place, (name, kind) in enumerate(scalars.items())}
        for name, planned in kinds.items():
            self._plan[fields[name].number] = planned
        self._limits = np.array(list(wide.values()), np.int64), np.array(list(small.values()), np.int64)
        self._columns = len(wide), len(small)
        self._row_octets = 8 * len(wide) + len(small)
        self._entries = np.empty((_MOST_ENTRIES, 2), np.int64)
        self._scalars = np.zeros((max(1, len(scalars)), 2), np.int64)

    def read(self, data: bytes) -> tuple[int, list[bytes], Ints, Smalls, Ints] | None:
        """Rows, entries of the table, wide columns, small columns (both with room for more rows), scalars; None for a record that is not plain."""
        # Rows beyond this number would take more octets than there are.
        room = len(data) // self._row_octets + 1
        wide, small = np.empty((self._columns[0], room), np.int64), np.empty((self._columns[1], room), np.uint32)
        octets = np.frombuffer(data, np.uint8)
        rows, count = kernels.read(octets, self._plan, *self._limits, wide, small, self._entries, self._scalars)
        if rows == kernels.NOT_PLAIN:
            return None
        return rows, [data[begin:end] for begin, end in self._entries[:count].tolist()], wide, small, self._scalars


class TickReader:
    """`decode_ticks` for one thread."""

    def __init__(self) -> None:
        self._reader = _Reader(TickBatch, _TICK_WIDE, _TICK_SMALL, _TICK_SCALARS)

    def decode(self, data: bytes) -> TickColumns:
        """As services.runtime.columns.decode_ticks. Raises BadRecord."""
        return (None if PLAIN else self._decode(data)) or decode_ticks(data)

    def _decode(self, data: bytes) -> TickColumns | None:
        found = self._reader.read(data)
        if found is None:
            return None
        rows, entries, wide, small, scalars = found
        (begin, end), (kind, _), (watermark, _), (ended, _), (shift, _), (ts_init, _) = scalars.tolist()
        usable = 0 < end - begin <= MAX_SOURCE and 1 <= kind <= 3 and ended <= 1
        usable = usable and 0 <= watermark < MAX_TIME_NS and abs(shift) < MAX_TIME_NS and not shift % WEEK_NS
        instruments = read_instruments(entries) if usable else ()
        if not usable or len({ref.symbol for ref in instruments}) < len(entries):
            return None
        try:
            source = _SOURCES[data[begin:end]]
        except UnicodeDecodeError:
            return None
        ts_event, ts_recv, price, size, seq = (column[:rows] for column in wide)
        columns = (small[0, :rows], ts_event, ts_recv, price, size, seq)
        return TickColumns(source, kind, instruments, *columns, watermark=watermark, source_ended=bool(ended), replay_shift=shift, ts_init=ts_init)


@dataclass(frozen=True, slots=True)
class BarRecord:
    """Bars as they were read. wide, small: columns in the order of BAR_WIDE (of forming bars then ts_recv) and BAR_SMALL; the first `rows` count."""

    rows: int
    entries: list[bytes]
    """Serialised instruments; not looked at yet."""
    wide: Ints
    small: Smalls


class BarReader:
    """Reads final bars, or forming ones, for one thread."""

    def __init__(self, *, forming: bool = False) -> None:
        # Of final bars without ts_recv: a record that has it is not plain, nor one of final bars.
        self._reader = _Reader(BarBatch, BAR_WIDE | {"ts_recv": _ANY} if forming else BAR_WIDE, BAR_SMALL, {})

    def read(self, data: bytes) -> BarRecord | None:
        """None for a record that `decode_bars` has to look at. It takes any other with intervals of INTERVALS, and instruments as entries, each once."""
        found = self._reader.read(data)
        if found is None:
            return None
        rows, entries, wide, small, _ = found
        return BarRecord(rows, entries, wide, small)


def _plan(message: type[Message], names: Sequence[str], wide: Sequence[str], small: Sequence[str]) -> Ints:
    """Of `kernels.write`: the fields in this order; what is neither wide nor small are values."""
    rows = []
    for name in names:
        kind, place = (kernels.WIDE, wide.index(name)) if name in wide else (kernels.SMALL, small.index(name)) if name in small else (kernels.VALUES, 0)
        rows.append((message.DESCRIPTOR.fields_by_name[name].number << 3 | 2, kind, place))
    return np.array(rows, np.int64)


_BAR_WIDE, _BAR_SMALL = (*BAR_WIDE, "ts_recv"), tuple(BAR_SMALL)
_FINAL = ("instrument", "interval", *BAR_WIDE, "revision", "source_kind")
#: As encode_bars orders them. The wide columns are those of BAR_WIDE and ts_recv, the small ones those of BAR_SMALL.
FINAL_BARS = _plan(BarBatch, _FINAL, _BAR_WIDE, _BAR_SMALL)
LIVE_BARS = _plan(BarBatch, (*_FINAL, "ts_recv"), _BAR_WIDE, _BAR_SMALL)
#: As encode_indicators orders them, and the columns.
INDICATOR_WIDE = ("ts_open", "origin", "replay_shift")
INDICATOR_SMALL = ("symbol", "interval", "revision", "source_kind")
INDICATORS = _plan(
    IndicatorBatch, ("symbol", "interval", "ts_open", "revision", "source_kind", "origin", "replay_shift", "values"), INDICATOR_WIDE, INDICATOR_SMALL
)
_NO_VALUES = np.empty(0, np.int64)


class ColumnWriter:
    """Columns in wire format, for one thread."""

    def __init__(self) -> None:
        self._out = np.empty(1 << 16, np.uint8)

    def write(self, plan: Ints, rows: int, wide: Ints, small: Smalls, values: Ints = _NO_VALUES) -> bytes:
        """The columns that `plan` names, packed; the table comes before them. values: the bits of float64, one row after the other."""
        # A field has a tag and a length of at most ten octets together, a small number five.
        most = 10 * len(plan) + rows * (8 * len(wide) + 5 * len(small)) + 8 * len(values)
        if most > len(self._out):
            self._out = np.empty(2 * most, np.uint8)
        length = kernels.write(plan, rows, wide, small, values, self._out)
        return self._out[:length].tobytes()
