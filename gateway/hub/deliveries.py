"""The last span of a trace: from the moment the hub has a record to the moment its clients have been sent what they are owed of it."""

from opentelemetry.trace import Span, SpanKind

from gateway.hub.blocks import Origin
from services.runtime.clock import Clock
from services.runtime.record_spans import record_attributes
from services.runtime.telemetry import is_recording, parse_traceparent, start_span


class _Delivery:
    __slots__ = ("clients", "rows", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.rows = self.clients = 0


class Deliveries:
    """Of records whose trace is recorded; used from the hub's thread.

    A record has one such span however many clients there are: a span for each would be a thousand at once. It ends with the flush that takes the record's
    messages to those who read; for a client that does not, they wait longer than the span says.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[Origin, _Delivery] = {}

    def note(self, origin: Origin | None, rows: int, clients: int) -> None:
        """Rows of a record that were put into the queues of so many clients. origin: None when its trace is not recorded."""
        if origin is None or not (rows and clients and is_recording()):
            return
        delivery = self._open.get(origin)
        if delivery is None:
            span = self._start(origin)
            if span is None:
                return
            delivery = self._open[origin] = _Delivery(span)
        delivery.rows += rows
        delivery.clients = max(delivery.clients, clients)

    def end(self) -> None:
        """What was noted has been sent."""
        if not self._open:
            return
        now = self._clock.now_ns()
        for delivery in self._open.values():
            delivery.span.set_attributes({"signalbox.rows": delivery.rows, "signalbox.clients": delivery.clients})
            delivery.span.end(now)
        self._open.clear()

    def _start(self, origin: Origin) -> Span | None:
        attributes = record_attributes("deliver", "process", origin.topic, origin.partition) | {"messaging.kafka.offset": origin.offset}
        return start_span(f"deliver {origin.topic}", parse_traceparent(origin.traceparent), SpanKind.CONSUMER, attributes, start_ns=self._clock.now_ns())
