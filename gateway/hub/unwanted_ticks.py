"""Ticks that nobody has asked for: they wait, and go into the histories in big blocks, a little at a time, when there is time."""

from collections.abc import Callable, Iterator

from gateway.hub.blocks import Block
from gateway.hub.tables import Table, joined
from services.runtime.clock import Clock
from services.runtime.quiet import until_quiet_ns

#: So many wait at about 100 bytes each; in big blocks it costs a tenth of what it costs record by record.
_MANY = 20_000
#: More than these do not wait for a better moment.
_MOST_WAITING = 200_000
#: How long the loop is held at a time.
_TURN_NS = 1_000_000


class UnwantedTicks:
    """Used from the hub's thread. add: puts a block into its history. later: calls a function after some seconds, in a later turn of the loop."""

    def __init__(self, add: Callable[[Block], None], later: Callable[[float, Callable[[], None]], object], clock: Clock) -> None:
        self._add, self._later, self._clock = add, later, clock
        self._tables: list[Table] = []
        self._rows = 0
        self._moving: list[Iterator[Block]] = []
        self._scheduled = False
        self._begins = False

    def put(self, table: Table) -> None:
        """Ticks, after all those that were put before."""
        self._tables.append(table)
        self._rows += len(table.ints)
        if self._rows < _MANY:
            return
        wait_ns = until_quiet_ns(self._clock.now_ns())
        if wait_ns == 0 or self._rows >= _MOST_WAITING:
            self._begin()
        elif not self._begins:
            self._begins = True
            self._later(wait_ns / 1e9, self._begin)

    def move_all(self) -> None:
        """Everything goes into the histories, now: somebody asks."""
        self._begin()
        for blocks in self._moving:
            for block in blocks:
                self._add(block)
        self._moving.clear()

    def _begin(self) -> None:
        self._begins = False
        if self._tables:
            self._moving.append(joined(self._tables).blocks())
            self._tables, self._rows = [], 0
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._later(0.0, self._move)

    def _move(self) -> None:
        self._scheduled = False
        until = self._clock.monotonic_ns() + _TURN_NS
        while self._moving:
            for block in self._moving[0]:
                self._add(block)
                if self._clock.monotonic_ns() >= until:
                    self._schedule()
                    return
            self._moving.pop(0)
