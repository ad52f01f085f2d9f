"""Streams of ticks by source: a source ends with the last of its streams, and the streams end with the process."""

import asyncio
from collections.abc import AsyncIterator

from services.prices.errors import IngestStopped
from services.prices.ingest_stream import KIND_NAMES, IngestPorts, IngestResult, IngestSettings, IngestStream, Message, OpenSource
from services.prices.metrics import INGEST_STREAMS, SOURCES_NOT_ENDED
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument, SignalboxError, Unavailable
from services.runtime.logging import get_logger

_log = get_logger("ingest")

#: When the process ends: how long the sources may take to be ended once their streams are. With the producer's own end it is less than a process has.
_ENDING_S = 1.5


class Ingest:
    """Takes streams of ticks."""

    def __init__(self, ports: IngestPorts, clock: Clock, settings: IngestSettings) -> None:
        self._ports, self._clock, self._settings = ports, clock, settings
        self._sources: dict[str, OpenSource] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, messages: AsyncIterator[Message]) -> IngestResult:
        """Takes one stream to its end. Returns when everything is acknowledged.

        Raises InvalidArgument (what was accepted before stays), IngestInterrupted, IngestBacklogged, IngestStopped. A stream that is cancelled or fails
        keeps what was read; its source is ended all the same, so that it holds no bar back.
        """
        stream = IngestStream(self._ports, self._clock, self._settings)
        with INGEST_STREAMS.track_inprogress():
            try:
                await self._until_stopped(stream, messages)
            except BaseException:
                self._end_later(stream)
                raise
        return stream.result

    async def stop(self) -> None:
        """Ends all streams, each with what was accepted of it."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def drain(self) -> None:
        """Waits until the sources of streams that were cut off are ended. Raises Unavailable when that takes too long."""
        if self._endings:
            _, left = await asyncio.wait(set(self._endings), timeout=_ENDING_S)
            if left:
                raise Unavailable("Kafka", f"{len(left)} streams' sources were not ended within {_ENDING_S:g} s")

    async def _until_stopped(self, stream: IngestStream, messages: AsyncIterator[Message]) -> None:
        if self._stopped.done():
            raise IngestStopped(stream.progress)
        whole = asyncio.ensure_future(self._take_whole(stream, messages))
        try:
            either: set[asyncio.Future[None]] = {whole, self._stopped}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not whole.done():
                whole.cancel()
                await asyncio.wait({whole})
        if not whole.cancelled():
            whole.result()
            return
        if not await stream.settle():
            raise IngestStopped(stream.progress)
        self._end_later(stream)

    async def _take_whole(self, stream: IngestStream, messages: AsyncIterator[Message]) -> None:
        await stream.read(messages, self._opened)
        await stream.finish()
        await self._end(stream)

    def _opened(self, name: str, kind: int) -> OpenSource:
        source = self._sources.setdefault(name, OpenSource(kind))
        if source.streams and source.kind != kind:
            raise InvalidArgument("source_kind", KIND_NAMES[kind], f"{KIND_NAMES[source.kind]!r}, as another open stream of {name!r} says")
        source.kind = kind
        source.streams += 1
        return source

    def _end_later(self, stream: IngestStream) -> None:
        task = asyncio.create_task(self._end_cut_off(stream))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _end_cut_off(self, stream: IngestStream) -> None:
        try:
            await stream.flush()
        except SignalboxError as error:
            _log.error("what was read of a stream that was cut off could not be sent", source=stream.source, error=str(error))
        try:
            await self._end(stream)
        except SignalboxError as error:
            SOURCES_NOT_ENDED.inc()
            _log.error("a source could not be ended; it holds bars back until a stream of it ends", source=stream.source, error=str(error))
            self._release(stream)

    async def _end(self, stream: IngestStream) -> None:
        """Tells the partitions that the source has ended, if this was its last open stream. Raises IngestInterrupted, IngestBacklogged."""
        source = self._sources.get(stream.source)
        if source is None or stream.ended:
            return
        if source.streams == 1:
            # A stream that names a source and sends no tick ends what some other process, or a life of this one long ago, has left open.
            told = set(range(self._settings.partitions)) if stream.names_only else set(source.partitions)
            await stream.send_end(told)
            # Another stream of it may have begun meanwhile; it ends them again.
            if source.streams == 1:
                await self._forget(stream.source, source, told)
        self._release(stream)

    async def _forget(self, name: str, source: OpenSource, told: set[int]) -> None:
        kept = source.kept & told
        source.partitions -= told
        source.kept -= told
        for partition in sorted(kept):
            await self._ports.sources.ended(name, partition)

    def _release(self, stream: IngestStream) -> None:
        """A source that could not be ended is kept with its partitions: the next stream of it ends them too."""
        source = self._sources.get(stream.source)
        if source is None or stream.ended:
            return
        stream.ended = True
        source.streams -= 1
        if not source.streams and not source.partitions:
            del self._sources[stream.source]
