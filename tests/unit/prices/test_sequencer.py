"""From rows to records of one partition and one source."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signalbox.events.v1 import tick_batch_pb2

from services.prices.feeds.errors import DeliveryFailed
from services.prices.feeds.outbox import Outbox
from services.prices.instruments import MalformedSymbol, instrument_of
from services.prices.sequencer import MAX_ROWS, Sequencer, TickRows, one_symbol
from services.runtime.columns import WEEK_NS
from services.runtime.headers import read_headers
from services.runtime.partitions import partition_of
from services.runtime.telemetry import is_traceparent
from services.runtime.testing.kafka import MemoryPublisher
from services.runtime.topics import TICKS
from tests.unit.prices.feeds.feed_kit import VirtualClock, ticks_of

_REPLAY = tick_batch_pb2.SOURCE_KIND_REPLAY


def _made(publisher: MemoryPublisher, clock: VirtualClock, partitions: int = 4) -> tuple[Sequencer, Outbox]:
    outbox = Outbox(publisher, clock, "replay:test")
    return Sequencer(outbox, clock, partitions, _REPLAY), outbox


def _rows(symbols: tuple[str, ...], of_row: list[int]) -> TickRows:
    n = len(of_row)
    numbers = np.arange(1, n + 1, dtype=np.int64)
    return TickRows(symbols, np.array(of_row, np.uint32), 10**18 + numbers, 100 + numbers, numbers, numbers)


@given(of_row=st.lists(st.integers(0, 4), max_size=80), partitions=st.integers(1, 6))
async def test_each_record_holds_one_partition_and_every_row_is_sent_once_in_order(of_row: list[int], partitions: int) -> None:
    symbols = ("ES.XCME", "AAPL.XNAS", "IBM.XNYS", "TEST.XSIM", "XBTUSDT.XKRK")
    publisher, clock = MemoryPublisher(), VirtualClock()
    sequencer, outbox = _made(publisher, clock, partitions)
    await sequencer.write(_rows(symbols, of_row), replay_shift=WEEK_NS)
    await outbox.flush()
    seen: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    for partition, columns in ticks_of(publisher):
        for row in range(len(columns)):
            reference = columns.instruments[columns.instrument[row]]
            assert partition_of(reference.symbol, partitions) == partition
            digits = instrument_of(reference.symbol)
            assert (reference.price_digits, reference.size_digits) == (digits.price_digits, digits.size_digits)
            seen[reference.symbol].append(int(columns.seq[row]))
    assert seen == {symbol: [row + 1 for row, at in enumerate(of_row) if symbols[at] == symbol] for symbol in symbols}
    assert outbox.rows_acknowledged == len(of_row)


async def test_a_record_says_where_it_comes_from() -> None:
    publisher, clock = MemoryPublisher(), VirtualClock()
    sequencer, outbox = _made(publisher, clock)
    await sequencer.write(_rows(("ES.XCME",), [0, 0]), replay_shift=3 * WEEK_NS)
    await outbox.flush()
    headers = read_headers(publisher.records[0].headers)
    assert (headers.feed, headers.schema) == ("replay:test", "signalbox.events.v1.TickBatch")
    assert is_traceparent(headers.traceparent)
    [(_, columns)] = ticks_of(publisher)
    assert (columns.source, columns.source_kind, columns.replay_shift) == ("replay:test", _REPLAY, 3 * WEEK_NS)
    assert set(columns.ts_recv.tolist()) == {clock.now_ns()}


async def test_a_backlog_is_cut_into_records_of_bounded_size() -> None:
    publisher, clock = MemoryPublisher(), VirtualClock()
    sequencer, outbox = _made(publisher, clock)
    await sequencer.write(_rows(("ES.XCME",), [0] * (2 * MAX_ROWS + 1)))
    await outbox.flush()
    assert [len(columns) for _, columns in ticks_of(publisher)] == [MAX_ROWS, MAX_ROWS, 1]


async def test_the_promise_goes_to_every_partition_written_to_once_a_second() -> None:
    publisher, clock = MemoryPublisher(), VirtualClock()
    sequencer, outbox = _made(publisher, clock)
    symbols = ("ES.XCME", "AAPL.XNAS", "IBM.XNYS", "MSFT.XNAS")
    await sequencer.write(_rows(symbols, [0, 1, 2, 3]))
    written = {partition_of(symbol, 4) for symbol in symbols}
    for step in range(21):
        await sequencer.promise(step)
        clock.advance(0.1)
    await outbox.flush()
    assertions = [(partition, columns.watermark) for partition, columns in ticks_of(publisher) if len(columns) == 0]
    assert {partition for partition, _ in assertions} == written
    assert sorted({watermark for _, watermark in assertions}) == [0, 10, 20]


async def test_the_promise_never_goes_back() -> None:
    publisher, clock = MemoryPublisher(), VirtualClock()
    sequencer, outbox = _made(publisher, clock)
    await sequencer.write(_rows(("ES.XCME",), [0]))
    await sequencer.promise(50, now=True)
    await sequencer.promise(40, now=True)
    await outbox.flush()
    assert [columns.watermark for _, columns in ticks_of(publisher) if len(columns) == 0] == [50, 50]


async def test_the_end_is_said_to_every_partition_and_waits_for_the_broker() -> None:
    publisher, clock = MemoryPublisher(), VirtualClock()
    publisher.held = True
    sequencer, outbox = _made(publisher, clock)
    await sequencer.write(_rows(("ES.XCME", "MSFT.XNAS"), [0, 1]))
    ending = asyncio.ensure_future(sequencer.end())
    await asyncio.sleep(0.01)
    assert not ending.done()
    assert outbox.rows_acknowledged == 0
    publisher.release()
    await ending
    assert outbox.rows_acknowledged == 2
    assert {partition for partition, columns in ticks_of(publisher) if columns.source_ended} == {partition_of(s, 4) for s in ("ES.XCME", "MSFT.XNAS")}


async def test_a_full_queue_is_waited_for_and_nothing_is_dropped() -> None:
    publisher, clock = MemoryPublisher(capacity=1), VirtualClock()
    publisher.held = True
    sequencer, outbox = _made(publisher, clock)
    writing = asyncio.ensure_future(sequencer.write(_rows(("ES.XCME",), [0] * (3 * MAX_ROWS))))
    await asyncio.sleep(0.01)
    assert not writing.done()
    publisher.release()
    await writing
    await outbox.flush()
    assert [int(columns.seq[0]) for _, columns in ticks_of(publisher)] == [1, MAX_ROWS + 1, 2 * MAX_ROWS + 1]


async def test_after_a_record_that_failed_nothing_more_is_sent() -> None:
    publisher, clock = MemoryPublisher(), VirtualClock()
    publisher.away = True
    sequencer, outbox = _made(publisher, clock)
    await sequencer.write(_rows(("ES.XCME",), [0]))
    with pytest.raises(DeliveryFailed, match=TICKS.name):
        await outbox.flush()
    publisher.away = False
    with pytest.raises(DeliveryFailed):
        await sequencer.write(_rows(("ES.XCME",), [0]))
    assert publisher.records == []


async def test_a_malformed_symbol_is_refused() -> None:
    sequencer, _ = _made(MemoryPublisher(), VirtualClock())
    column = np.ones(1, np.int64)
    with pytest.raises(MalformedSymbol):
        await sequencer.write(one_symbol("nonsense", column, column, column, column))
