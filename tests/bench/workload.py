"""Real trades of any number of symbols, as columns, as batches and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from services.prices.feeds.es_file import load, locate
from services.runtime.columns import InstrumentRef, TickColumns, encode_ticks
from services.runtime.partitions import partition_of

PRICE_DIGITS = 2
SIZE_DIGITS = 0
#: Events after the last trade, so that every bar becomes final.
END_NS = 2 * 86_400 * 1_000_000_000
SOURCE = "replay:bench"
REPLAY = 2


def symbol_names(symbols: int) -> tuple[str, ...]:
    """The symbols' names."""
    return tuple(f"S{number:05}.XSIM" for number in range(symbols))


def trades(ticks: int, symbols: int) -> TickColumns:
    """`ticks` E-mini trades, `symbols` symbols: each gets a run of consecutive trades, and all runs begin at the same time.

    So bursts, equal times and quiet seconds are as they were traded. (Dealing the trades out in turn would make nearly every trade a one-second bar.)
    Where the file ends it begins again; give numbers that let no run cross its end.
    """
    es = load(locate(), PRICE_DIGITS, SIZE_DIGITS)
    row = np.arange(ticks) % len(es.ts_event)
    symbol = (np.arange(ticks) * symbols // ticks).astype(np.uint32)
    first = np.searchsorted(symbol, np.arange(symbols))
    ts_event = es.ts_event[row] - es.ts_event[row[first]][symbol] + es.ts_event[0]
    if (np.diff(ts_event)[np.diff(symbol) == 0] < 0).any():
        raise ValueError(f"{ticks} ticks of {symbols} symbols: a symbol's run crosses the end of the file")
    order = np.argsort(ts_event, kind="stable")
    return TickColumns(
        source=SOURCE,
        source_kind=REPLAY,
        instruments=tuple(InstrumentRef(name, PRICE_DIGITS, SIZE_DIGITS) for name in symbol_names(symbols)),
        instrument=symbol[order],
        ts_event=ts_event[order],
        ts_recv=ts_event[order],
        price=es.price[row][order],
        size=es.size[row][order],
        seq=order.astype(np.int64) + 1,
    )


def batches(ticks: TickColumns, rows: int, partitions: int) -> Iterator[tuple[int, bytes]]:
    """Partition and value of each record of market.ticks.v1: full batches of `rows`, then the source's end."""
    table = np.array([partition_of(ref.symbol, partitions) for ref in ticks.instruments])
    place = table[ticks.instrument]
    parts = {partition: ticks.take(place == partition) for partition in np.unique(place).tolist()}
    # In turns, as a feed would send them, not one partition after the other.
    longest = max(len(part) for part in parts.values())
    for first in range(0, longest, rows):
        for partition, part in parts.items():
            if first < len(part):
                yield partition, encode_ticks(part.take(np.arange(first, min(first + rows, len(part)))))
    end = int(ticks.ts_event[-1]) + END_NS
    for partition in parts:
        yield partition, encode_ticks(_assertion(ticks, end))


def _assertion(ticks: TickColumns, watermark: int) -> TickColumns:
    none = np.zeros(0, np.int64)
    return TickColumns(ticks.source, ticks.source_kind, (), none.astype(np.uint32), none, none, none, none, none, watermark=watermark)


def json_records(ticks: TickColumns, partitions: int) -> Iterator[tuple[int, bytes]]:
    """Partition and value of each record, one tick a record, as people usually do it."""
    names = [ref.symbol for ref in ticks.instruments]
    table = [partition_of(name, partitions) for name in names]
    columns = zip(ticks.instrument.tolist(), ticks.ts_event.tolist(), ticks.price.tolist(), ticks.size.tolist(), strict=True)
    for index, ts_event, price, size in columns:
        yield table[index], orjson.dumps({"symbol": names[index], "ts": ts_event, "price": price / 100, "size": size})
