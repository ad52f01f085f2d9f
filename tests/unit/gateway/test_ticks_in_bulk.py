"""Ticks that nobody wants: read many records at a time, and into the histories little by little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hub.blocks import Block
from gateway.hub.series import NO_INTERVAL, Channel
from gateway.hub.tables import Table, joined, table_of
from gateway.hub.tick_tables import table_of_ticks
from gateway.hub.unwanted_ticks import UnwantedTicks
from services.runtime.columns import WEEK_NS, InstrumentRef, TickColumns, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.kafka import Record
from services.runtime.testing import ManualClock
from services.runtime.topics import TICKS

INSTRUMENTS = tuple(InstrumentRef(f"S{number}.XSIM", number, 0) for number in range(4))


def record(symbols: list[int], *, kind: int = 1, weeks: int = 0, price: int = 5) -> bytes:
    """One tick of each symbol named, in this order."""
    used = sorted(set(symbols))
    numbers = np.arange(len(symbols), dtype=np.int64)
    prices = np.full(len(symbols), price, np.int64)
    index = np.array([used.index(symbol) for symbol in symbols], np.uint32)
    refs = tuple(INSTRUMENTS[symbol] for symbol in used)
    return encode_ticks(TickColumns("test", kind, refs, index, 10 + numbers, 20 + numbers, prices, numbers + 1, numbers, replay_shift=weeks * WEEK_NS))


def one_by_one(values: list[bytes]) -> Table:
    return joined([table_of(Record(TICKS.name, 0, 0, None, value, [], 0)) for value in values])


def rows(table: Table) -> list[tuple[str, list[int]]]:
    return [(table.symbols[number], ints) for number, ints in zip(table.symbol.tolist(), table.ints.tolist(), strict=True)]


RECORDS = st.builds(record, st.lists(st.integers(0, 3), max_size=6), kind=st.integers(1, 3), weeks=st.integers(0, 3), price=st.sampled_from([-1, 0, 5]))


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_many_records_together_have_the_rows_that_they_have_one_by_one(values: list[bytes]) -> None:
    together = table_of_ticks(values)
    assert rows(together) == rows(one_by_one(values))
    assert set(together.interval.tolist()) <= {NO_INTERVAL}


@pytest.mark.parametrize(
    "bad", [b"\xff\xff", record([0, 1])[:-3], TickColumns.__name__.encode(), record([0]).replace(INSTRUMENTS[0].symbol.encode(), b"")], ids=range(4)
)
def test_a_bad_record_among_them_is_said(bad: bytes) -> None:
    with pytest.raises(BadRecord):
        table_of_ticks([record([0, 1]), bad, record([2])])


class HandTurns:
    """A loop turned by hand, and blocks as they were added."""

    def __init__(self, began_ns: int = 500_000_000) -> None:
        self.clock = ManualClock(began_ns)
        self.steps: list[Callable[[], None]] = []
        self.waits: list[float] = []
        self.added: list[Block] = []
        self.ticks = UnwantedTicks(self.add, self.later, self.clock)

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        self.waits.append(seconds)
        self.steps.append(step)

    def add(self, block: Block) -> None:
        self.added.append(block)
        self.clock.advance(0.0006)

    def put(self, symbols: int, rows_each: int, first: int = 0) -> None:
        count = symbols * rows_each
        ints = np.arange(first, first + count, dtype=np.int64)[:, None].repeat(9, axis=1)
        names = tuple(f"S{number}.X" for number in range(symbols))
        self.ticks.put(Table(Channel.TICKS, names, np.arange(count, dtype=np.int64) % symbols, np.zeros(count, np.int64), ints))

    def numbers(self) -> list[int]:
        return [number for block in self.added for number in block.ints[:, 0].tolist()]


def test_they_wait_until_there_are_many_and_then_move_a_little_at_a_time() -> None:
    hand = HandTurns()
    hand.put(10, 1_999)
    assert not hand.steps
    hand.put(10, 1)
    turns = 0
    while hand.steps:
        hand.steps.pop(0)()
        turns += 1
        assert len(hand.added) <= 2 * turns
    # Parts of at most 500 rows, two in a turn.
    assert sorted(hand.numbers()) == sorted([*range(19_990), *range(10)])
    assert turns >= 20


def test_they_move_when_the_bars_of_the_second_are_through() -> None:
    hand = HandTurns(7_000_000_000)
    hand.put(10, 2_000)
    hand.clock.advance(0.1)
    hand.put(10, 2_000, first=20_000)
    assert hand.waits == [pytest.approx(0.3)]
    assert not hand.added
    hand.clock.advance(0.2)
    hand.steps.pop(0)()
    assert hand.waits[1:] == [0.0]
    hand.steps.pop(0)()
    assert hand.added


def test_too_many_of_them_wait_for_nothing() -> None:
    hand = HandTurns(7_000_000_000)
    hand.put(10, 20_000)
    assert hand.waits == [0.0]


def test_whoever_asks_gets_all_of_them_in_order() -> None:
    hand = HandTurns()
    hand.put(1, 20_000)
    hand.put(1, 50, first=20_000)
    hand.steps.pop(0)()
    moved = len(hand.numbers())
    assert 0 < moved < 20_000
    hand.ticks.move_all()
    assert hand.numbers() == list(range(20_050))
    while hand.steps:
        hand.steps.pop(0)()
    assert len(hand.numbers()) == 20_050
