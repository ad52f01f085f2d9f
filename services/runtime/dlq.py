"""Dead letters: records that cannot be used go to `<topic>.dlq`, unchanged where they fit, with the reason; within a limit."""

from collections import deque

from confluent_kafka import Producer

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import TooManyDeadLetters
from services.runtime.headers import RecordHeaders
from services.runtime.kafka import MAX_RECORD_BYTES
from services.runtime.logging import get_logger
from services.runtime.metrics import DEAD_LETTERS

_log = get_logger("dlq")
_MINUTE_NS = 60 * 10**9
#: Long reasons are cut: some brokers refuse headers of many kilobytes.
_MAX_REASON = 1_000
#: Bytes kept of a value that is too long: enough to see what it was, and useless for anything else.
_CUT_BYTES = 1 << 20
#: Bytes of a record's own headers that are kept; a record of ours has some hundred.
_MAX_HEADERS = 64 << 10
#: Bytes of a letter beside its value: headers with ours, and what Kafka adds.
_ROOM = _MAX_HEADERS + (16 << 10)
#: Bytes that a header takes beside its name and its value, at most.
_HEADER_BYTES = 10


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
        kept, about_value = fit_value(value)
        where: RecordHeaders = [
            ("dlq_reason", reason[:_MAX_REASON].encode()),
            ("dlq_topic", topic.encode()),
            ("dlq_partition", b"%d" % partition),
            ("dlq_offset", b"%d" % offset),
        ]
        self._producer.produce(f"{topic}.dlq", kept, headers=[*_fit_headers(headers or []), *where, *about_value])
        self._producer.poll(0)

    def _count(self, reason: str) -> None:
        now = self._clock.monotonic_ns()
        while self._sent_ns and now - self._sent_ns[0] >= _MINUTE_NS:
            self._sent_ns.popleft()
        if len(self._sent_ns) >= self._limit:
            raise TooManyDeadLetters(self._limit, reason)
        self._sent_ns.append(now)


def fit_value(value: bytes) -> tuple[bytes, RecordHeaders]:
    """What of a value fits into a dead letter, and the header that says how long it was when that is not all of it.

    What was written once may be too long as a letter: the broker counts compressed bytes, the client counts them before, and a letter has more headers.
    """
    if len(value) <= MAX_RECORD_BYTES - _ROOM:
        return value, []
    return value[:_CUT_BYTES], [("dlq_original_bytes", b"%d" % len(value))]


def _fit_headers(headers: RecordHeaders) -> RecordHeaders:
    """The headers, or how many bytes there were when they are too many to be kept."""
    size = sum(len(name.encode()) + len(value or b"") + _HEADER_BYTES for name, value in headers)
    return headers if size <= _MAX_HEADERS else [("dlq_original_header_bytes", b"%d" % size)]
