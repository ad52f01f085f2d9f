"""The topics that the hub lives from."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from itertools import groupby

from gateway.hub.blocks import Block, blocks_of, blocks_of_backlog
from gateway.hub.events import TOPICS as EVENTS
from gateway.hub.events import Event, events_of
from gateway.hub.handover import Handover
from gateway.hub.series import Channel
from gateway.hub.tables import Table, table_of
from gateway.hub.tick_tables import table_of_ticks
from gateway.metrics import BAD_RECORDS
from services.runtime.clock import Clock
from services.runtime.errors import BadRecord
from services.runtime.headers import check_schema
from services.runtime.kafka import Record, TopicReader, tail_start
from services.runtime.logging import get_logger
from services.runtime.quiet import until_quiet_ns
from services.runtime.topics import BARS, INDICATORS, LIVE_BARS, SIGNALS, TICKS

_log = get_logger("hub")

#: Records of each partition of what is not kept as history from its beginning: enough for some ticks of each symbol.
_TAIL_RECORDS = 200

#: What is computed from final bars.
_DERIVED = (INDICATORS.name, SIGNALS.name)
_DERIVED_CHANNELS = (Channel.INDICATORS, Channel.SIGNALS)
_LIVE = (LIVE_BARS.name, TICKS.name)
#: Ticks come all the time, and what is final for all symbols within some milliseconds.
_GATHER_MS = 10
#: Between two looks at what was read: the partitions' records come together, and a thread that wakes for each of them takes the loop's time.
_LIVE_PAUSE_S = 0.002
#: The same while nobody wants ticks.
_UNWANTED_PAUSE_S = 0.05
#: The same while nobody wants what is derived, of which several rows of a series cost as much as one; and between two looks whether somebody does.
_UNWANTED_DERIVED_PAUSE_S, _LOOK_S = 2.0, 0.1
_SCHEMAS = {topic.name: topic.message.encode() for topic in (BARS, INDICATORS, SIGNALS, LIVE_BARS, TICKS)}
#: Of the history, what can be decoded many records at a time.
_TOGETHER = (BARS.name, INDICATORS.name)


class Source:
    """Reads the topics into the hub: final rows from the beginning of what is kept; ticks, forming bars and events from near the end.

    on_failure: called from a thread with what ended a reader. wants: whether any client wants any of these channels, asked from a thread.
    """

    def __init__(
        self,
        bootstrap: str,
        take: Callable[[Block | Table | Event], None],
        on_failure: Callable[[BaseException], None],
        wants: Callable[[Sequence[Channel]], bool],
        clock: Clock,
    ) -> None:
        self._bootstrap = bootstrap
        self._wants = wants
        self._on_failure = on_failure
        self._clock = clock
        self._handover = Handover(asyncio.get_running_loop(), take)
        self._history = (
            TopicReader(bootstrap, (BARS.name,), self._on_records, on_failure=on_failure, gather_ms=_GATHER_MS),
            TopicReader(bootstrap, _DERIVED, self._on_derived, on_failure=on_failure, gather_ms=_GATHER_MS),
        )
        self._live: tuple[TopicReader, ...] = ()
        self._stopping = threading.Event()
        self._loaded = False

    async def start(self) -> None:
        """Begin to read; returns when everything that was there has been taken over. Raises Unavailable, ReaderFailed."""
        start = await asyncio.to_thread(self._tails)
        await self._read(self._history)
        # Only now: a forming bar is told from a final one by what is final.
        forming = TopicReader(self._bootstrap, (LIVE_BARS.name, *EVENTS), self._on_live, start=start, on_failure=self._on_failure)
        ticks = TopicReader(self._bootstrap, (TICKS.name,), self._on_ticks, start=start, on_failure=self._on_failure, gather_ms=_GATHER_MS)
        self._live = (forming, ticks)
        await self._read(self._live)
        self._loaded = True

    def check_ready(self) -> str | None:
        """For OpsServer: whether everything is read, and reading goes on."""
        whys = (reader.check_ready() for reader in (*self._history, *self._live))
        return next(filter(None, whys), None if self._loaded else "rows are still being taken over")

    def check_alive(self) -> str | None:
        """For OpsServer: whether the readers run."""
        return next(filter(None, (reader.check_alive() for reader in (*self._history, *self._live))), None)

    async def stop(self) -> None:
        """Stop reading."""
        self._stopping.set()
        self._handover.close()
        for reader in (*self._history, *self._live):
            await asyncio.to_thread(reader.stop)

    async def _read(self, readers: Sequence[TopicReader]) -> None:
        """Returns when what was there is taken over."""
        for reader in readers:
            reader.start()
        for reader in readers:
            await reader.wait_caught_up()
        while self._handover.waiting():
            await self._clock.sleep(0.01)

    def _tails(self) -> dict[tuple[str, int], int]:
        return {place: offset for topic in (*_LIVE, *EVENTS) for place, offset in tail_start(self._bootstrap, topic, _TAIL_RECORDS).items()}

    def _on_live(self, records: list[Record]) -> None:
        self._on_records(records)
        self._stopping.wait(_LIVE_PAUSE_S)

    def _on_ticks(self, records: list[Record]) -> None:
        wanted = self._wants((Channel.TICKS,))
        self._put(_rows_of(records) if wanted else _rows_of_unwanted(records))
        self._stopping.wait(_LIVE_PAUSE_S if wanted else _UNWANTED_PAUSE_S)

    def _on_derived(self, records: list[Record]) -> None:
        """While nobody wants it, it is taken together, and when there is time in the second: it comes right after the bars that somebody waits for."""
        if not self._loaded or self._wants(_DERIVED_CHANNELS):
            self._on_records(records)
            return
        self._put(_rows_of_backlog(records))
        until = self._clock.now_ns() + int(_UNWANTED_DERIVED_PAUSE_S * 1e9)
        until += until_quiet_ns(until)
        while self._clock.now_ns() < until and not self._wants(_DERIVED_CHANNELS) and not self._stopping.wait(_LOOK_S):
            pass

    def _on_records(self, records: list[Record]) -> None:
        self._put(_rows_of(records) if self._loaded else _rows_of_backlog(records))

    def _put(self, rows: Sequence[Block | Table | Event]) -> None:
        if rows:
            self._handover.put(rows)


def _rows_of_backlog(records: list[Record]) -> list[Block | Table | Event]:
    """As _rows_of, at a tenth of the cost. Nobody is subscribed yet, so the records' traces are not wanted."""
    rows: list[Block | Table | Event] = []
    for topic, group in groupby(records, key=lambda record: record.topic):
        backlog = list(group)
        try:
            rows += blocks_of_backlog(topic, _values(backlog)) if topic in _TOGETHER else _rows_of(backlog)
        except BadRecord:
            # One of them is bad: one by one it is found, counted and named.
            rows += _rows_of(backlog)
    return rows


