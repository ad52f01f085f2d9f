"""The way of trades to signals in one process: sequencer, prices processor, analysis processor, as many of each as there are partitions.

A market is what was traded. A disturbance is everything that must not matter: how the trades arrive, how they are cut, who is killed in between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, groupby

import numpy as np

from services.analysis.stream import AnalysisProcessor
from services.prices.feeds.outbox import Outbox
from services.prices.instruments import Instrument, mic_of
from services.prices.sequencer import Sequencer, TickRows
from services.prices.stream import PricesProcessor
from services.runtime.columns import InstrumentRef, TickColumns, encode_bars, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.partitions import partition_of
from services.runtime.stream.records import InputRecord, Output, Processor
from services.runtime.testing.kafka import MemoryPublisher, Published
from services.runtime.topics import BARS, INDICATORS, LATE, SIGNALS, TICKS
from tests.chaos.rows import Rows, columns_of, rows_of
from tests.oracle import SECOND, Row, bars_of
from tests.unit.prices.bar_inputs import BASE, LATENESS, session_table
from tests.unit.prices.feeds.feed_kit import VirtualClock

WEEK = 7 * 86_400 * SECOND
#: Digits of prices and sizes of all symbols.
DIGITS = (2, 0)
#: So far beyond its last trade goes a source's last promise: every session has ended by then.
_AFTER = 2 * 86_400 * SECOND
#: Of a lane's pattern, before its moves turn round.
_TURNS = 4


@dataclass(frozen=True, slots=True)
class Feed:
    """A source. Its clock stands `clock` ns beside the market's."""

    source: str
    kind: int
    clock: int
    shift: int = 0


