"""A file of trades as a feed."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

import numpy as np
from signalbox.events.v1 import tick_batch_pb2

from services.prices.feeds.file_rows import DISORDER_NS, BadRow, RowReader
from services.prices.feeds.file_source import FileSource
from services.prices.feeds.file_times import NoTimes
from services.prices.feeds.pacing import Pacer
from services.prices.feeds.ports import Step, Stored
from services.prices.feeds.shift import end_of_bars, weeks_after
from services.prices.sequencer import Int64Array, TickRows
from services.prices.sessions import SessionTable
from services.runtime.clock import Clock

#: Bad rows that are reported whatever there is of good ones. Those of a file that turns bad would push the real letters out of the dead-letter topic.
MOST_BAD_ROWS = 1_000
#: Good rows that make up for a bad one: with more bad ones than that, the file is not what it was taken for.
GOOD_FOR_A_BAD_ONE = 10


class FileFeed:
    """A file as a feed, sent once. It is moved by whole weeks behind what is stored of its source and its symbols.

    speed: event seconds for each wall second, > 0, infinity = all at once. floors: by symbol the event time below which bars are final.
    on_bad: takes rows that cannot be used. on_step: is called after each step with the rows handed on.
    sessions: at the end of the file the bars that its last rows are in become final; None = they stay open, for a file that goes on there.
    """

    name = "replay-file"
    source_kind = tick_batch_pb2.SOURCE_KIND_REPLAY

    def __init__(
        self,
        file: FileSource,
        reader: RowReader,
        source: str,
        speed: float,
        clock: Clock,
        *,
        on_bad: Callable[[BadRow], Awaitable[None]],
        on_step: Callable[[int], None] = lambda _: None,
        floors: Mapping[str, int] | None = None,
        sessions: SessionTable | None = None,
    ) -> None:
        self.source = source
        self._file, self._reader, self._on_bad, self._on_step = file, reader, on_bad, on_step
        self._pacer = Pacer(speed, clock)
        self._floors = floors or {}
        self._sessions = sessions
        self._stored = 0
        self._shift: int | None = None
        self.first_ts = self.last_ts = 0
        self.rows = 0
        self._allowed_bad = MOST_BAD_ROWS
        self.complete = False
        """The whole file was handed on."""
        self.why_stopped = ""
        """What is wrong with the file, when it was left for that."""

    @property
    def symbol(self) -> str:
        """The first symbol of the file, empty before it is known."""
        return self._reader.symbols[0] if self._reader.symbols else ""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols seen so far."""
        return self._reader.symbols

    @property
    def shift(self) -> int:
        """By how many nanoseconds the rows are moved."""
        return self._shift or 0

    async def steps(self, stored: Stored) -> AsyncGenerator[Step, None]:
        """The rows of the file, each when it is due, once."""
        self._stored = stored.floor
        for chunk in self._file.chunks(self._reader.wanted):
            rows, bad = self._reader.read(chunk, self._shift_of, self._floors)
            if self.rows == 0 and len(rows) == 0 and bad:
                raise NoTimes(f"no usable row at the beginning; line {bad[0].line}: {bad[0].why}")
            await self._report(bad, len(rows))
            if len(rows):
                async for step in self._paced(rows):
                    yield step
            self._on_step(self.rows)
            if self.why_stopped:
                return
        self.complete = True
        yield Step(None, self._end(), urgent=True, replay_shift=self.shift)

    async def _paced(self, rows: TickRows) -> AsyncGenerator[Step, None]:
        latest: Int64Array = np.maximum(np.maximum.accumulate(rows.ts_event), self.last_ts)
        self.first_ts = self.first_ts or int(rows.ts_event[0])
        async for due in self._pacer.play(latest):
            part = rows.take(slice(due.first, due.last)) if due.last > due.first else None
            self.rows += due.last - due.first
            self.last_ts = int(latest[due.last - 1]) if due.last else self.last_ts
            # Files are seldom in strict order, so the promise stays behind by what the reader allows.
            yield Step(part, max(0, due.now - DISORDER_NS), urgent=due.gap, replay_shift=self.shift, lag_ns=due.lag_ns)
            self._on_step(self.rows)

    async def _report(self, bad: Sequence[BadRow], good: int) -> None:
        """Hands on the bad rows beside so many good ones, as far as there may be bad ones."""
        allowed = self._allowed_bad + good // GOOD_FOR_A_BAD_ONE
        self._allowed_bad = min(MOST_BAD_ROWS, allowed - len(bad))
        for each in bad[:allowed]:
            await self._on_bad(each)
        if allowed < len(bad):
            first = bad[allowed]
            self.why_stopped = f"too many bad rows: not reported any more from line {first.line} on ({first.why}), and not read much further"

    def _end(self) -> int:
        if self._sessions is None or not self.rows:
            return self.last_ts
        return end_of_bars(self.symbols, self.last_ts, self.shift, self._sessions)

    def _shift_of(self, rows: TickRows) -> int:
        if self._shift is None:
            floor = max([self._stored, *(self._floors.get(symbol, 0) for symbol in rows.symbols)])
            self._shift = weeks_after(int(rows.ts_event.min()), floor)
        return self._shift
