"""The span of a record's delivery."""

from __future__ import annotations

from gateway.hub.blocks import Origin
from gateway.hub.deliveries import Deliveries
from services.runtime.testing import ManualClock
from tests.recording import recording

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ORIGIN = Origin("market.bars.v1", 3, 42, PARENT)


def test_a_record_has_one_span_until_its_clients_were_sent_it() -> None:
    clock = ManualClock()
    with recording("gateway") as spans:
        deliveries = Deliveries(clock)
        deliveries.note(ORIGIN, 2, 1)
        deliveries.note(ORIGIN, 3, 4)
        clock.advance(0.005)
        deliveries.end()
        deliveries.end()
    (span,) = spans
    assert span.name == "deliver market.bars.v1"
    assert span.attributes is not None
    assert (span.attributes["signalbox.rows"], span.attributes["signalbox.clients"], span.attributes["messaging.kafka.offset"]) == (5, 4, 42)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 5_000_000


def test_no_span_for_what_nobody_is_sent_or_nobody_records() -> None:
    with recording("gateway") as spans:
        deliveries = Deliveries(ManualClock())
        deliveries.note(None, 1, 1)
        deliveries.note(ORIGIN, 0, 1)
        deliveries.note(ORIGIN, 1, 0)
        deliveries.note(ORIGIN._replace(traceparent=PARENT[:-1] + "0"), 1, 1)
        deliveries.end()
    assert spans == []
    deliveries.note(ORIGIN, 1, 1)
    deliveries.end()