#: Of trades: time since the last one in ms, move of the price, size.
Pattern = list[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Lane:
    """What a source sends of a symbol: a pattern again and again, a few times with its moves, then as many times against them."""

    feed: Feed
    symbol: str
    pattern: Pattern
    count: int
    falling: bool
    """`seq` falls as time rises."""

    def trades(self) -> list[Row]:
        """In the order of time. Those of a pattern without steps or moves are equal, and all of them count."""
        feed, rows = self.feed, []
        ts, price = BASE + feed.clock + feed.shift, 100_000
        for number in range(self.count):
            turn, at = divmod(number, len(self.pattern))
            step, move, size = self.pattern[at]
            ts += step * SECOND // 1_000
            price += move if turn // _TURNS % 2 == 0 else -move
            seq = self.count - number if self.falling else number + 1
            rows.append(Row(self.symbol, ts, feed.source, seq, 0, ts, price, size, feed.kind, feed.shift))
        return rows


@dataclass(frozen=True, slots=True)
class Market:
    """All that was traded."""

    lanes: list[Lane]

    def trades(self) -> dict[Feed, list[Row]]:
        """Every trade once, by feed."""
        found: dict[Feed, list[Row]] = {lane.feed: [] for lane in self.lanes}
        for lane in self.lanes:
            found[lane.feed] += lane.trades()
        return found

    def expected_bars(self) -> Rows:
        """The oracle's bars of all trades."""
        rows = sorted(row for lane in self.lanes for row in lane.trades())
        by_symbol = groupby(rows, key=lambda row: row.symbol)
        bars = (bars_of(of_symbol, session_table().session) for _, of_symbol in by_symbol)
        return {identity: row for some in bars for identity, row in rows_of(BARS.name, encode_bars(columns_of(some)))}


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to each processor."""

    checkpoint_every: int = 1
    """Records."""
    kills: Collection[int] = ()
    """After so many per mille of its records; it goes on from its last checkpoint."""
    look_every: int = 1_000_000
    """Records after which forming bars and snapshots are asked for."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Lists begin again at their end."""

    partitions: int = 1
    delays: Sequence[int] = (0,)
    """Of trades, 0 to LATENESS ns."""
    repeats: Sequence[int | None] = (None,)
    """When a trade comes again, ns after its time; None = it does not."""
    cuts: Sequence[int] = (1,)
    """Trades that come together."""
    promises: Sequence[int | None] = (None,)
    """After those: how far behind the earliest trade to come each source's watermark is, ns; None = it says nothing."""
    ends_early: bool = False
    """A source ends with its own last trade, not with the last of all."""
    faults: Faults = Faults()


class _Arrival:
    """One feed's trades on their way."""

    def __init__(self, feed: Feed, trades: list[Row], publisher: MemoryPublisher, partitions: int) -> None:
        self.feed, self._trades = feed, trades
        self._to_come = {(row.symbol, row.seq): row.ts for row in trades}
        # Received long after: the rule of times ahead of the clock is not looked at here.
        clock = VirtualClock(BASE + 2_000 * WEEK)
        outbox = Outbox(publisher, clock, feed.source)
        self._sequencer = Sequencer(outbox, clock, partitions, feed.kind, _instrument)
        self.ended = False

    def schedule(self, disturbance: Disturbance) -> Iterator[tuple[int, Feed, Row]]:
        """(time of the market's clock, feed, trade) of each arrival, first and repeated ones."""
        for row, delay, again in zip(self._trades, cycle(disturbance.delays), cycle(disturbance.repeats), strict=False):
            at = row.ts - self.feed.clock
            yield at + delay, self.feed, row
            if again is not None:
                yield at + again, self.feed, row

    async def write(self, rows: list[Row]) -> None:
        for row in rows:
            self._to_come.pop((row.symbol, row.seq), None)
        symbols = tuple(dict.fromkeys(row.symbol for row in rows))
        columns = (np.array([getattr(row, name) for row in rows], np.int64) for name in ("ts", "price", "size", "seq"))
        await self._sequencer.write(TickRows(symbols, np.array([symbols.index(row.symbol) for row in rows], np.uint32), *columns), self.feed.shift)

    async def promise(self, behind: int) -> None:
        """The earliest trade to come, or a little less."""
        await self._sequencer.promise(min(self._to_come.values(), default=self._last()) - behind, now=True)

    async def end(self) -> None:
        assert not self._to_come
        self.ended = True
        await self._sequencer.promise(self._last() + _AFTER)
        await self._sequencer.end()

    def _last(self) -> int:
        return max(row.ts for row in self._trades)


async def records_of(market: Market, disturbance: Disturbance) -> list[Published]:
    """The records of market.ticks.v1."""
    publisher = MemoryPublisher()
    for lane in market.lanes:
        await _name(publisher, lane.feed, lane.symbol, disturbance.partitions)
    feeds = {feed: _Arrival(feed, trades, publisher, disturbance.partitions) for feed, trades in market.trades().items()}
    arrivals = sorted((each for feed in feeds.values() for each in feed.schedule(disturbance)), key=lambda arrival: arrival[0])
    cuts, promises = cycle(disturbance.cuts), cycle(disturbance.promises)
    while arrivals:
        count = next(cuts)
        now, arrivals = arrivals[:count], arrivals[count:]
        for feed, group in groupby(now, key=lambda arrival: arrival[1]):
            await feeds[feed].write([row for _, _, row in group])
        await _after(feeds, next(promises), {feed for _, feed, _ in arrivals} if disturbance.ends_early else set(feeds))
    await _after(feeds, None, set())
    return publisher.records


async def _after(feeds: dict[Feed, _Arrival], behind: int | None, go_on: set[Feed]) -> None:
    for feed, arrival in feeds.items():
        if behind is not None and not arrival.ended:
            await arrival.promise(behind)
        if feed not in go_on and not arrival.ended:
            await arrival.end()


async def _name(publisher: MemoryPublisher, feed: Feed, symbol: str, partitions: int) -> None:
    """From then on the source counts for its symbol. Before anything else, or the first of two sources would make the second late."""
    none = np.empty(0, np.int64)
    ref = (InstrumentRef(symbol, *DIGITS),)
    columns = TickColumns(feed.source, feed.kind, ref, np.empty(0, np.uint32), none, none, none, none, none, watermark=1, replay_shift=feed.shift)
    await publisher.publish(TICKS.name, partition_of(symbol, partitions), encode_ticks(columns), record_headers(TICKS.message, f"{feed.source}/{symbol}"))


def _instrument(symbol: str) -> Instrument:
    return Instrument(symbol, *DIGITS, mic_of(symbol))


def outputs_of(new: Callable[[], Processor], records: Sequence[InputRecord], faults: Faults) -> list[Output]:
    """What one partition's processor writes, with what it writes again after it was killed. new: makes one without a state."""
    processor, written, kills = new(), list[Output](), {len(records) * kill // 1_000 for kill in faults.kills}
    at, kept = 0, (0, processor.freeze())
    while at < len(records):
        written += processor.process(records[at])
        at += 1
        if at % faults.look_every == 0:
            processor.live(BASE + at * SECOND)
        if at in kills:
            kills.remove(at)
            at, frozen = kept
            processor = new()
            processor.restore(frozen.pack())
            kept = (at, processor.freeze())
        elif at % faults.checkpoint_every == 0:
            kept = (at, processor.freeze())
    return written


def written_by(records: list[Published], disturbance: Disturbance) -> list[Output]:
    """What the processors of all partitions write."""
    written: list[Output] = []
    for partition in range(disturbance.partitions):
        ticks = [InputRecord(TICKS.name, partition, each.offset, each.value, list(each.headers)) for each in records if each.partition == partition]
        prices = outputs_of(partial(_prices, partition, disturbance.partitions), ticks, disturbance.faults)
        values = [output for output in prices if output.topic == BARS.name]
        bars = [InputRecord(BARS.name, partition, offset, output.value, output.headers) for offset, output in enumerate(values)]
        written += prices + outputs_of(partial(AnalysisProcessor, partition), bars, disturbance.faults)
    return written


def _prices(partition: int, partitions: int) -> PricesProcessor:
    return PricesProcessor(partition, partitions, session_table(), LATENESS, snapshot_interval_ns=SECOND)


def rows_in(written: Iterable[Output]) -> Rows:
    """Final bars, indicators and signals. A row that was written again must be the same."""
    rows: Rows = {}
    for output in written:
        for identity, row in rows_of(output.topic, output.value) if output.topic in _CONTRACT else ():
            assert rows.setdefault(identity, row) == row, identity
    return rows


def has_late_rows(written: Iterable[Output]) -> bool:
    """Whether a trade came after its bar was final."""
    return any(output.topic == LATE.name for output in written)


_CONTRACT = {BARS.name, INDICATORS.name, SIGNALS.name}
