"""Dead letters: records that cannot be used go to `<topic>.dlq`, unchanged, with the reason; within a limit."""

from collections import deque

from confluent_kafka import Producer

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import TooManyDeadLetters
from services.runtime.headers import RecordHeaders
from services.runtime.logging import get_logger
from services.runtime.metrics import DEAD_LETTERS

_log = get_logger("dlq")
_MINUTE_NS = 60 * 10**9
#: Long reasons are cut: some brokers refuse headers of many kilobytes.
_MAX_REASON = 1_000


class DeadLetters:
    """Sends records to the dead-letter topic of the topic they came from.

    limit_per_minute: when more come within a minute, the fault is likely ours, and rerouting everything would hide it.
    """

    def __init__(self, producer: Producer, limit_per_minute: int = 1_000, clock: Clock | None = None) -> None:
        self._producer = producer
        self._limit = limit_per_minute
        self._clock = clock or SystemClock()
        self._sent_ns: deque[int] = deque()

    def send(self, topic: str, partition: int, offset: int, value: bytes, reason: str, *, headers: RecordHeaders | None = None) -> None:
        """Sends one record. headers: those it came with, kept. Raises TooManyDeadLetters over the limit; the process must then end."""
        self._count(reason)
        DEAD_LETTERS.labels(topic).inc()
        _log.warning("dead letter", topic=topic, partition=partition, offset=offset, reason=reason)
        where: RecordHeaders = [
            ("dlq_reason", reason[:_MAX_REASON].encode()),
            ("dlq_topic", topic.encode()),
            ("dlq_partition", b"%d" % partition),
            ("dlq_offset", b"%d" % offset),
        ]
        self._producer.produce(f"{topic}.dlq", value, headers=[*(headers or ()), *where])
        self._producer.poll(0)

    def _count(self, reason: str) -> None:
        now = self._clock.monotonic_ns()
        while self._sent_ns and now - self._sent_ns[0] >= _MINUTE_NS:
            self._sent_ns.popleft()
        if len(self._sent_ns) >= self._limit:
            raise TooManyDeadLetters(self._limit, reason)
        self._sent_ns.append(now)
