"""Ticks through both processors; prints whether the kernels are compiled and a hash of all outputs and states. Run by test_plain_engine."""

from __future__ import annotations

import hashlib

import numpy as np

from services.analysis.stream import AnalysisProcessor
from services.prices.engine import folding
from services.prices.sessions import SessionTable
from services.prices.stream import PricesProcessor
from services.runtime.columns import InstrumentRef, TickColumns, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.stream.records import InputRecord
from services.runtime.topics import BARS, TICKS

# After the engines: numba looks at its switch when it is imported.
from numba.core.dispatcher import Dispatcher  # isort: skip

_SECOND = 1_000_000_000
_REFS = tuple(InstrumentRef(symbol, 2, 8) for symbol in ("AA.XSIM", "BB.XSIM"))


def batches(rows: int, size: int) -> list[TickColumns]:
    """A walk with rows out of order, rows twice, sizes that need 128 bits; each batch is of one of two sources; the last one ends both."""
    random = np.random.default_rng(7)
    ts = 1_400_000_000 * _SECOND + np.sort(random.integers(0, rows * _SECOND // 4, rows)) - random.integers(0, _SECOND, rows)
    price = 6_000_000 + np.cumsum(random.integers(-300, 301, rows))
    volume, symbol = random.integers(1, 3_000_000_000_000, rows), random.integers(0, 2, rows).astype(np.uint32)
    seq = np.arange(1, rows + 1) - random.integers(0, 2, rows)
    found = []
    for start in range(0, rows, size):
        part = slice(start, start + size)
        columns = (symbol[part], ts[part], ts[part], price[part], volume[part], seq[part])
        found.append(TickColumns(f"replay:{start // size % 2}", 2, _REFS, *columns))
    none = np.empty(0, np.int64)
    ends = [TickColumns(f"replay:{n}", 2, (), none.astype(np.uint32), none, none, none, none, none, int(ts.max()), True) for n in (0, 1)]
    return found + ends


def main() -> None:
    """Prints one line."""
    prices, analysis, digest = PricesProcessor(0, 1, SessionTable.utc_only(), 2 * _SECOND, 1), AnalysisProcessor(0), hashlib.sha256()
    bars = rows = 0
    for offset, ticks in enumerate(batches(3000, 300)):
        outputs = prices.process(InputRecord(TICKS.name, 0, offset, encode_ticks(ticks), record_headers(TICKS.message, "x")))
        outputs += prices.live(offset * _SECOND)
        for output in list(outputs):
            if output.topic == BARS.name:
                outputs += analysis.process(InputRecord(BARS.name, 0, bars, output.value, output.headers))
                bars += 1
        for output in outputs:
            digest.update(repr(output).encode())
            rows += 1
    for state in (prices.freeze().pack(), analysis.freeze().pack()):
        digest.update(state)
    print("compiled" if isinstance(folding.advance, Dispatcher) else "plain", rows, digest.hexdigest())


if __name__ == "__main__":
    main()
