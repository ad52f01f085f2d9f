"""Ticks without end, as a few feeds would send them, and a note of every one that was sent.

Four sources: two of the same four symbols, with times of 2013, one with a clock eighteen years ahead on four others, and one that replays the end of
the file again and again, each time a week later, on four more; so that every partition has all of them. The trades are real ones, from another place
of the file for each symbol and source. Rows come in an order shuffled within the lateness bound, some twice, in batches of any size, with assertions
of watermarks between.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np

from services.prices.feeds.es_file import EsTrades, load, locate
from services.runtime.columns import InstrumentRef, TickColumns
from services.runtime.partitions import partition_of
from tests.oracle import REPLAY, SECOND, Row

#: What the workers run with, by default.
LATENESS = 2 * SECOND
#: Rows are held back for less than that.
MAX_HOLD = 1_900_000_000
DAY = 86_400 * SECOND
WEEK = 7 * DAY
LIVE, SYNTHETIC = 1, 3
#: Weeks of sessions that the load may run through.
WEEKS = 60
#: Trades in a loop: some seconds of the load, so that a short run goes through several.
LOOP = 1_500


@dataclass(frozen=True, slots=True)
class Feed:
    """A source: its name, its kind, where its clock stands beside that of the trades, ns. loop: trades that it repeats; 0 = all."""

    source: str
    kind: int
    clock: int
    loop: int = 0


class Record(NamedTuple):
    """One record of market.ticks.v1."""

    partition: int
    ticks: TickColumns


FEEDS = (Feed("replay:es", REPLAY, 0), Feed("live:second", LIVE, 0), Feed("synthetic:test", SYNTHETIC, 939 * WEEK), Feed("replay:loops", REPLAY, 0, LOOP))


@lru_cache(maxsize=1)
def trades() -> EsTrades:
    """The real trades, in hundredths and contracts."""
    return load(locate(), 2, 0)


def symbols_of(partitions: int) -> dict[str, tuple[str, ...]]:
    """The symbols of each source: one of each partition. The two feeds of 2013 have the same ones, ES.XCME among them."""
    past, ahead, again = {partition_of("ES.XCME", partitions): "ES.XCME"}, dict[int, str](), dict[int, str]()
    for number in range(1000):
        past.setdefault(partition_of(f"P{number}.XSIM", partitions), f"P{number}.XSIM")
        ahead.setdefault(partition_of(f"F{number}.XSIM", partitions), f"F{number}.XSIM")
        again.setdefault(partition_of(f"L{number}.XCME", partitions), f"L{number}.XCME")
    same, others, loops = (tuple(names[partition] for partition in range(partitions)) for names in (past, ahead, again))
    return {"replay:es": same, "live:second": same, "synthetic:test": others, "replay:loops": loops}


@dataclass(order=True)
class _Held:
    """A row with the event time until which it is held back."""

    due: int
    row: Row = field(compare=False)


class Lane:
    """What one source sends of one symbol, without end: trades from row `start` of the file on, a week later each time round."""

    def __init__(self, feed: Feed, symbol: str, start: int, rng: random.Random, repeats: float) -> None:
        self.feed, self.symbol = feed, symbol
        self._start, self._random, self._repeats = start, rng, repeats
        self._sent = 0
        self._held: list[_Held] = []
        self.asserted = 0

    def time_after(self, rows: int) -> int:
        """Event time of the row that comes after so many."""
        return self._row(self._sent + rows).ts

    def take(self, until: int) -> list[Row]:
        """The next rows in the order they are sent, as far as event time `until`."""
        while (row := self._row(self._sent)).ts <= until:
            self._sent += 1
            for _ in range(2 if self._random.random() < self._repeats else 1):
                heapq.heappush(self._held, _Held(row.ts + self._random.randrange(MAX_HOLD), row))
        # Rows still to come are of later times than that.
        self.asserted = until - MAX_HOLD
        return [heapq.heappop(self._held).row for _ in range(len(self._held)) if self._held[0].due <= until]

    def rest(self) -> list[Row]:
        """What is still held back."""
        return [heapq.heappop(self._held).row for _ in range(len(self._held))]

    def _row(self, number: int) -> Row:
        es, loop = trades(), self.feed.loop or len(trades())
        again, at = divmod(self._start % loop + number, loop)
        at += len(es) - loop
        ts = int(es.ts_event[at]) + self.feed.clock + again * WEEK
        # A replay says by how much it is moved, and counts from the same number each time.
        replay = self.feed.kind == REPLAY
        seq, shift = (at + 1, again * WEEK) if replay else (number + 1, 0)
        return Row(self.symbol, ts, self.feed.source, seq, 0, ts, int(es.price[at]), int(es.size[at]), self.feed.kind, shift)


class Market:
    """All lanes, their batches, and a note of what was sent."""

    def __init__(self, partitions: int, seed: int, cuts: int = 0, repeats: float = 0.05) -> None:
        """seed: decides which trades. cuts: decides their order of sending, batches, repeats and assertions, none of which may change a bar."""
        self.partitions = partitions
        self._random = random.Random(f"{seed}/{cuts}")
        self._lanes: dict[str, list[Lane]] = {}
        for feed in FEEDS:
            for symbol in symbols_of(4)[feed.source]:
                of_symbol = self._lanes.setdefault(symbol, [])
                # Two sources of a symbol begin nearly together, or the first would have made the second late; so many trades are equal.
                start = random.Random(f"{seed}/{symbol}").randrange(len(trades()) // 4) + 7 * len(of_symbol)
                of_symbol.append(Lane(feed, symbol, start, self._random, repeats))
        self.sent: dict[tuple[str, str, int, int], Row] = {}
        """Each row by source, symbol, seq and shift."""
        self.rows_sent = 0
        """Those sent twice are counted twice."""

    def opening(self) -> list[Record]:
        """A record of each lane without rows: from then on its source counts for its symbol. Send before anything else."""
        return [self._batch(lane, [], watermark=1) for lane in self._all()]

    def advance(self, rows: int) -> list[Record]:
        """About so many rows of each symbol's first source and what the others have in that time: batches of any size, sources in any order."""
        until = {symbol: lanes[0].time_after(rows) for symbol, lanes in self._lanes.items()}
        records = []
        for lane in self._random.sample(self._all(), len(self._all())):
            records += self._batches(lane, lane.take(until[lane.symbol]))
            if self._random.random() < 0.05:
                # It holds for all symbols of the source in the partition.
                records.append(self._batch(lane, [], watermark=min(other.asserted for other in self._beside(lane))))
        return records

    def closing(self) -> list[Record]:
        """The rows still held back, then the end of each source: everything becomes final."""
        rest = [record for lane in self._all() for record in self._batches(lane, lane.rest())]
        ends = [(lane, max(other.asserted for other in self._beside(lane)) + WEEK) for lane in self._all()]
        return [*rest, *(self._batch(lane, [], watermark=end, ended=True) for lane, end in ends)]

    def _beside(self, lane: Lane) -> list[Lane]:
        """The lanes of its source in its partition, itself among them."""
        place = partition_of(lane.symbol, self.partitions)
        return [other for other in self._all() if other.feed == lane.feed and partition_of(other.symbol, self.partitions) == place]

    def _all(self) -> list[Lane]:
        return [lane for lanes in self._lanes.values() for lane in lanes]

    def _batches(self, lane: Lane, rows: list[Row]) -> list[Record]:
        """A record holds rows of one shift."""
        records = []
        for _, group in groupby(rows, key=lambda row: row.shift):
            part = list(group)
            while part:
                count = self._random.choice((1, 3, 50, 400))
                records.append(self._batch(lane, part[:count]))
                part = part[count:]
        return records

    def _batch(self, lane: Lane, rows: list[Row], watermark: int = 0, ended: bool = False) -> Record:
        for row in rows:
            self.sent[row.source, row.symbol, row.seq, row.shift] = row
        self.rows_sent += len(rows)
        ts, price, size, seq = (np.array([getattr(row, name) for row in rows], np.int64) for name in ("ts", "price", "size", "seq"))
        ref = InstrumentRef(lane.symbol, 2, 0)
        first = np.zeros(len(rows), np.uint32)
        columns = TickColumns(lane.feed.source, lane.feed.kind, (ref,), first, ts, ts, price, size, seq, watermark=watermark, source_ended=ended)
        if rows:
            columns = replace(columns, replay_shift=rows[0].shift)
        return Record(partition_of(lane.symbol, self.partitions), columns)