def _rows_of_unwanted(records: list[Record]) -> Sequence[Block | Table | Event]:
    """Ticks, as _rows_of, without their traces and at a fifth of the cost."""
    try:
        table = table_of_ticks(_values(records))
    except BadRecord:
        return _rows_of(records)
    return [table] if len(table.ints) else []


def _rows_of(records: list[Record]) -> list[Block | Table | Event]:
    rows: list[Block | Table | Event] = []
    for record in records:
        try:
            rows += _decode(record)
        except BadRecord as error:
            BAD_RECORDS.labels(record.topic).inc()
            _log.warning("record left out", topic=record.topic, partition=record.partition, offset=record.offset, reason=str(error))
    return rows


def _values(records: list[Record]) -> list[bytes]:
    """Raises BadRecord when one of them is another message than its topic's."""
    for record in records:
        check_schema(record.headers, _SCHEMAS[record.topic])
    return [record.value for record in records]


def _decode(record: Record) -> Sequence[Block | Table | Event]:
    if record.topic in EVENTS:
        return events_of(record)
    check_schema(record.headers, _SCHEMAS[record.topic])
    return _tables_of(record) if record.topic in _LIVE else blocks_of(record)


def _tables_of(record: Record) -> list[Table]:
    table = table_of(record)
    return [table] if len(table.ints) else []
