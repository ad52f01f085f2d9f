"""One stream of ticks: checked, gathered into columnar batches by partition, sent, and counted once the broker has them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from services.prices.admission import Admitted, Reason, Rejection, SentTicks, SymbolTable, admit
from services.prices.batching import longest_wait_s
from services.prices.errors import IngestBacklogged, IngestInterrupted, IngestProgress, SourceChanged
from services.prices.metrics import BATCH_ROWS, TICKS_ACCEPTED, TICKS_REJECTED
from services.prices.ports import OpenSources, RejectedTicks, TickSink
from services.runtime.clock import Clock
from services.runtime.columns import TickColumns
from services.runtime.errors import InvalidArgument, SignalboxError, Unavailable
from services.runtime.logging import get_logger

_log = get_logger("ingest")

#: Rejections that are told one by one; all are counted.
MAX_REJECTIONS = 1_000
#: A source that is not a replay cannot promise the future.
_MAX_WATERMARK_AHEAD_NS = 5 * 10**9
#: When the process ends: how long what was read of a stream may take to be acknowledged, before its client is told how far it came.
_STOPPING_S = 2.0
_LIVE, _REPLAY = 1, 2
#: Names of the kinds of sources.
KIND_NAMES = {1: "live", 2: "replay", 3: "synthetic"}
_Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Limits of all streams."""

    partitions: int
    flush_s: float
    """Longest wait of a tick for others, seconds."""
    batch_rows: int
    """Rows of one partition that are sent at once."""
    ack_timeout_s: float
    """Longest wait for room in the queue, seconds."""


@dataclass(frozen=True, slots=True)
class IngestPorts:
    """What streams are written to."""

    sink: TickSink
    sources: OpenSources
    rejected: RejectedTicks


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream. source, source_kind: empty and 0 when not given. watermark: UTC ns, 0 = none."""

    source: str
    source_kind: int
    ticks: SentTicks
    watermark: int


@dataclass(slots=True)
class IngestResult:
    """What became of a stream."""

    accepted: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    """The first 1,000, in order; `index` counts from the stream's first tick."""


@dataclass(slots=True)
class OpenSource:
    """A source over all streams of it that are open: it ends when the last of them does."""

    kind: int
    streams: int = 0
    partitions: set[int] = field(default_factory=set)
    """Those it writes to."""
    kept: set[int] = field(default_factory=set)
    """Those of which it is kept, beyond this process, that the source has to be ended there."""


#: Registers one more stream of a source (name, kind); returns the source, shared by its streams.
Opened = Callable[[str, int], OpenSource]


class _Rows:
    """Ticks of one partition that wait to be sent."""

    __slots__ = ("count", "first", "parts", "watermark_sent")

    def __init__(self) -> None:
        self.parts: list[tuple[Admitted, int]] = []
        self.count = 0
        #: Position in the stream of the message that the first of them came in.
        self.first = 0
        self.watermark_sent = 0

    def add(self, rows: Admitted, ts_recv: int, position: int) -> None:
        if not self.parts:
            self.first = position
        self.parts.append((rows, ts_recv))
        self.count += len(rows)

    def take(self) -> list[tuple[Admitted, int]]:
        parts, self.parts, self.count = self.parts, [], 0
        return parts


