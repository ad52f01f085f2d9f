"""From records to rows."""

from __future__ import annotations

import numpy as np
import pytest
from signalbox.events.v1 import analysis_batch_pb2

from gateway.hub.blocks import MOST_ROWS, blocks_of
from gateway.hub.rows import BarRow, TickRow
from gateway.hub.series import Channel, SeriesKey
from gateway.hub.tables import table_of
from services.runtime.columns import WEEK_NS, BarColumns, IndicatorColumns, InstrumentRef, TickColumns, encode_bars, encode_indicators, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.kafka import Record
from services.runtime.topics import BARS, INDICATORS, LIVE_BARS, SIGNALS, TICKS

_INSTRUMENTS = (InstrumentRef("ES.XCME", 2, 0), InstrumentRef("BTC.XSIM", 1, 8))


def record(topic: str, value: bytes, **headers: bytes) -> Record:
    return Record(topic, 0, 0, None, value, list(headers.items()), 0)


def bar_columns(instruments: list[int], intervals: list[int], ts_recv: int = 0) -> BarColumns:
    count = len(instruments)
    numbers = np.arange(count, dtype=np.int64)
    return BarColumns(
        instruments=_INSTRUMENTS,
        instrument=np.array(instruments, np.uint32),
        interval=np.array(intervals, np.uint32),
        ts_open=numbers,
        ts_close=numbers + 1,
        open=numbers,
        high=numbers,
        low=numbers,
        close=numbers,
        volume=numbers,
        vwap=numbers,
        trade_count=numbers,
        revision=np.zeros(count, np.uint32),
        source_kind=np.full(count, 2, np.int32),
        replay_shift=np.zeros(count, np.int64),
        ts_recv=np.full(count if ts_recv else 0, ts_recv, np.int64),
    )


def test_bars_are_split_by_series_in_their_order() -> None:
    data = encode_bars(bar_columns([0, 1, 0, 0], [60, 60, 60, 1]))
    blocks = blocks_of(record(BARS.name, data, traceparent=b"00-t"))
    rows = {block.key: [BarRow(*row) for row in block.ints.tolist()] for block in blocks}
    assert set(rows) == {SeriesKey(Channel.BARS, "ES.XCME", 60), SeriesKey(Channel.BARS, "BTC.XSIM", 60), SeriesKey(Channel.BARS, "ES.XCME", 1)}
    assert [row.ts_open for row in rows[SeriesKey(Channel.BARS, "ES.XCME", 60)]] == [0, 2]
    other = rows[SeriesKey(Channel.BARS, "BTC.XSIM", 60)][0]
    assert (other.price_digits, other.size_digits, other.source_kind, other.ts_recv) == (1, 8, 2, 0)
    assert {block.traceparent for block in blocks} == {"00-t"}


def test_forming_bars_carry_their_time() -> None:
    (block,) = table_of(record(LIVE_BARS.name, encode_bars(bar_columns([0], [60], ts_recv=77)))).blocks()
    assert BarRow(*block.ints[0].tolist()).ts_recv == 77


def test_a_block_is_never_longer_than_a_history_can_hold() -> None:
    blocks = blocks_of(record(BARS.name, encode_bars(bar_columns([0] * 1_200, [1] * 1_200))))
    assert [len(block.ints) for block in blocks] == [MOST_ROWS, MOST_ROWS, 200]
    assert [block.ints[0, 0] for block in blocks] == [0, 500, 1000]


def test_ticks_and_a_batch_that_holds_only_a_watermark() -> None:
    numbers = np.array([5, 6], np.int64)
    batch = TickColumns("replay:es", 2, _INSTRUMENTS, np.array([1, 0], np.uint32), numbers, numbers, numbers, numbers, numbers, replay_shift=WEEK_NS)
    rows = {block.key.symbol: TickRow(*block.ints[0].tolist()) for block in table_of(record(TICKS.name, encode_ticks(batch))).blocks()}
    assert rows["ES.XCME"] == TickRow(6, 6, 6, 6, 6, 2, WEEK_NS, 2, 0)
    assert rows["BTC.XSIM"].size_digits == 8
    none = np.zeros(0, np.int64)
    empty = TickColumns("replay:es", 2, _INSTRUMENTS, np.zeros(0, np.uint32), none, none, none, none, none, watermark=5)
    assert list(table_of(record(TICKS.name, encode_ticks(empty))).blocks()) == []


def test_ticks_that_no_bar_takes_are_left_out() -> None:
    prices, sizes = np.array([0, 5, 5, 5], np.int64), np.array([5, -1, 5, 5], np.int64)
    times = np.array([1, 1, -1, 1], np.int64)
    batch = TickColumns("replay:es", 2, _INSTRUMENTS, np.zeros(4, np.uint32), times, times, prices, sizes, np.arange(4, dtype=np.int64))
    (block,) = table_of(record(TICKS.name, encode_ticks(batch))).blocks()
    assert [TickRow(*row).seq for row in block.ints.tolist()] == [3]


def test_indicators() -> None:
    columns = IndicatorColumns(
        ("A.X", "B.X"), ("a", "b"), np.array([1, 0], np.uint32), np.array([60, 1], np.uint32), np.array([5, 6], np.int64), np.zeros(2, np.uint32),
        np.full(2, 2, np.int32), np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2, np.int64), np.zeros(2, np.int64),
    )  # fmt: skip
    blocks = {block.key: block for block in blocks_of(record(INDICATORS.name, encode_indicators(columns)))}
    block = blocks[SeriesKey(Channel.INDICATORS, "B.X", 60)]
    assert block.floats is not None
    assert (block.names, block.ints.tolist(), block.floats.tolist()) == (("a", "b"), [[5, 0, 2, 0]], [[1.0, 2.0]])


@pytest.mark.parametrize("topic", [TICKS.name, BARS.name, LIVE_BARS.name, INDICATORS.name, SIGNALS.name])
def test_garbage_is_a_bad_record(topic: str) -> None:
    with pytest.raises(BadRecord):
        (table_of if topic in (TICKS.name, LIVE_BARS.name) else blocks_of)(record(topic, b"\xff\xff\xff garbage"))


@pytest.mark.parametrize(
    "row",
    [
        analysis_batch_pb2.SignalRow(symbol="A.X", interval=7, source_kind=2),  # type: ignore[arg-type]
        analysis_batch_pb2.SignalRow(symbol="A.X", interval=60),
        analysis_batch_pb2.SignalRow(symbol="A.X", interval=60, source_kind=2, value_names=["a"]),  # type: ignore[arg-type]
    ],
)
def test_a_signal_that_cannot_be_used_is_a_bad_record(row: analysis_batch_pb2.SignalRow) -> None:
    with pytest.raises(BadRecord):
        blocks_of(record(SIGNALS.name, analysis_batch_pb2.SignalBatch(signals=[row]).SerializeToString()))
