"""From the readers' threads to the event loop: in batches, bounded, in turns."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from gateway.hub.blocks import Block
from gateway.hub.events import Event
from gateway.hub.tables import Table

#: Rows that may wait; a reader that is faster than the loop is held here and not in memory.
_MOST_WAITING = 50_000
#: Rows taken over before clients have their turn.
_TURN_ROWS = 2_000


class Handover:
    """take: called on the loop for each block, in the order of `put`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[Block | Table | Event], None]) -> None:
        self._loop = loop
        self._take = take
        self._blocks: deque[Block | Table | Event] = deque()
        self._rows = 0
        self._scheduled = False
        self._room = threading.Condition()
        self._closed = False

    def put(self, blocks: Sequence[Block | Table | Event]) -> None:
        """From any thread: returns when there is room and the blocks are in the queue, or at once after `close`."""
        with self._room:
            self._room.wait_for(lambda: self._rows < _MOST_WAITING or self._closed)
            if self._closed:
                return
            self._blocks.extend(blocks)
            self._rows += sum(block.size for block in blocks)
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
            self._room.notify_all()

    def _drain(self) -> None:
        for block in self._next_turn():
            self._take(block)

    def _next_turn(self) -> list[Block | Table | Event]:
        with self._room:
            turn: list[Block | Table | Event] = []
            rows = 0
            while self._blocks and rows < _TURN_ROWS and not self._closed:
                turn.append(self._blocks.popleft())
                rows += turn[-1].size
            self._rows -= rows
            self._scheduled = bool(self._blocks) and not self._closed
            if self._scheduled:
                self._loop.call_soon(self._drain)
            self._room.notify_all()
            return turn
