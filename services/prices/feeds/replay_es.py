"""Feed `replay-es`: recorded E-mini S&P 500 trades, first the history at full speed, then the rest at a multiple of real speed, again and again."""

from collections.abc import AsyncGenerator

import numpy as np
from signalbox.events.v1 import tick_batch_pb2

from services.prices.feeds.es_file import EsTrades
from services.prices.feeds.pacing import MAX_ROWS, Pacer
from services.prices.feeds.ports import Int64Array, Step, Stored, TickRows, one_symbol
from services.prices.feeds.shift import Start, resume, weeks_after
from services.runtime.clock import Clock
from services.runtime.timestamps import MAX_TIME_NS

SYMBOL = "ES.XCME"


class ReplayEs:
    """The trades of a file as one endless feed.

    trades: in order of time. speed: event seconds for each second, > 0. A row's seq is its place in the file, from 1.
    """

    name = "replay-es"
    source = "replay:es"
    source_kind = tick_batch_pb2.SOURCE_KIND_REPLAY
    symbol = SYMBOL

    def __init__(self, trades: EsTrades, speed: float, clock: Clock) -> None:
        self._trades, self._speed, self._clock = trades, speed, clock
        self._live_row = trades.live_row
        self._seq: Int64Array = np.arange(1, len(trades) + 1, dtype=np.int64)

    async def steps(self, stored: Stored) -> AsyncGenerator[Step, None]:
        """History that is not stored yet, then loops, until the calendar of our records ends."""
        start = resume(self._trades.ts_event, self._live_row, stored)
        for step in self._history(start):
            yield step
            # Sending hundreds of thousands of rows must not keep the process from its other feeds.
            await self._clock.sleep(0)
        row, shift = max(start.row, self._live_row), start.shift
        while self._time(-1, shift) < MAX_TIME_NS:
            async for step in self._loop(Start(row, shift)):
                yield step
            row, shift = self._live_row, self._next_shift(shift)
            yield Step(None, self._time(row, shift), urgent=True, replay_shift=shift)

    def _history(self, start: Start) -> list[Step]:
        return [self._history_step(first, start.shift) for first in range(start.row, self._live_row, MAX_ROWS)]

    def _history_step(self, first: int, shift: int) -> Step:
        last = min(first + MAX_ROWS, self._live_row)
        return Step(self._rows(first, last, shift), self._time(last, shift), replay_shift=shift)

    async def _loop(self, start: Start) -> AsyncGenerator[Step, None]:
        async for due in Pacer(self._speed, self._clock).play(self._trades.ts_event[start.row :]):
            first, last = start.row + due.first, start.row + due.last
            rows = self._rows(first, last, start.shift) if last > first else None
            # Before a pause the replay knows that nothing comes until its end, so bars need not wait for it.
            yield Step(rows, due.now + start.shift, urgent=due.gap, replay_shift=start.shift, lag_ns=due.lag_ns)

    def _next_shift(self, shift: int) -> int:
        return weeks_after(int(self._trades.ts_event[self._live_row]), int(self._trades.ts_event[-1]) + shift + 1)

    def _time(self, row: int, shift: int) -> int:
        return int(self._trades.ts_event[row]) + shift

    def _rows(self, first: int, last: int, shift: int) -> TickRows:
        part = slice(first, last)
        return one_symbol(SYMBOL, self._trades.ts_event[part] + shift, self._trades.price[part], self._trades.size[part], self._seq[part])
