"""From the readers' threads to the event loop: in batches, bounded, in turns."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from gateway.hub.blocks import Block
from gateway.hub.events import Event
from gateway.hub.tables import Table
from services.runtime.clock import Clock, SystemClock

#: Rows that may wait; a reader that is faster than the loop is held here and not in memory.
_MOST_WAITING = 50_000
#: How long blocks are taken over before clients have their turn.
_TURN_NS = 2_000_000
#: Blocks of final rows that have their turn after each table of what is live.
_BLOCKS_PER_TABLE = 16

_Rows = Block | Table | Event


class Handover:
    """take: called on the loop for each block, in the order of `put` among tables, and among all others.

    Tables, which are what happens now, go before what is final: at the end of a minute there are bars, indicators and signals of every symbol
    at once, and no order is promised across channels.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[_Rows], None], clock: Clock | None = None) -> None:
        self._loop = loop
        self._take = take
        self._clock = clock or SystemClock()
        self._tables: deque[Table] = deque()
        self._others: deque[Block | Event] = deque()
        self._others_turn = 0
        self._rows = 0
        self._held = 0
        """Threads that wait for room."""
        self._scheduled = False
        self._room = threading.Condition()
        self._closed = False

    def put(self, blocks: Sequence[_Rows]) -> None:
        """From any thread: returns when there is room and the blocks are in the queue, or at once after `close`."""
        with self._room:
            self._held += 1
            self._room.wait_for(lambda: self._rows < _MOST_WAITING or self._closed)
            self._held -= 1
            if self._closed:
                return
            for block in blocks:
                self._rows += block.size
                if isinstance(block, Table):
                    self._tables.append(block)
                else:
                    self._others.append(block)
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon_threadsafe(self._drain)

    def waiting(self) -> int:
        """Rows that wait."""
        return self._rows

    def close(self) -> None:
        """Nothing is taken over any more; threads that wait go on."""
        with self._room:
            self._closed = True
            self._tables.clear()
            self._others.clear()
            self._room.notify_all()

    def _drain(self) -> None:
        until = self._clock.monotonic_ns() + _TURN_NS
        while (block := self._next()) is not None:
            self._take(block)
            if self._clock.monotonic_ns() >= until:
                self._loop.call_soon(self._drain)
                return

    def _next(self) -> _Rows | None:
        """What is next; None when nothing is left, and then the next `put` begins a new turn."""
        with self._room:
            if self._tables and not (self._others and self._others_turn):
                block: _Rows = self._tables.popleft()
                self._others_turn = _BLOCKS_PER_TABLE
            elif self._others:
                block = self._others.popleft()
                self._others_turn = max(0, self._others_turn - 1)
            else:
                self._scheduled = False
                return None
            self._rows -= block.size
            if self._held:
                self._room.notify_all()
            return block
