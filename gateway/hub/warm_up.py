"""Compiles the hub's kernels, or loads them from numba's cache: seconds the first time."""

import numpy as np

from gateway.hub.forming_rows import FormingRows
from gateway.hub.series import Channel, Group
from gateway.hub.tables import table_of
from services.runtime.columns import INTERVALS, BarColumns, InstrumentRef, encode_bars
from services.runtime.kafka import Record
from services.runtime.topics import LIVE_BARS


def warm_up() -> None:
    """Reads a record of forming bars and writes it as JSON."""
    one = np.ones(1, np.int64)
    none, interval, kind = np.zeros(1, np.uint32), np.full(1, INTERVALS[0], np.uint32), np.ones(1, np.int32)
    ref = InstrumentRef("WARM.XSIM", 0, 0)
    bars = BarColumns((ref,), none, interval, one, one, one, one, one, one, one, one, one, none, kind, np.zeros(1, np.int64), one)
    table = table_of(Record(LIVE_BARS.name, 0, 0, None, encode_bars(bars), [], 0))
    FormingRows(Group(Channel.LIVE_BARS, INTERVALS[0]), table.symbols, table.symbol, table.ints, None).json(1)
