"""Anything as a record of any topic that the hub reads: it becomes rows, or it is counted and left out, and those after it are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signalbox.events.v1.alert_pb2 import Alert
from signalbox.events.v1.analysis_batch_pb2 import IndicatorBatch, SignalBatch, SignalRow
from signalbox.events.v1.article_pb2 import Article
from signalbox.events.v1.bar_batch_pb2 import BarBatch
from signalbox.events.v1.job_pb2 import JobEvent
from signalbox.events.v1.tick_batch_pb2 import TickBatch

from gateway.hub.source import _rows_of, _rows_of_backlog, _rows_of_unwanted
from gateway.hub.tables import Table
from gateway.metrics import BAD_RECORDS
from services.runtime.columns import WEEK_NS, IndicatorColumns, InstrumentRef, TickColumns, encode_bars, encode_indicators, encode_ticks
from services.runtime.kafka import Record
from services.runtime.topics import ALERTS, ARTICLES, BARS, INDICATORS, JOBS, LIVE_BARS, SIGNALS, TICKS
from tests.unit.gateway.test_blocks import bar_columns, record

MESSAGES: dict[str, type[Message]] = {
    BARS.name: BarBatch,
    LIVE_BARS.name: BarBatch,
    TICKS.name: TickBatch,
    INDICATORS.name: IndicatorBatch,
    SIGNALS.name: SignalBatch,
    ARTICLES.name: Article,
    JOBS.name: JobEvent,
    ALERTS.name: Alert,
}
#: What records are full of; any number and any text may stand there too.
_LIKELY = (0, 1, 2, 60, 300, 86_400, WEEK_NS, 2**62, 2**63 - 1)
_WORDS = st.sampled_from(("A.XSIM", "ES.XCME", "running", "high", "", "é\0"))
_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-1, 5),
}


def values_of(field: Any) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(GetMessageClass(field.message_type))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return st.binary(max_size=5) if field.type == FieldDescriptor.TYPE_BYTES else st.one_of(_WORDS, st.text(max_size=5))
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return st.floats()
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    low, high = _BOUNDS[field.cpp_type]
    return st.one_of(st.sampled_from([number for number in _LIKELY if number <= high]), st.integers(low, high))


@st.composite
def messages(draw: st.DrawFn, of: type[Message]) -> Message:
    """Any values in all fields. Columns mostly have the same length, without which nothing else is looked at."""
    message, rows = of(), draw(st.integers(0, 3))
    for field in of.DESCRIPTOR.fields:
        if field.is_repeated:
            count = rows if draw(st.integers(0, 19)) else draw(st.integers(0, 4))
            getattr(message, field.name).extend(draw(st.lists(values_of(field), min_size=count, max_size=count)))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(values_of(field)))
        else:
            setattr(message, field.name, draw(values_of(field)))
    return message


@st.composite
def damaged(draw: st.DrawFn, value: bytes) -> bytes:
    """The bytes with some changed, cut or put in."""
    octets = bytearray(value)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(octets)))
        octets[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(octets)


def sent(topic: str, value: bytes, **headers: bytes) -> Record:
    """A record that says to be of its topic's message."""
    return record(topic, value, schema=MESSAGES[topic].DESCRIPTOR.full_name.encode(), **headers)


def good(topic: str) -> Record:
    """A record that can be used."""
    return sent(topic, {BARS.name: BAR, LIVE_BARS.name: LIVE_BAR, TICKS.name: TICK, INDICATORS.name: INDICATOR, SIGNALS.name: SIGNAL, **EVENTS}[topic])


def _tick() -> bytes:
    one = np.ones(1, np.int64)
    return encode_ticks(TickColumns("replay:x", 2, (InstrumentRef("A.XSIM", 2, 0),), np.zeros(1, np.uint32), one, one, one, one, one))


def _indicator() -> bytes:
    small, kind, one = np.zeros(1, np.uint32), np.ones(1, np.int32), np.ones(1, np.int64)
    interval = np.full(1, 60, np.uint32)
    return encode_indicators(IndicatorColumns(("A.XSIM",), ("a",), small, interval, one, small, kind, np.ones((1, 1)), one, one * 0))


BAR, LIVE_BAR = encode_bars(bar_columns([0, 1], [60, 1])), encode_bars(bar_columns([0, 1], [60, 1], ts_recv=7))
TICK, INDICATOR = _tick(), _indicator()
SIGNAL = SignalBatch(signals=[SignalRow(symbol="A.XSIM", interval=60, source_kind=2)]).SerializeToString()  # type: ignore[arg-type]
EVENTS = {
    ARTICLES.name: Article(id="a", title="b").SerializeToString(),
    JOBS.name: JobEvent(id="j", state="running", priority="high").SerializeToString(),
    ALERTS.name: Alert(key="k", title="t").SerializeToString(),
}


def any_values(topic: str) -> st.SearchStrategy[list[bytes]]:
    whole = messages(MESSAGES[topic]).map(lambda message: message.SerializeToString())
    return st.lists(st.one_of(st.binary(max_size=60), whole, st.one_of(whole, st.just(good(topic).value)).flatmap(damaged)), min_size=1, max_size=3)


@pytest.mark.parametrize("topic", MESSAGES)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_nothing_but_a_bad_record_comes_out_of_decoding(topic: str, data: st.DataObject) -> None:
    values, before = data.draw(any_values(topic)), BAD_RECORDS.labels(topic)._value.get()
    records = [sent(topic, value, traceparent=data.draw(st.binary(max_size=8))) for value in values]
    expected = sum(each.size for each in _rows_of([good(topic)]))
    assert expected
    rows = _rows_of([*records, good(topic)])
    assert rows[-1].size <= expected <= sum(each.size for each in rows)
    # Rows of tables are made later, where somebody wants them.
    for table in rows:
        if isinstance(table, Table):
            assert sum(block.size for block in table.blocks()) == table.size
    assert BAD_RECORDS.labels(topic)._value.get() - before <= len(values)
    assert sum(each.size for each in _rows_of_backlog([*records, good(topic)])) == sum(each.size for each in rows)


@given(any_values(TICKS.name))
def test_ticks_that_nobody_wants_are_read_less_strictly_but_not_left_out(values: list[bytes]) -> None:
    records = [*(sent(TICKS.name, value) for value in values), good(TICKS.name)]
    assert sum(table.size for table in _rows_of_unwanted(records)) >= sum(table.size for table in _rows_of(records))


@pytest.mark.parametrize("topic", MESSAGES)
def test_what_is_left_out_is_counted(topic: str) -> None:
    before = BAD_RECORDS.labels(topic)._value.get()
    assert _rows_of([sent(topic, b"\xff\xff\xff garbage")]) == []
    assert BAD_RECORDS.labels(topic)._value.get() - before == 1
