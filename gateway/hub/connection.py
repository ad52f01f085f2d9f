"""One client: what it has asked for, what it is owed, and what happens when it reads too slowly."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from gateway.hub.codecs import Codec
from gateway.hub.forming_rows import FormingRows
from gateway.hub.limits import Limits
from gateway.hub.series import Channel, Group, SeriesKey
from gateway.hub.updates import Update
from gateway.metrics import DISCONNECTS, DROPPED

#: WebSocket close code for a client that must come back later.
TRY_AGAIN_LATER = 1013
GOING_AWAY = 1001


class Transport(Protocol):
    """The way to one client."""

    def is_writable(self) -> bool:
        """Whether the client has taken (nearly) all that was sent."""
        ...

    def send(self, frame: bytes) -> None:
        """Send a frame; does nothing when the client is gone."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End it, with a WebSocket close code."""
        ...


class _Mark(Enum):
    """What stands in the queue for something that is made when its turn comes."""

    HEARTBEAT = 0


@dataclass(eq=False, slots=True)
class Past:
    """Rows of a history that are owed: taken from it when their turn comes, so that a long history costs nothing at once."""

    rows: Callable[[int], Update | None]
    """The update of a row's number; None when it is no longer kept."""
    at: int
    """Number of the next row."""
    end: int
    """Number of the first row that is not owed."""


@dataclass(slots=True)
class Traffic:
    """What was sent to all clients."""

    frames: int = 0
    messages: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Loss:
    """Messages of one series that were left out."""

    first_ns: int
    last_ns: int
    count: int = 1


#: A tail; rows of a history; a series whose newest forming bar goes out; forming bars of many series; a mark.
_Owed = bytes | Past | SeriesKey | FormingRows | _Mark
#: Pieces of forming bars that wait for a client that reads: a turn brings one of each partition. With more they are conflated, one by one.
_MOST_PIECES = 16


