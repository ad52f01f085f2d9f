"""Records on their way into the hub: another message than the topic's is left out and counted, however the records are decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gateway.hub.blocks import Block
from gateway.hub.source import _rows_of, _rows_of_backlog, _rows_of_unwanted
from gateway.hub.tables import Table
from gateway.metrics import BAD_RECORDS
from services.runtime.columns import InstrumentRef, TickColumns, encode_bars, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.kafka import Record
from services.runtime.topics import BARS, TICKS, Topic
from tests.unit.prices.bar_rows import bars


def record(topic: Topic, value: bytes, schema: str) -> Record:
    return Record(topic.name, 0, 0, None, value, record_headers(schema, "x") if schema else [], 0)


def ticks(seq: int) -> bytes:
    one = np.ones(1, np.int64)
    return encode_ticks(TickColumns("live:x", 1, (InstrumentRef("ES.XCME", 2, 0),), np.zeros(1, np.uint32), one, one, one, one, one * seq))


@pytest.mark.parametrize("schema", ["", "signalbox.events.v1.LateTicks"])
@pytest.mark.parametrize(
    ("topic", "rows_of"), [(BARS, _rows_of), (BARS, _rows_of_backlog), (TICKS, _rows_of), (TICKS, _rows_of_backlog), (TICKS, _rows_of_unwanted)]
)
def test_another_message_is_left_out(topic: Topic, rows_of: Callable[[list[Record]], Sequence[Block | Table]], schema: str) -> None:
    before = BAD_RECORDS.labels(topic.name)._value.get()
    values = [encode_bars(bars("ES.XCME", 60, [60 * number])) if topic is BARS else ticks(number) for number in range(3)]
    rows = rows_of([record(topic, value, schema if number == 1 else topic.message) for number, value in enumerate(values)])
    assert sum(len(each.ints) for each in rows) == 2
    assert BAD_RECORDS.labels(topic.name)._value.get() - before == 1
