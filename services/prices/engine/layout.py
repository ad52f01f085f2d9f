"""What the bar engine's state is made of: arrays of records, one row a symbol, a lane (source and symbol), a source, a pending tick.

Nothing here is compiled. The compiled functions are in three files, and none takes a function from another, because numba's cache looks at the time
stamp of one file only: compiled code would keep the old version of a function that was changed elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Records: TypeAlias = NDArray[np.void]
Ints: TypeAlias = NDArray[np.int64]

SECOND_NS = 1_000_000_000
DAY_NS = 86400 * SECOND_NS
INT64_MAX = 2**63 - 1
#: Lengths of bars; the last is the session's, whatever its length.
LENGTHS_NS = (SECOND_NS, 60 * SECOND_NS, 300 * SECOND_NS, 900 * SECOND_NS, 3600 * SECOND_NS, DAY_NS)
#: Number of intervals.
INTERVAL_COUNT = 6
#: No row, no lane.
NONE = -1

#: A tick; `arrival` counts rows as they came, `shift` is the replay's, `kind` a SourceKind.
_TICK = [("ts", "i8"), ("recv", "i8"), ("price", "i8"), ("size", "i8"), ("seq", "i8"), ("arrival", "i8"), ("shift", "i8"), ("source", "i4"), ("kind", "i4")]
_PRICES = [(name, "i8") for name in ("ts_open", "ts_close", "open", "high", "low", "close", "volume", "trade_count", "shift", "recv", "kind")]

#: A row whose second is not final yet. Rows of a symbol are linked by `next`, free slots too. `mark`: the symbol's watermark when it came.
PENDING = np.dtype([*_TICK, ("mark", "i8"), ("next", "i4"), ("symbol", "i4")])
#: A symbol: its list of pending rows; whether the list may be unsorted or hold a row twice; what changed since live bars and snapshots were taken
#: (`dirty_from`: earliest row since then); its watermark; the largest that a source of it had when it ended; its last trade.
SYMBOL = np.dtype(
    [
        *((name, "i4") for name in ("head", "tail", "rows", "lane", "calendar", "disorder", "touched", "live_changed", "snapshot_changed", "traded")),
        ("watermark", "i8"),
        ("ended", "i8"),
        ("dirty_from", "i8"),
        *_TICK,
    ]
)
#: A source's rows of one symbol. Lanes of a symbol are linked by `next`. One that is not open says nothing of time (`max_ts` is NONE); it may be there
#: for its pending rows. `max_seq`: no row pending with this `seq_shift` has a larger one.
LANE = np.dtype([("source", "i4"), ("symbol", "i4"), ("next", "i4"), ("open", "i4"), ("max_ts", "i8"), ("max_seq", "i8"), ("seq_shift", "i8")])
#: A source: its own watermark, 0 = none, and the position of its name among all names.
SOURCE = np.dtype([("asserted", "i8"), ("rank", "i8")])
#: A forming bar; `trade_count` 0 = none, and `ts_close` is that of the one before. The notional is 128 bits in two limbs.
BAR = np.dtype([*_PRICES, ("notional_low", "u8"), ("notional_high", "u8")])
#: How far a symbol's rows are folded into its bars in `State.live`. `slot`: the last such row, NONE = nothing is folded; `end`: of the second it is
#: in, which is not merged into the longer bars yet; `room`: volume that this second may still take; `refused`: rows of it that found no room; `first`,
#: `kept`: the part of its ring in `State.seconds` that counts while something is folded.
LIVE = np.dtype([("slot", "i4"), ("refused", "i4"), ("first", "i4"), ("kept", "i4"), ("end", "i8"), ("room", "i8")])
#: A second that was folded whole: its bar, and the slot of its last row. Nothing is kept of one with refused rows.
SECOND = np.dtype([*_PRICES, ("notional_low", "u8"), ("notional_high", "u8"), ("slot", "i4")])
#: Seconds kept of a symbol, at most: all that are pending, with the usual lateness bound.
SECONDS = 8
#: A bar as it goes out. `interval`: position in LENGTHS_NS.
OUT = np.dtype([("symbol", "i4"), ("interval", "i4"), *_PRICES, ("vwap", "i8")])
#: One row. `free`, `refused`: heads of lists in the pool (rows that would overflow a volume); `needed`: rows of output the next symbol may need.
CONTROL = np.dtype([(name, "i8") for name in ("free", "free_rows", "arrival", "lanes", "touched", "duplicates", "refused", "needed")])


class State(NamedTuple):
    """The state of one partition. bars and live have shape (symbols, INTERVAL_COUNT), seconds (symbols, SECONDS), touched lists symbols to look at,
    folded is LIVE; all as long as symbols.

    live, folded and seconds are no more than a memory: the forming bars as they were shown last, so that the next ones begin there, and the seconds
    that were folded for them, so that they need not be when they are final.
    """

    symbols: Records
    lanes: Records
    sources: Records
    bars: Records
    pending: Records
    control: Records
    touched: NDArray[np.int32]
    live: Records
    folded: Records
    seconds: Records


class Rows(NamedTuple):
    """The columns of a batch, as in TickBatch."""

    instrument: NDArray[np.uint32]
    ts_event: Ints
    ts_recv: Ints
    price: Ints
    size: Ints
    seq: Ints


class Sessions(NamedTuple):
    """As in SessionTable."""

    starts: Ints
    opens: Ints
    closes: Ints