class IngestStream:
    """One open stream, in this order: `read`, `finish`, `send_end` if it is the source's last; `settle` when the process ends meanwhile."""

    def __init__(self, ports: IngestPorts, clock: Clock, settings: IngestSettings) -> None:
        self._ports, self._clock, self._settings = ports, clock, settings
        self._table = SymbolTable(settings.partitions)
        self._rows: dict[int, _Rows] = {}
        self._shared = OpenSource(0)
        self._watermark = 0
        self._oldest_ns: int | None = None
        self._seen = 0
        # Batches, with the position of the first tick that each may hold; None for those without ticks.
        self._unacknowledged: dict[asyncio.Future[int], int | None] = {}
        self._lost: int | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.source = ""
        self.kind = 0
        self.ended = False
        self.complete = False
        """Whether the client has finished."""
        self.result = IngestResult()

    @property
    def names_only(self) -> bool:
        """Whether the client has finished, and sent no tick at all."""
        return self.complete and not self._seen

    @property
    def progress(self) -> IngestProgress:
        """What is known of the stream now."""
        open_at = [rows.first for rows in self._rows.values() if rows.count]
        open_at += [first for first in self._unacknowledged.values() if first is not None]
        if self._lost is not None:
            open_at.append(self._lost)
        return IngestProgress(self.result.accepted, self.result.rejected, min([self._seen, *open_at]))

    async def read(self, messages: AsyncIterator[Message], opened: Opened) -> None:
        """Reads to the end of the stream; what waits longer than the flush time is sent meanwhile."""
        while True:
            pending = asyncio.ensure_future(anext(messages, None))
            try:
                await self._flush_until(pending)
            except BaseException:
                pending.cancel()
                raise
            message = pending.result()
            if message is None:
                self.complete = True
                return
            self._identify(message, opened)
            await self._take(message)

    async def _flush_until(self, pending: "asyncio.Future[Message | None]") -> None:
        """Returns when a message is there. Raises what went wrong with a batch sent before."""
        waited: set[asyncio.Future[object]] = {pending, self._failed}  # type: ignore[arg-type]
        while True:
            await asyncio.wait(waited, timeout=self._due_in_s(), return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            if self._due_in_s() == 0.0:
                await self.flush()
            if pending.done():
                return

    def _due_in_s(self) -> float | None:
        if self._oldest_ns is None:
            return None
        waiting = [rows.count for rows in self._rows.values() if rows.count]
        longest_s = longest_wait_s(self._settings.flush_s, sum(waiting), len(waiting))
        return max(0.0, longest_s - (self._clock.monotonic_ns() - self._oldest_ns) / 1e9)

    def _identify(self, message: Message, opened: Opened) -> None:
        if not self.source:
            if not message.source:
                raise InvalidArgument("source", "", "a name in the first message")
            kind = message.source_kind or _LIVE
            self._shared = opened(message.source, kind)
            self.source, self.kind = message.source, kind
        elif message.source not in {"", self.source}:
            raise SourceChanged("source", self.source, message.source)
        elif message.source_kind not in {0, self.kind}:
            raise SourceChanged("source_kind", KIND_NAMES[self.kind], KIND_NAMES[message.source_kind])

    async def _take(self, message: Message) -> None:
        now_ns = self._clock.now_ns()
        self._assert_watermark(message.watermark, now_ns)
        if len(message.ticks):
            taken, rejections = admit(message.ticks, self._table, now_ns, replay=self.kind == _REPLAY)
            self._note(rejections)
            if rejections:
                await self._publish(message.ticks, rejections)
            self._distribute(taken, now_ns)
            self._seen += len(message.ticks)
        for partition, rows in self._rows.items():
            if rows.count >= self._settings.batch_rows:
                await self._send_rows(partition, rows)

    def _assert_watermark(self, watermark: int, now_ns: int) -> None:
        if watermark > now_ns + _MAX_WATERMARK_AHEAD_NS and self.kind != _REPLAY:
            raise InvalidArgument("watermark", watermark, f"at most {_MAX_WATERMARK_AHEAD_NS // 10**9} s ahead of the server's clock ({now_ns} ns)")
        if watermark > self._watermark:
            self._watermark = watermark
            self._begin_wait()

    def _begin_wait(self) -> None:
        if self._oldest_ns is None:
            self._oldest_ns = self._clock.monotonic_ns()

    def _note(self, rejections: list[Rejection]) -> None:
        room = MAX_REJECTIONS - len(self.result.rejections)
        self.result.rejected += len(rejections)
        self.result.rejections += [Rejection(self._seen + item.index, item.symbol, item.reason, item.detail) for item in rejections[: max(0, room)]]
        for item in rejections:
            TICKS_REJECTED.labels(Reason(item.reason).name.lower()).inc()

    async def _publish(self, ticks: SentTicks, rejections: list[Rejection]) -> None:
        with self._failing(None):
            async with asyncio.timeout(self._settings.ack_timeout_s):
                await self._ports.rejected.send(self.source, self._seen, ticks, rejections)

    def _distribute(self, ticks: Admitted, now_ns: int) -> None:
        if not len(ticks):
            return
        self._begin_wait()
        where = self._table.partition[ticks.instrument]
        first = int(where[0])
        if (where == first).all():
            self._of(first).add(ticks, now_ns, self._seen)
            return
        for partition in np.flatnonzero(np.bincount(where)):
            mask = where == partition
            part = Admitted(ticks.instrument[mask], ticks.ts_event[mask], ticks.price[mask], ticks.size[mask], ticks.seq[mask])
            self._of(int(partition)).add(part, now_ns, self._seen)

    def _of(self, partition: int) -> _Rows:
        self._shared.partitions.add(partition)
        return self._rows.setdefault(partition, _Rows())

    async def flush(self) -> None:
        """Sends what waits: rows, and the watermark to every partition that the source writes to."""
        self._oldest_ns = None
        for partition in sorted(self._shared.partitions):
            rows = self._rows.setdefault(partition, _Rows())
            if rows.count or rows.watermark_sent < self._watermark:
                await self._send_rows(partition, rows)

    async def finish(self) -> None:
        """Sends what waits and returns when everything is acknowledged."""
        await self.flush()
        if self._unacknowledged:
            await asyncio.wait(self._unacknowledged)
        if self._failed.done():
            self._failed.result()

    async def settle(self) -> bool:
        """Sends what was read, waits for the acknowledgements, both not for long, and returns whether that was all there was to do."""
        if self._lost is None:
            # Of a batch that is lost already the client learns; what came after it should not overtake it.
            try:
                async with asyncio.timeout(_STOPPING_S):
                    await self.finish()
            except (TimeoutError, SignalboxError) as error:
                _log.warning("a stream was stopped before all of it was acknowledged", source=self.source, progress=str(self.progress), error=repr(error))
        return self.complete and self.progress.settled == self._seen

    async def _send_rows(self, partition: int, rows: _Rows) -> None:
        first, parts = rows.first if rows.count else None, rows.take()
        rows.watermark_sent = self._watermark
        batch = self._batch(parts)
        await self._keep_open(partition, first)
        future = await self._send(partition, batch, first)
        self._unacknowledged[future] = first
        future.add_done_callback(partial(self._acknowledged, first, len(batch)))

    async def _keep_open(self, partition: int, first: int | None) -> None:
        """Before the first batch for a partition: after a kill nobody else would know that the source is to be ended there."""
        if partition in self._shared.kept:
            return
        with self._failing(first):
            async with asyncio.timeout(self._settings.ack_timeout_s):
                await (await self._ports.sources.opened(self.source, self.kind, partition))
        self._shared.kept.add(partition)

    def _lose(self, first: int | None) -> None:
        if first is not None:
            self._lost = first if self._lost is None else min(first, self._lost)

    async def _send(self, partition: int, batch: TickColumns, first: int | None = None) -> "asyncio.Future[int]":
        BATCH_ROWS.observe(len(batch))
        with self._failing(first):
            async with asyncio.timeout(self._settings.ack_timeout_s):
                return await self._ports.sink.send(partition, batch)

    @contextmanager
    def _failing(self, first: int | None) -> Iterator[None]:
        """What goes wrong within is told with how far the stream came. first: position of the first tick that is lost then, if any is."""
        try:
            yield
        except TimeoutError as error:
            self._lose(first)
            raise IngestBacklogged(self.progress, self._settings.ack_timeout_s) from error
        except Unavailable as error:
            self._lose(first)
            raise IngestInterrupted(self.progress, str(error)) from error
        except asyncio.CancelledError:
            self._lose(first)
            raise

    async def send_end(self, partitions: set[int]) -> None:
        """Tells the partitions that the source has ended. Returns when all of them know."""
        futures = [await self._send(partition, self._batch([], ended=True)) for partition in sorted(partitions)]
        try:
            await asyncio.gather(*futures)
        except Unavailable as error:
            raise IngestInterrupted(self.progress, str(error)) from error

    def _batch(self, parts: list[tuple[Admitted, int]], *, ended: bool = False) -> TickColumns:
        number = _joined([rows.instrument for rows, _ in parts])
        used = np.flatnonzero(np.bincount(number)) if len(number) else number
        local = np.zeros(len(self._table), np.uint32)
        local[used] = np.arange(len(used), dtype=np.uint32)
        return TickColumns(
            source=self.source,
            source_kind=self.kind,
            instruments=tuple([self._table.instruments[index] for index in used]),
            instrument=local[number],
            ts_event=_joined([rows.ts_event for rows, _ in parts]),
            ts_recv=_joined([np.full(len(rows), ts_recv, np.int64) for rows, ts_recv in parts]),
            price=_joined([rows.price for rows, _ in parts]),
            size=_joined([rows.size for rows, _ in parts]),
            seq=_joined([rows.seq for rows, _ in parts]),
            watermark=self._watermark,
            source_ended=ended,
            ts_init=self._clock.now_ns(),
        )

    def _acknowledged(self, first: int | None, rows: int, future: "asyncio.Future[int]") -> None:
        self._unacknowledged.pop(future, None)
        error = future.exception()
        if error is None:
            self.result.accepted += rows
            TICKS_ACCEPTED.labels(KIND_NAMES[self.kind]).inc(rows)
            return
        self._lose(first)
        if not self._failed.done():
            self._failed.set_exception(IngestInterrupted(self.progress, str(error)))
            # Whoever reads the stream raises it; after a cancellation nobody does, and asyncio would complain.
            self._failed.exception()


def _joined(columns: list[_Column]) -> _Column:
    if not columns:
        return np.empty(0, np.int64)
    return columns[0] if len(columns) == 1 else np.concatenate(columns)
