"""An open-loop schedule of ticks: when each is meant to be sent is known beforehand, and a late sender does not move it.

`python -m tests.bench.schedule` is the sender, a process of its own: every 5 or 10 ms it sends what is due, as the door for ticks would.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from services.prices.batching import longest_wait_s
from services.runtime.columns import InstrumentRef, TickColumns, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.partitions import partition_of
from services.runtime.telemetry import new_traceparent
from services.runtime.topics import TICKS

#: As the door for ticks and the feeds do it.
FLUSH_S = 0.005
#: Events after the last tick, so that every bar becomes final.
END_NS = 2 * 86_400 * 1_000_000_000
#: Between the last tick and the end of its source: a bar that is final at once is seen in no forming bar.
END_AFTER_S = 3.0
PRICE_DIGITS, SIZE_DIGITS = 2, 0
LIVE = 1
#: Prime, so that symbols take turns in an order of their own and each is as busy as the others.
_STRIDE = 7_919


@dataclass(frozen=True)
class Schedule:
    """`rate` ticks a second for `seconds`, over `symbols` symbols from number `first_symbol` on, from `start_ns` on (UTC, a whole second)."""

    rate: int
    seconds: float
    symbols: int
    first_symbol: int
    start_ns: int

    @property
    def count(self) -> int:
        """Ticks in all."""
        return int(self.rate * self.seconds)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The symbols."""
        return tuple(f"S{number:05}.XSIM" for number in range(self.first_symbol, self.first_symbol + self.symbols))

    @cached_property
    def symbol(self) -> NDArray[np.uint32]:
        """Index in `names` of each tick."""
        return (np.arange(self.count, dtype=np.int64) * _STRIDE % self.symbols).astype(np.uint32)

    @cached_property
    def sent_ns(self) -> NDArray[np.int64]:
        """When each tick is meant to be sent: its ts_event and its ts_recv. Whole microseconds, as clients see them."""
        return self.start_ns + np.arange(self.count, dtype=np.int64) * 1_000_000 // self.rate * 1_000

    @cached_property
    def size(self) -> NDArray[np.int64]:
        """Of each tick."""
        return 1 + np.arange(self.count, dtype=np.int64) % 9

    @cached_property
    def price(self) -> NDArray[np.int64]:
        """Of each tick."""
        return 100_000 + np.cumsum(np.random.default_rng(1).integers(-2, 3, self.count))

    def columns(self, rows: NDArray[np.int64]) -> TickColumns:
        """Ticks by number."""
        used, index = np.unique(self.symbol[rows], return_inverse=True)
        return TickColumns(
            source=self.source,
            source_kind=LIVE,
            instruments=tuple(InstrumentRef(self.names[number], PRICE_DIGITS, SIZE_DIGITS) for number in used.tolist()),
            instrument=index.astype(np.uint32),
            ts_event=self.sent_ns[rows],
            ts_recv=self.sent_ns[rows],
            price=self.price[rows],
            size=self.size[rows],
            seq=rows + 1,
        )

    @property
    def source(self) -> str:
        """Name of the source."""
        return f"bench:{self.first_symbol}"

    def end(self) -> TickColumns:
        """The assertion that makes every bar final."""
        none = np.zeros(0, np.int64)
        watermark = self.start_ns + int(self.seconds * 1e9) + END_NS
        return TickColumns(self.source, LIVE, (), none.astype(np.uint32), none, none, none, none, none, watermark=watermark, source_ended=True)


def due(schedule: Schedule) -> Iterator[NDArray[np.int64]]:
    """Numbers of the ticks to send now, every FLUSH_S until all are sent."""
    at, turn = 0, schedule.start_ns / 1e9
    while at < schedule.count:
        turn += FLUSH_S
        time.sleep(max(0.0, turn - time.time()))
        until = int(np.searchsorted(schedule.sent_ns, time.time_ns(), side="right"))
        yield np.arange(at, until)
        at = until


@dataclass(frozen=True, slots=True)
class Batch:
    """A record of the schedule, encoded before the run: what the sender takes of the machine is not what is measured."""

    at_ns: int
    """When it is sent, UTC."""
    partition: int
    value: bytes


def batches(schedule: Schedule, partitions: int) -> list[Batch]:
    """What falls into each turn, partition by partition; a turn takes all that was due since the one before, as the door for ticks does."""
    place = np.array([partition_of(name, partitions) for name in schedule.names])[schedule.symbol]
    turn_ns = int(longest_wait_s(FLUSH_S, int(schedule.rate * FLUSH_S), partitions) * 1e9)
    turn = -(-(schedule.sent_ns - schedule.start_ns) // turn_ns)
    # Stable: the rows of a record stay in their order.
    order = np.lexsort((place, turn))
    starts = np.flatnonzero(np.diff(turn[order], prepend=-1) | np.diff(place[order], prepend=-1))
    parts = np.split(order, starts[1:])
    return [Batch(schedule.start_ns + int(turn[rows[0]]) * turn_ns, int(place[rows[0]]), encode_ticks(schedule.columns(rows))) for rows in parts]


def send(schedule: Schedule, records: list[Batch], producer: Producer, topic: str, partitions: int, *, ends: bool) -> None:
    """The whole schedule. ends: whether to say that the source has ended. Raises RuntimeError when it was not ready at the start."""

    def produce(partition: int, value: bytes) -> None:
        headers = record_headers(TICKS.message, f"{schedule.source}/{partition}", new_traceparent())
        producer.produce(topic, value, partition=partition, headers=list(headers))
        producer.poll(0)

    if time.time_ns() > schedule.start_ns:
        raise RuntimeError("the schedule was not ready in time")
    for record in records:
        time.sleep(max(0, record.at_ns - time.time_ns()) / 1e9)
        produce(record.partition, record.value)
    if ends:
        time.sleep(END_AFTER_S)
    for partition in range(partitions) if ends else ():
        produce(partition, encode_ticks(schedule.end()))
    if left := producer.flush(30):
        raise RuntimeError(f"{left} records were not acknowledged")


def arguments_of(schedule: Schedule, bootstrap: str, topic: str, partitions: int, *, ends: bool) -> list[str]:
    """The sender's command line."""
    numbers = (schedule.rate, schedule.seconds, schedule.symbols, schedule.first_symbol, schedule.start_ns)
    return ["-m", "tests.bench.schedule", *map(str, numbers), bootstrap, topic, str(partitions), *(["--ends"] if ends else [])]


def main() -> None:
    """Prints how late it sent, milliseconds."""
    parser = argparse.ArgumentParser()
    for name, kind in (("rate", int), ("seconds", float), ("symbols", int), ("first_symbol", int), ("start_ns", int)):
        parser.add_argument(name, type=kind)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("partitions", type=int)
    parser.add_argument("--ends", action="store_true")
    told = parser.parse_args()
    schedule = Schedule(told.rate, told.seconds, told.symbols, told.first_symbol, told.start_ns)
    records = batches(schedule, told.partitions)
    send(schedule, records, make_producer(told.bootstrap), told.topic, told.partitions, ends=told.ends)
    print(json.dumps({"cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main()
