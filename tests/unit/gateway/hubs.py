"""A hub without sockets: clients that record what they are sent, a loop that is turned by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gateway.hub.blocks import Block
from gateway.hub.codecs import JsonCodec
from gateway.hub.connection import Connection
from gateway.hub.history import IntBlock
from gateway.hub.hub import Hub
from gateway.hub.intake import Intake
from gateway.hub.json_requests import parse_json
from gateway.hub.limits import Limits
from gateway.hub.rows import BarRow, SignalRow, TickRow
from gateway.hub.series import NO_INTERVAL, Channel, SeriesKey
from gateway.hub.tables import Table
from services.runtime.testing import ManualClock

Message = dict[str, Any]
MINUTE = 60_000_000_000


@dataclass
class Recorder:
    """Transport that keeps what it is given."""

    writable: bool = True
    frames: list[bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def is_writable(self) -> bool:
        return self.writable

    def send(self, frame: bytes) -> None:
        assert self.writable
        assert self.closed is None
        self.frames.append(frame)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def messages(self, *kinds: str) -> list[Message]:
        """All messages so far, of these kinds if any are named; checks that `seq` has no hole."""
        found = [message for frame in self.frames for message in json.loads(frame)]
        assert [message["seq"] for message in found] == list(range(1, len(found) + 1))
        return [message for message in found if not kinds or message["T"] in kinds]


class HandHub:
    """A hub with its intake; flushes happen in `turn`."""

    def __init__(self, limits: Limits | None = None, rows: int = 500) -> None:
        self.clock = ManualClock()
        self.scheduled: list[Callable[[], None]] = []
        self.hub = Hub(self.clock, lambda _seconds, flush: self.scheduled.append(flush), limits)
        self.intake = Intake(self.hub, self.clock, rows=rows)

    def turn(self) -> None:
        """Flush until nothing is scheduled."""
        while self.scheduled:
            self.scheduled.pop(0)()

    def client(self) -> tuple[Connection, Recorder]:
        recorder = Recorder()
        return self.hub.connect(JsonCodec(), recorder), recorder

    def ask(self, connection: Connection, **request: object) -> None:
        self.hub.handle(connection, parse_json(json.dumps(request).encode()))

    def bars(self, symbol: str, *numbers: int, live: bool = False, interval: int = 60) -> None:
        rows = [bar(number, live=live) for number in numbers]
        ints = np.array(rows, np.int64).reshape(len(rows), -1)
        if live:
            self.intake.take(table(Channel.LIVE_BARS, symbol, ints, interval))
        else:
            self.intake.take(Block(SeriesKey(Channel.BARS, symbol, interval), ints))

    def ticks(self, symbol: str, *numbers: int) -> None:
        rows = [TickRow(number * 1_000_000, 5_000, 12_345, 7, number, 3, 0, 2, 0) for number in numbers]
        self.intake.take(table(Channel.TICKS, symbol, np.array(rows, np.int64)))

    def indicators(self, symbol: str, *numbers: int, names: tuple[str, ...] = ("sma_5", "rsi_14")) -> None:
        ints = np.array([[number * MINUTE, 0, 2, 0] for number in numbers], np.int64)
        values = np.array([[number / 2, np.nan][: len(names)] for number in numbers])
        self.intake.take(Block(SeriesKey(Channel.INDICATORS, symbol, 60), ints, values, names))

    def signal(self, symbol: str, number: int, kind: str = "golden_cross") -> None:
        row = SignalRow(number * MINUTE, (number + 1) * MINUTE, 0, kind, 1, 1.5, 2.0, 0.5, ("sma_5",), (1.0,), 2, 0)
        self.intake.take(Block(SeriesKey(Channel.SIGNALS, symbol, 60), np.zeros((1, 0), np.int64), signals=(row,)))


def table(channel: Channel, symbol: str, ints: IntBlock, interval: int = NO_INTERVAL) -> Table:
    """Rows of a single series."""
    return Table(channel, (symbol,), np.zeros(len(ints), np.int64), np.full(len(ints), interval, np.int64), ints)


def bar(number: int, *, live: bool = False, revision: int = 0) -> BarRow:
    """Bar `number` opens that many minutes after 1970."""
    price = 10_000 + number
    return BarRow(number * MINUTE, (number + 1) * MINUTE, price, price, price, price, 5, price * 10_000, 3, revision, 2, 0, 2, 0, 5_000_000 if live else 0)


def minutes(messages: list[Message]) -> list[int]:
    """The numbers of bars."""
    return [message["t"] // 60_000 for message in messages]
