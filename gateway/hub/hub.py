"""Who wants what: takes rows, keeps their history, tells the clients."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from gateway.hub.cache import UpdateCache
from gateway.hub.codecs import Codec
from gateway.hub.connection import GOING_AWAY, Connection, Past, Traffic, Transport
from gateway.hub.deliveries import Deliveries
from gateway.hub.forming import FormingBars
from gateway.hub.history import BarHistory, History
from gateway.hub.limits import Limits
from gateway.hub.rates import Rate
from gateway.hub.requests import BadRequest, Request, Selections, Subscribe, Unsubscribe
from gateway.hub.series import ALL, Channel, Group, SeriesKey
from gateway.hub.updates import Update
from gateway.metrics import BAD_REQUESTS, FLUSH_SECONDS, FRAMES, MESSAGES, SENT_BYTES, SERIES, SUBSCRIPTIONS, UPDATES
from services.runtime.clock import Clock
from services.runtime.errors import ResourceExhausted, Unavailable

HEARTBEAT_S = 1.0
#: Looked up once: labels cost more than counting.
_UPDATES = {channel: UPDATES.labels(channel.key) for channel in Channel}


@dataclass(eq=False, slots=True)
class Series:
    """One series: its history and who wants it."""

    key: SeriesKey
    history: History | None = None
    """None until its first row."""
    subscribers: dict[Connection, None] = field(default_factory=dict)
    """In the order in which they came."""


#: Series of a group of which none is known.
_NONE: Mapping[str, Series] = {}


def newest(final: Series | None) -> int:
    """Open time of the newest bar of a series of final ones, UTC nanoseconds; -1 for none."""
    return -1 if final is None or final.history is None else cast(BarHistory, final.history).newest


def _nothing_to_prepare(_group: Group) -> None:
    """Where every row is taken over as it comes."""


#: Calls a function soon: in so many seconds.
Schedule = Callable[[float, Callable[[], None]], object]


class Hub:
    """All series and all connections; used from one thread.

    schedule: how a flush is put off, so that updates that come together leave together. flush_interval_s: least time between two flushes.
    """

    def __init__(self, clock: Clock, schedule: Schedule, limits: Limits | None = None, *, flush_interval_s: float = 0.005) -> None:
        self.limits = limits or Limits()
        self._clock = clock
        self._schedule = schedule
        self._interval_ns = int(flush_interval_s * 1e9)
        self._series: dict[SeriesKey, Series] = {}
        self._groups: dict[Group, dict[str, Series]] = {}
        self._wildcards: dict[Group, dict[Connection, None]] = {}
        self._wanted_symbols: Counter[Group] = Counter()
        self._connections: dict[Connection, None] = {}
        self._dirty: list[Connection] = []
        self._scheduled = False
        self._flushed_ns = 0
        self._cache = UpdateCache()
        self._traffic = Traffic()
        self.deliveries = Deliveries(clock)
        """Spans of what goes out."""
        self.message_rate = Rate(clock)
        """Messages a second, to all clients."""
        self.forming = FormingBars()
        """The newest forming bars, whether somebody wants them or not."""
        self.prepare: Callable[[Group], None] = _nothing_to_prepare
        """Called before a subscription to a group: takes over what was put off while nobody wanted it."""
        self.draining = False
        """No new connections."""
        self._updates: Counter[Channel] = Counter()

    # -- what there is

    @property
    def connections(self) -> int:
        """Clients now."""
        return len(self._connections)

    def find(self, key: SeriesKey) -> Series | None:
        """A series that is known."""
        return self._series.get(key)

    def series(self, key: SeriesKey) -> Series:
        """A series; a new one is made known to those who want all of its channel and interval."""
        found = self._series.get(key)
        if found is None:
            found = Series(key, subscribers=dict(self._wildcards.get(key.group, {})))
            self._series[key] = found
            self._groups.setdefault(key.group, {})[key.symbol] = found
            SERIES.set(len(self._series))
        return found

    def is_wanted(self, group: Group) -> bool:
        """Whether anybody has subscribed to any of a channel and interval."""
        return self._wanted_symbols[group] > 0

    def wants(self, channels: Container[Channel]) -> bool:
        """Whether anybody has subscribed to any of these channels; from any thread."""
        return any(count > 0 and group.channel in channels for group, count in list(self._wanted_symbols.items()))

    def wanted(self, key: SeriesKey) -> Series | None:
        """A series that somebody has subscribed to; None when nobody has."""
        found = self.series(key) if key.group in self._wildcards else self._series.get(key)
        return found if found is not None and found.subscribers else None

    def wanted_of(self, group: Group, symbols: Iterable[str]) -> list[Series | None]:
        """As `wanted` for each of the symbols."""
        known = self.known(group)
        if group in self._wildcards:
            return [known.get(symbol) or self.series(SeriesKey(group.channel, symbol, group.interval)) for symbol in symbols]
        return [series if (series := known.get(symbol)) is not None and series.subscribers else None for symbol in symbols]

    def everyone(self, group: Group) -> Mapping[Connection, None]:
        """Who wants all of a channel and interval; for reading."""
        return self._wildcards.get(group, {})

    def known(self, group: Group) -> Mapping[str, Series]:
        """The series of a channel and interval that are known, by symbol; for reading."""
        return self._groups.get(group, _NONE)

    def newest_final(self, symbol: str, interval: int) -> int:
        """Open time of the newest final bar, UTC nanoseconds; -1 for none."""
        return newest(self._series.get(SeriesKey(Channel.BARS, symbol, interval)))

    # -- clients

    def connect(self, codec: Codec, transport: Transport) -> Connection:
        """A new client. Raises Unavailable when draining, ResourceExhausted when there are too many."""
        self.check_room()
        connection = Connection(codec, transport, self.limits, self._clock.now_ns, self._traffic)
        self._connections[connection] = None
        welcome = codec.welcome(HEARTBEAT_S, self._clock.now_ns())
        if welcome is not None:
            connection.put(welcome)
            self.wake(connection)
        return connection

    def check_room(self) -> None:
        """Whether a client can be taken. Raises Unavailable when draining, ResourceExhausted when there are too many."""
        if self.draining:
            raise Unavailable("the hub", "it is going away")
        if len(self._connections) >= self.limits.connections:
            raise ResourceExhausted("the hub", f"{self.limits.connections} clients are connected, the limit")

    def disconnect(self, connection: Connection) -> None:
        """A client that is gone. Calling it again does nothing."""
        if connection not in self._connections:
            return
        del self._connections[connection]
        connection.closed = True
        self._remove(connection, {group: frozenset(symbols) for group, symbols in connection.selections.items()})

    def handle(self, connection: Connection, request: Request) -> None:
        """Do what a client asks and answer it. Raises BadRequest."""
        if isinstance(request, Subscribe):
            self._subscribe(connection, request)
        else:
            self._unsubscribe(connection, request)
        self.wake(connection)

    def refuse(self, connection: Connection, error: BadRequest) -> None:
        """Answer a request that cannot be served."""
        BAD_REQUESTS.labels(str(error.code)).inc()
        connection.put(connection.codec.error(error.code, str(error), error.request_id))
        self.wake(connection)

    def say_goodbye(self, reason: str, reconnect_after_ms: int) -> None:
        """Take no more clients and tell those there are that the end is near."""
        self.draining = True
        for connection in self._connections:
            connection.put(connection.codec.going_away(reason, reconnect_after_ms))
            connection.flush()

    def close_all(self) -> None:
        """End every connection."""
        for connection in list(self._connections):
            connection.close(GOING_AWAY, "going away", "drain")
            self.disconnect(connection)

    def beat(self) -> None:
        """A sign of life to every client; to be called once a second."""
        for connection in self._connections:
            connection.beat()
            self.wake(connection)

    # -- updates

    def tell(self, series: Series, update: Update, but: Container[Connection] = ()) -> None:
        """Tell everyone who wants the series, but for some. The caller counts updates: many at once, for a counter costs as much as a small update."""
        for connection in series.subscribers:
            if connection in but:
                continue
            connection.offer(update)
            if not connection.dirty:
                self.wake(connection)

    def wake(self, connection: Connection) -> None:
        """There is something to send to this client."""
        if not connection.dirty:
            connection.dirty = True
            self._dirty.append(connection)
        if not self._scheduled:
            self._scheduled = True
            wait_ns = self._flushed_ns + self._interval_ns - self._clock.monotonic_ns()
            self._schedule(max(0, wait_ns) / 1e9, self.flush)

    def flush(self) -> None:
        """Send to everyone what they are owed, as far as they read."""
        began = self._clock.monotonic_ns()
        self._scheduled = False
        self._flushed_ns = began
        connections, self._dirty = self._dirty, []
        for connection in connections:
            connection.dirty = False
            connection.flush()
            if connection.closed:
                self.disconnect(connection)
            elif not connection.is_idle() and connection.transport.is_writable():
                self.wake(connection)
        self.deliveries.end()
        self._count_traffic()
        FLUSH_SECONDS.observe((self._clock.monotonic_ns() - began) / 1e9)

    def _count_traffic(self) -> None:
        # Counted here and not at each frame: a counter costs as much as a small frame.
        FRAMES.inc(self._traffic.frames)
        MESSAGES.inc(self._traffic.messages)
        self.message_rate.add(self._traffic.messages)
        SENT_BYTES.inc(self._traffic.bytes)
        for channel, count in self._updates.items():
            _UPDATES[channel].inc(count)
        self._updates.clear()
        self._traffic.frames = self._traffic.messages = self._traffic.bytes = 0

    def count_updates(self, channel: Channel, count: int) -> None:
        """So many updates for which there was a subscriber."""
        self._updates[channel] += count

    def announce(self, all_of: Series, named: Iterable[Series], update: Update) -> int:
        """Tell an event to everyone who wants all of its channel or one of its names, each once. Returns how many those are."""
        audience = dict(all_of.subscribers)
        for series in named:
            audience.update(series.subscribers)
        if audience:
            self.count_updates(update.key.channel, 1)
        for connection in audience:
            connection.offer(update)
            self.wake(connection)
        return len(audience)

    # -- subscriptions

    def _subscribe(self, connection: Connection, request: Subscribe) -> None:
        self._check_room(connection, request)
        fresh: list[Series] = []
        for group, symbols in request.selections.items():
            self.prepare(group)
            held = connection.selections.setdefault(group, set())
            fresh += [series for series in self._wanted(group, symbols - held) if connection not in series.subscribers]
            self._count(group, len(symbols - held))
            held |= symbols
            if ALL in symbols and not group.channel.is_event:
                self._wildcards.setdefault(group, {})[connection] = None
        for series in fresh:
            series.subscribers[connection] = None
        self._answer(connection, request.id)
        if request.history:
            count = sum(self._send_history(connection, series, request.history) for series in fresh)
            connection.put(connection.codec.history_end(request.id, count))

    def _unsubscribe(self, connection: Connection, request: Unsubscribe) -> None:
        self._remove(connection, request.selections)
        self._answer(connection, request.id)

    def _remove(self, connection: Connection, selections: Selections) -> None:
        for group, symbols in selections.items():
            held = connection.selections.get(group, set())
            before = list(self._wanted(group, symbols & held))
            self._count(group, -len(symbols & held))
            held -= symbols
            if ALL in symbols:
                self._forget_wildcard(group, connection)
            for series in before:
                is_covered = ALL in held and not group.channel.is_event
                if not is_covered and series.key.symbol not in held:
                    self._drop(connection, series)
            if not held:
                connection.selections.pop(group, None)

    def _count(self, group: Group, more: int) -> None:
        SUBSCRIPTIONS.inc(more)
        self._wanted_symbols[group] += more

    def _forget_wildcard(self, group: Group, connection: Connection) -> None:
        everyone = self._wildcards.get(group, {})
        everyone.pop(connection, None)
        if not everyone:
            self._wildcards.pop(group, None)

    def _drop(self, connection: Connection, series: Series) -> None:
        series.subscribers.pop(connection, None)
        connection.forget(series.key)
        if not series.subscribers and series.history is None:
            # Nobody wants it and there are no rows here: a misspelt symbol must not stay for ever.
            self._series.pop(series.key, None)
            self._groups[series.key.group].pop(series.key.symbol, None)
            SERIES.set(len(self._series))

    def _wanted(self, group: Group, symbols: Iterable[str]) -> Iterator[Series]:
        """The series that a selection names, each once."""
        wanted = set(symbols)
        if ALL in wanted and not group.channel.is_event:
            yield from list(self._groups.get(group, {}).values())
            wanted -= self._groups.get(group, {}).keys() | {ALL}
        for symbol in sorted(wanted):
            yield self.series(SeriesKey(group.channel, symbol, group.interval))

    def _check_room(self, connection: Connection, request: Subscribe) -> None:
        held = sum(len(symbols) for symbols in connection.selections.values())
        added = sum(len(symbols - connection.selections.get(group, set())) for group, symbols in request.selections.items())
        if held + added > self.limits.subscriptions:
            raise BadRequest("subscriptions", held + added, f"at most {self.limits.subscriptions:,} on one connection", request.id, code=429)

    def _answer(self, connection: Connection, request_id: str) -> None:
        state: Selections = {group: frozenset(symbols) for group, symbols in connection.selections.items()}
        connection.put(connection.codec.subscriptions(state, request_id))

    def _send_history(self, connection: Connection, series: Series, rows: int) -> int:
        if series.key.channel is Channel.LIVE_BARS:
            return self._send_forming(connection, series)
        if series.history is None:
            return 0
        end = series.history.count()
        first = max(series.history.first(), end - rows)
        if first < end:
            connection.put_past(Past(partial(self._kept, series.key, series.history), first, end))
        return end - first

    def _send_forming(self, connection: Connection, series: Series) -> int:
        forming = self.forming.get(series.key)
        if forming is None or forming.at <= self.newest_final(series.key.symbol, series.key.interval):
            return 0
        connection.put_past(Past(lambda _number: forming, 0, 1))
        return 1

    def _kept(self, key: SeriesKey, history: History, number: int) -> Update | None:
        return self._cache.update(key, history, number) if number >= history.first() else None
