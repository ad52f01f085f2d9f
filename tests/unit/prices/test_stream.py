"""The processor of one partition: records in, records out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from signalbox.events.v1.bar_batch_pb2 import Snapshot

from services.prices.bar_wire import MAX_ROWS
from services.prices.stream import PricesProcessor
from services.runtime import topics
from services.runtime.columns import InstrumentRef, TickColumns, decode_bars, decode_late, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.headers import read_headers, record_headers
from services.runtime.partitions import partition_of
from services.runtime.stream.records import InputRecord, Output, Processor
from tests.oracle import SECOND, Bar
from tests.unit.prices.bar_inputs import BASE, LATENESS, Tick, bars_of_columns, batch, session_table

PARTITIONS = 4
PARTITION = partition_of("AA.XCME", PARTITIONS)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def new_processor(partition: int = PARTITION) -> PricesProcessor:
    return PricesProcessor(partition, PARTITIONS, session_table(), LATENESS, 200_000_000)


def record(ticks: TickColumns, offset: int = 0, schema: str = "TickBatch") -> InputRecord:
    headers = record_headers(schema, f"t/{offset}", TRACE)
    return InputRecord(topics.TICKS.name, PARTITION, offset, encode_ticks(ticks), headers)


def ticks_every_second(count: int, start: int = 0) -> TickColumns:
    rows: list[Tick] = [("AA.XCME", number * SECOND, 100 + number, 1, number + 1) for number in range(start, start + count)]
    return batch("live:x", rows)


def rows_of(outputs: list[Output], topic: topics.Topic) -> int:
    return sum(len(decode_bars(output.value)) for output in outputs if output.topic == topic.name)


def test_it_is_a_processor() -> None:
    processor: Processor = new_processor()
    assert processor.state_version == 3


def test_final_bars_carry_the_trace_and_position_of_the_record_that_closed_them() -> None:
    processor = new_processor()
    assert processor.process(record(ticks_every_second(1))) == []
    (output,) = processor.process(record(ticks_every_second(4, 1), 7))
    headers = read_headers(output.headers)
    assert (output.topic, output.partition, output.key) == ("market.bars.v1", PARTITION, None)
    assert headers.schema == "signalbox.events.v1.BarBatch"
    assert headers.traceparent == TRACE
    assert headers.source == (topics.TICKS.name, PARTITION, 7)
    bars = decode_bars(output.value)
    assert len(bars.ts_recv) == 0
    assert [(bar.interval, bar.ts_open - BASE) for bar in bars_of_columns(bars)] == [(1, 0), (1, SECOND)]


def test_the_same_records_give_the_same_bytes_after_a_restart() -> None:
    records = [record(ticks_every_second(5, 5 * number), number) for number in range(6)]
    straight, first, second = new_processor(), new_processor(), new_processor()
    expected = [straight.process(one) for one in records]
    assert [first.process(one) for one in records[:3]] == expected[:3]
    first.live(BASE)
    second.restore(first.freeze().pack())
    assert [second.process(one) for one in records[3:]] == expected[3:]


def test_late_rows_go_to_their_topic_with_the_reason() -> None:
    processor = new_processor()
    processor.process(record(ticks_every_second(10)))
    (output,) = processor.process(record(ticks_every_second(1), 1))
    late = decode_late(output.value)
    assert output.topic == "market.late.v1"
    assert read_headers(output.headers).schema == "signalbox.events.v1.LateTicks"
    assert (late.reason.tolist(), late.ticks.ts_event.tolist(), late.ticks.source) == ([1], [BASE], "live:x")


def test_forming_bars_are_conflated_and_end_equal_to_the_final_ones() -> None:
    processor = new_processor()
    shown: dict[tuple[object, ...], Bar] = {}
    for number in range(30):
        outputs = processor.process(record(ticks_every_second(1, number), number))
        final = [bar for output in outputs for bar in bars_of_columns(decode_bars(output.value))]
        assert [shown[bar[:3]] for bar in final] == final
        (live,) = [output for output in processor.live(BASE + number) if output.topic == topics.LIVE_BARS.name]
        bars = decode_bars(live.value)
        assert len(bars.ts_recv) == len(bars)
        shown.update({bar[:3]: bar for bar in bars_of_columns(bars)})
    assert [output for output in processor.live(BASE + 30) if output.topic == topics.LIVE_BARS.name] == []


def test_snapshots_are_keyed_and_not_more_often_than_asked() -> None:
    processor = new_processor()
    processor.process(record(ticks_every_second(5)))
    (output,) = [output for output in processor.live(10**18) if output.topic == topics.SNAPSHOTS.name]
    snapshot = Snapshot.FromString(output.value)
    assert output.key == b"AA.XCME"
    assert (snapshot.instrument.symbol, snapshot.price, snapshot.ts_event, snapshot.watermark) == ("AA.XCME", 104, BASE + 4 * SECOND, BASE + 2 * SECOND)
    processor.process(record(ticks_every_second(1, 5), 1))
    assert topics.SNAPSHOTS.name not in [output.topic for output in processor.live(10**18 + 199_999_999)]
    assert topics.SNAPSHOTS.name in [output.topic for output in processor.live(10**18 + 200_000_000)]


def test_snapshots_come_less_often_when_many_symbols_trade() -> None:
    processor = new_processor()
    names = [name for name in (f"S{number}.XCME" for number in range(400)) if partition_of(name, PARTITIONS) == PARTITION][:50]
    one_each = [("AA.XCME", 0, 100, 1, number + 1) for number in range(50)]
    many = replace(batch("live:x", one_each), instruments=tuple(InstrumentRef(name, 2, 0) for name in names), instrument=np.arange(50, dtype=np.uint32))

    def shown(now_ns: int) -> int:
        return [output.topic for output in processor.live(now_ns)].count(topics.SNAPSHOTS.name)

    processor.process(record(many))
    assert shown(10**18) == 50
    processor.process(record(ticks_every_second(1), 1))
    # 50 snapshots at 125 a second take 400 ms; after a single one it is as asked again.
    assert shown(10**18 + 399_999_999) == 0
    assert shown(10**18 + 400_000_000) == 1
    processor.process(record(ticks_every_second(1, 1), 2))
    assert shown(10**18 + 600_000_000) == 1


def test_after_a_restart_everything_is_shown_again() -> None:
    first, second = new_processor(), new_processor()
    first.process(record(ticks_every_second(5)))
    expected = first.live(10**18)
    second.restore(first.freeze().pack())
    shown = second.live(10**18)
    assert [(output.topic, output.key, output.value) for output in shown] == [(output.topic, output.key, output.value) for output in expected]


def test_bars_beyond_a_records_size_are_split() -> None:
    processor = new_processor()
    outputs = processor.process(record(ticks_every_second(MAX_ROWS + 100)))
    sizes = [len(decode_bars(output.value)) for output in outputs]
    assert len(sizes) == 2
    assert sizes[0] == MAX_ROWS
    assert len({read_headers(output.headers).ce_id for output in outputs}) == 2
    assert sum(sizes) == rows_of(outputs, topics.BARS) > MAX_ROWS


def test_records_that_cannot_be_used_are_refused_and_change_nothing() -> None:
    processor = new_processor()
    processor.process(record(ticks_every_second(3)))
    before = processor.freeze().pack()
    good = ticks_every_second(3, 3)
    other_digits = replace(good, instruments=(InstrumentRef("AA.XCME", 3, 0),))
    malformed = replace(good, instruments=(InstrumentRef("aa", 2, 0),))
    wrong: list[tuple[InputRecord, str]] = [
        (record(good, schema="BarBatch"), "schema: expected signalbox.events.v1.TickBatch, was 'signalbox.events.v1.BarBatch'"),
        (record(other_digits), "digits"),
        (record(malformed), "partition|symbol"),
        (InputRecord(topics.TICKS.name, PARTITION, 1, record(good).value, []), "schema: expected signalbox.events.v1.TickBatch, was ''"),
        (record(good)._replace(value=b"\xff\xff"), "not a signalbox.events.v1.TickBatch"),
    ]
    for bad, why in wrong:
        processor = new_processor()
        processor.restore(before)
        unchanged = processor.freeze().pack()
        with pytest.raises(BadRecord, match=why):
            processor.process(bad)
        assert processor.freeze().pack() == unchanged


def test_a_symbol_of_another_partition_is_refused() -> None:
    processor = new_processor((PARTITION + 1) % PARTITIONS)
    with pytest.raises(BadRecord, match=rf"partition: AA\.XCME belongs to {PARTITION} of 4"):
        processor.process(record(ticks_every_second(3)))


def test_the_worker_imports_neither_pandas_nor_calendars() -> None:
    code = "import sys, services.prices.worker; print([name for name in ('pandas', 'exchange_calendars', 'pyarrow', 'scipy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