@dataclass(eq=False, slots=True)
class Connection:
    """One client. Only `Hub` changes its subscriptions; `now_ns` reads the wall clock."""

    codec: Codec
    transport: Transport
    limits: Limits
    now_ns: Callable[[], int]
    traffic: Traffic = field(default_factory=Traffic)
    """Shared with the other connections."""
    selections: dict[Group, set[str]] = field(default_factory=dict)
    """Symbols by channel and interval."""
    seq: int = 0
    """Number of the last message sent."""
    closed: bool = False
    """Nothing is sent any more."""
    dirty: bool = False
    """Known to the hub as having something to send."""
    queued_bytes: int = 0
    """Size of what waits, without histories."""
    _queue: deque[_Owed] = field(default_factory=deque)
    _forming: dict[SeriesKey, list[Update]] = field(default_factory=dict)
    _pieces: int = 0
    _lost: dict[SeriesKey, _Loss] = field(default_factory=dict)
    _beats: bool = False

    def is_idle(self) -> bool:
        """Whether nothing waits."""
        return not self._queue and not self._lost

    def offer(self, update: Update) -> None:
        """An update of a series it has subscribed to."""
        channel = update.key.channel
        if self.closed:
            return
        if channel is Channel.LIVE_BARS:
            self._offer_forming(update)
        elif channel is Channel.TICKS and self.queued_bytes > self.limits.tick_bytes:
            self._lose(update)
        else:
            self._say_lost(update.key)
            self.put(self.codec.update(update))

    def offer_forming(self, rows: FormingRows) -> None:
        """Forming bars of a channel and interval of which it wants all; at least one."""
        if self.closed:
            return
        if self._pieces < _MOST_PIECES and self.transport.is_writable():
            self._pieces += 1
            self._queue.append(rows)
        else:
            for update in rows.updates:
                self._offer_forming(update)

    def put(self, tail: bytes) -> None:
        """A message that is never left out. Closes the connection when too much waits and the client does not read."""
        if self.closed:
            return
        self._queue.append(tail)
        self.queued_bytes += len(tail)
        self._check_queue()

    def put_past(self, past: Past) -> None:
        """Rows of a history; at least one."""
        self._queue.append(past)

    def beat(self) -> None:
        """A sign of life, after all that waits; one at a time."""
        if not self._beats:
            self._beats = True
            self._queue.append(_Mark.HEARTBEAT)

    def forget(self, key: SeriesKey) -> None:
        """A series it has unsubscribed from: a forming bar that waits is not sent."""
        self._lost.pop(key, None)
        if self._forming.pop(key, None) is not None:
            self._queue.remove(key)
        if self._pieces:
            self._queue = deque(_without(owed, key) for owed in self._queue)

    def flush(self) -> None:
        """Send what waits, as far as the client reads; some frames at a time."""
        for _ in range(self.limits.frames_per_turn):
            if self.closed or not self.transport.is_writable():
                break
            self._say_all_lost()
            sent, messages = self.seq, self._next_frame()
            if self.closed or self.seq == sent:
                break
            self._send(messages, self.seq - sent)
        self._check_queue()

    def close(self, code: int, reason: str, why: str) -> None:
        """End it. code: a WebSocket close code. reason: for the client. why: for the metrics."""
        if not self.closed:
            self.closed = True
            self._queue.clear()
            self._forming.clear()
            self._pieces = 0
            DISCONNECTS.labels(why).inc()
            self.transport.close(code, reason)

    def _offer_forming(self, update: Update) -> None:
        waiting = self._forming.get(update.key)
        if waiting is None:
            self._forming[update.key] = [update]
            self._queue.append(update.key)
        elif self.transport.is_writable():
            self._conflate(waiting, update)
        else:
            for missed in waiting:
                self._lose(missed)
            waiting[:] = [update]

    def _conflate(self, waiting: list[Update], update: Update) -> None:
        """The last state of each bar goes out: a client that reads sees how the bar before the newest ended."""
        if waiting[-1].at == update.at:
            waiting[-1] = update
        else:
            waiting[:] = [waiting[-1], update]

    def _lose(self, update: Update) -> None:
        DROPPED.labels(update.key.channel.key).inc()
        loss = self._lost.get(update.key)
        if loss is None:
            self._lost[update.key] = _Loss(update.at, update.at)
        else:
            loss.last_ns, loss.count = update.at, loss.count + 1

    def _say_lost(self, key: SeriesKey) -> None:
        if self._lost and (loss := self._lost.pop(key, None)) is not None:
            self.put(self.codec.gap(key, loss.count, loss.first_ns, loss.last_ns))

    def _say_all_lost(self) -> None:
        """What was left out of ticks, as soon as all that came before has been sent. Forming bars say it before their newest."""
        if self._queue or not self._lost:
            return
        for key in list(self._lost):
            self._say_lost(key)

    def _next_frame(self) -> list[bytes]:
        messages: list[bytes] = []
        room = self.limits.frame_bytes
        while self._queue and room > 0:
            added = self._past_messages(room) if isinstance(self._queue[0], Past) else self._messages(self._queue.popleft())
            messages += added
            room -= sum(map(len, added))
        return messages

    def _messages(self, owed: _Owed) -> list[bytes]:
        if isinstance(owed, bytes):
            self.queued_bytes -= len(owed)
            return [self._splice(owed)]
        if isinstance(owed, SeriesKey):
            return self._forming_messages(owed)
        if isinstance(owed, FormingRows):
            self._pieces -= 1
            first, self.seq = self.seq + 1, self.seq + len(owed)
            return self.codec.forming(first, owed) if len(owed) else []
        self._beats = False
        return [self._splice(self.codec.heartbeat(self.seq, self.now_ns()))]

    def _past_messages(self, room: int) -> list[bytes]:
        past = self._queue[0]
        assert isinstance(past, Past)
        messages: list[bytes] = []
        while past.at < past.end and room > 0:
            update = past.rows(past.at)
            if update is None:
                self._too_slow("the history it asked for is no longer kept")
                return []
            messages.append(self._splice(self.codec.update(update), is_history=True))
            past.at, room = past.at + 1, room - len(messages[-1])
        if past.at == past.end:
            self._queue.popleft()
        return messages

    def _forming_messages(self, key: SeriesKey) -> list[bytes]:
        # Encoded only now: what was conflated away never was.
        tails = [self.codec.update(update) for update in self._forming.pop(key)]
        if self._lost and (loss := self._lost.pop(key, None)) is not None:
            tails.insert(0, self.codec.gap(key, loss.count, loss.first_ns, loss.last_ns))
        return [self._splice(tail) for tail in tails]

    def _splice(self, tail: bytes, is_history: bool = False) -> bytes:
        self.seq += 1
        return self.codec.splice(self.seq, tail, is_history)

    def _send(self, messages: list[bytes], count: int) -> None:
        frame = self.codec.frame(messages)
        self.traffic.frames += 1
        self.traffic.messages += count
        self.traffic.bytes += len(frame)
        self.transport.send(frame)

    def _check_queue(self) -> None:
        # A client that reads has not been given its turn yet: what waits for it is our burst, not its delay.
        if self.queued_bytes > self.limits.queue_bytes and not self.transport.is_writable():
            self._too_slow(f"more than {self.limits.queue_bytes >> 10} KiB wait to be read")

    def _too_slow(self, what: str) -> None:
        self.close(TRY_AGAIN_LATER, f"too slow: {what}", "too slow")


def _without(owed: _Owed, key: SeriesKey) -> _Owed:
    return owed.without(key.symbol) if isinstance(owed, FormingRows) and owed.group == key.group else owed
