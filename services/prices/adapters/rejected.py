"""Kafka: where ticks go that were not taken at the gRPC door, each with its reason, within a limit."""

import asyncio
import os
from collections import deque
from collections.abc import Sequence

from signalbox.prices.v1 import prices_service_pb2 as pb

from services.prices.admission import Rejection, SentTicks
from services.prices.metrics import REJECTIONS_NOT_PUBLISHED
from services.runtime.clock import Clock
from services.runtime.headers import record_headers
from services.runtime.kafka import Publisher
from services.runtime.metrics import DEAD_LETTERS
from services.runtime.topics import TICKS

#: As of dead letters elsewhere; but the fault is the client's here, so that what is above it is counted and the process goes on.
LIMIT_PER_MINUTE = 1_000
_MINUTE_NS = 60 * 10**9
_SCHEMA = pb.IngestTick.DESCRIPTOR.full_name


class KafkaRejectedTicks:
    """RejectedTicks on market.ticks.v1.dlq: an IngestTick in each record, as far as it could be read."""

    def __init__(self, publisher: Publisher, clock: Clock, limit_per_minute: int = LIMIT_PER_MINUTE) -> None:
        self._publisher, self._clock, self._limit = publisher, clock, limit_per_minute
        self._sent_ns: deque[int] = deque()

    async def send(self, source: str, position: int, ticks: SentTicks, rejections: Sequence[Rejection]) -> None:
        """As RejectedTicks says."""
        sent = rejections[: self._room()]
        REJECTIONS_NOT_PUBLISHED.inc(len(rejections) - len(sent))
        DEAD_LETTERS.labels(TICKS.name).inc(len(sent))
        now = self._clock.monotonic_ns()
        for item in sent:
            self._sent_ns.append(now)
            headers = [
                *record_headers(_SCHEMA, f"rejected-{os.urandom(8).hex()}", feed=source),
                ("dlq_reason", item.detail.encode()),
                ("dlq_topic", TICKS.name.encode()),
                ("dlq_position", b"%d" % (position + item.index)),
            ]
            value = _tick(ticks, item.index).SerializeToString()
            (await self._publisher.publish(TICKS.dead_letters().name, 0, value, headers)).add_done_callback(_note_failure)

    def _room(self) -> int:
        now = self._clock.monotonic_ns()
        while self._sent_ns and now - self._sent_ns[0] >= _MINUTE_NS:
            self._sent_ns.popleft()
        return max(0, self._limit - len(self._sent_ns))


def _note_failure(future: "asyncio.Future[int]") -> None:
    if not future.cancelled() and future.exception() is not None:
        REJECTIONS_NOT_PUBLISHED.inc()


def _tick(ticks: SentTicks, row: int) -> pb.IngestTick:
    symbol, seq, ts_event = ticks.symbols[ticks.symbol[row]], int(ticks.seq[row]), int(ticks.ts_event[row])
    tick = pb.IngestTick(symbol=symbol, price=float(ticks.price[row]), size=float(ticks.size[row]), seq=seq or None)
    if ts_event >= 0:
        tick.ts_event.FromNanoseconds(ts_event)
    return tick
