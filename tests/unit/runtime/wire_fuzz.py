"""Damaged records through the codec as plain Python, where an index outside an array is an error. Prints how many were refused. Run by test_wire_codec."""

from __future__ import annotations

import sys

import numpy as np

from services.runtime import wire_kernels
from services.runtime.columns import InstrumentRef, TickColumns, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.wire_codec import BarReader, TickReader

_REFS = tuple(InstrumentRef(f"{letter}.XSIM", 2, 8) for letter in "AB")


def main() -> None:
    """Prints one number."""
    if hasattr(wire_kernels.read, "signatures"):
        raise SystemExit("expected plain functions")
    # Index 0 and not -1, which plain Python takes for the last: so arrays are looked at from their end as well.
    random, refused = np.random.default_rng(5), 0
    ts_event, ts_recv, price, size, seq = np.arange(15).reshape(5, 3)
    columns = (np.array([0, 1, 1], np.uint32), ts_event, ts_recv, price, size, seq)
    whole = encode_ticks(TickColumns("replay:x", 2, _REFS, *columns, watermark=7, source_ended=True))
    ticks, bars = TickReader(), BarReader()
    for _ in range(3000):
        data = bytearray(whole[: random.integers(len(whole) + 1)])
        for _ in range(random.integers(4)):
            if data:
                data[random.integers(len(data))] = random.integers(256)
        bars.read(bytes(data))
        try:
            ticks.decode(bytes(data))
        except BadRecord:
            refused += 1
    sys.stdout.write(f"{refused}\n")


if __name__ == "__main__":
    main()
