"""From normalised rows to TickBatch records: grouped by partition, stamped, sent in order, with the source's watermark.

Time decides the size of a record at the feed already: what is due within a few milliseconds comes in one `write`, and when there is a backlog
thousands of rows come at once. Rows never wait here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.prices.feeds import metrics
from services.prices.feeds.outbox import Outbox
from services.prices.instruments import Instrument, instrument_of
from services.runtime.clock import Clock
from services.runtime.columns import InstrumentRef, TickColumns, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.partitions import partition_of
from services.runtime.record_spans import sending
from services.runtime.topics import TICKS

Int64Array = NDArray[np.int64]
UInt32Array = NDArray[np.uint32]

#: 41 bytes a row make this 330 kB: large enough that a record's cost does not count, small enough for the broker's memory.
MAX_ROWS = 8_192
#: So often each partition hears how far the source is, whether there were rows or not.
ASSERT_EVERY_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TickRows:
    """Normalised trades of one source, in the order they are to be sent. All columns have shape (n,)."""

    symbols: tuple[str, ...]
    """The symbols of the rows, ticker dot MIC, each once."""
    symbol: UInt32Array
    """Index into `symbols`."""
    ts_event: Int64Array
    """Event time, UTC nanoseconds, shift included."""
    price: Int64Array
    """Fixed point with the instrument's price_digits, > 0."""
    size: Int64Array
    """Fixed point with the instrument's size_digits, > 0."""
    seq: Int64Array
    """The source's own number of the row, > 0; 0 = none."""

    def __len__(self) -> int:
        return len(self.ts_event)

    def take(self, rows: "NDArray[np.intp] | slice") -> "TickRows":
        """Some of the rows; the table of symbols stays."""
        return TickRows(self.symbols, self.symbol[rows], self.ts_event[rows], self.price[rows], self.size[rows], self.seq[rows])


def one_symbol(symbol: str, ts_event: Int64Array, price: Int64Array, size: Int64Array, seq: Int64Array) -> TickRows:
    """Rows of a single symbol. The columns are used as they are, not copied."""
    return TickRows((symbol,), np.zeros(len(ts_event), np.uint32), ts_event, price, size, seq)


class Sequencer:
    """Writes the rows of one source to market.ticks.v1.

    partitions: number of partitions of the topic. source_kind: events.v1.SourceKind. instruments: digits by symbol.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        partitions: int,
        source_kind: int,
        instruments: Callable[[str], Instrument] = instrument_of,
    ) -> None:
        self._outbox, self._clock, self._partitions = outbox, clock, partitions
        self._kind, self._instruments = source_kind, instruments
        self._written: set[int] = set()
        self._watermark = 0
        self._shift = 0
        self._asserted_ns: int | None = None

    @property
    def watermark(self) -> int:
        """The source's promise so far, UTC nanoseconds; 0 = none."""
        return self._watermark

    async def write(self, rows: TickRows, replay_shift: int = 0) -> None:
        """Sends rows in their order. Waits while the broker's queue is full. Raises DeliveryFailed, MalformedSymbol."""
        self._shift = replay_shift
        for partition, part in self._by_partition(rows):
            self._written.add(partition)
            for first in range(0, len(part), MAX_ROWS):
                await self._send(partition, self._columns(part.take(slice(first, first + MAX_ROWS))))

    async def promise(self, watermark: int, *, now: bool = False) -> None:
        """No later row lies below `watermark`, UTC nanoseconds. Written to every partition of this source once a second, or at once."""
        self._watermark = max(self._watermark, watermark)
        if now or self._due():
            await self._assert(ended=False)

    async def end(self) -> None:
        """Says to every partition of this source that it has ended, and waits until all records are acknowledged. Raises DeliveryFailed."""
        await self._assert(ended=True)
        await self._outbox.flush()

    def _due(self) -> bool:
        return self._asserted_ns is None or self._clock.monotonic_ns() - self._asserted_ns >= ASSERT_EVERY_NS

    async def _assert(self, *, ended: bool) -> None:
        for partition in sorted(self._written):
            await self._send(partition, self._assertion(ended))
        self._asserted_ns = self._clock.monotonic_ns()
        metrics.WATERMARK.labels(self._outbox.source).set(self._watermark / 1e9)

    def _by_partition(self, rows: TickRows) -> Iterator[tuple[int, TickRows]]:
        table = np.array([partition_of(symbol, self._partitions) for symbol in rows.symbols], np.uint32)
        if len(rows) == 0 or np.all(table == table[0]):
            yield from [(int(table[0]), rows)] if len(rows) else []
            return
        of_row = table[rows.symbol]
        for partition in np.unique(of_row):
            yield int(partition), rows.take(np.flatnonzero(of_row == partition))

    def _columns(self, rows: TickRows) -> TickColumns:
        used, index = _used_symbols(rows)
        now = self._clock.now_ns()
        return TickColumns(
            source=self._outbox.source,
            source_kind=self._kind,
            instruments=tuple(self._reference(symbol) for symbol in used),
            instrument=index,
            ts_event=rows.ts_event,
            ts_recv=np.full(len(rows), now, np.int64),
            price=rows.price,
            size=rows.size,
            seq=rows.seq,
            replay_shift=self._shift,
            ts_init=now,
        )

    def _reference(self, symbol: str) -> InstrumentRef:
        found = self._instruments(symbol)
        return InstrumentRef(found.symbol, found.price_digits, found.size_digits)

    def _assertion(self, ended: bool) -> TickColumns:
        none, no_index = np.empty(0, np.int64), np.empty(0, np.uint32)
        return TickColumns(
            source=self._outbox.source,
            source_kind=self._kind,
            instruments=(),
            instrument=no_index,
            ts_event=none,
            ts_recv=none,
            price=none,
            size=none,
            seq=none,
            watermark=self._watermark,
            source_ended=ended,
            replay_shift=self._shift,
            ts_init=self._clock.now_ns(),
        )

    async def _send(self, partition: int, columns: TickColumns) -> None:
        source = self._outbox.source
        with sending(TICKS.name, partition, rows=len(columns), symbols=len(columns.instruments)) as traceparent:
            headers = record_headers("TickBatch", f"{source}/{partition}/{_identity(columns)}", traceparent, feed=source)
            await self._outbox.send(TICKS.name, partition, encode_ticks(columns), headers, len(columns))


def _used_symbols(rows: TickRows) -> tuple[tuple[str, ...], UInt32Array]:
    if len(rows.symbols) == 1:
        return rows.symbols, rows.symbol
    used, index = np.unique(rows.symbol, return_inverse=True)
    return tuple(rows.symbols[i] for i in used), index.astype(np.uint32)


def _identity(columns: TickColumns) -> str:
    """Unique among the records of a source in a partition: its first row and time, or when the assertion was made."""
    if len(columns):
        return f"{columns.seq[0]}@{columns.ts_event[0]}"
    return f"{'end' if columns.source_ended else 'watermark'}@{columns.ts_init}"
