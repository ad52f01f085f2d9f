"""Ticks that nobody wants: read many records at a time, and into the histories as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hub.rows import TickRow
from gateway.hub.series import NO_INTERVAL, Channel
from gateway.hub.tables import Table, table_of
from gateway.hub.tick_histories import TickHistories, TickHistory
from gateway.hub.tick_tables import table_of_ticks
from services.runtime.columns import WEEK_NS, InstrumentRef, TickColumns, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.kafka import Record
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


def rows(table: Table) -> list[tuple[str, list[int]]]:
    return [(table.symbols[number], ints) for number, ints in zip(table.symbol.tolist(), table.ints.tolist(), strict=True)]


RECORDS = st.builds(record, st.lists(st.integers(0, 3), max_size=6), kind=st.integers(1, 3), weeks=st.integers(0, 3), price=st.sampled_from([-1, 0, 5]))


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_many_records_together_have_the_rows_that_they_have_one_by_one(values: list[bytes]) -> None:
    together = table_of_ticks(values)
    one_by_one = [table_of(Record(TICKS.name, 0, 0, None, value, [], 0)) for value in values]
    assert rows(together) == [row for table in one_by_one for row in rows(table)]
    assert set(together.interval.tolist()) <= {NO_INTERVAL}


@pytest.mark.parametrize(
    "bad", [b"\xff\xff", record([0, 1])[:-3], TickColumns.__name__.encode(), record([0]).replace(INSTRUMENTS[0].symbol.encode(), b"")], ids=range(4)
)
def test_a_bad_record_among_them_is_said(bad: bytes) -> None:
    with pytest.raises(BadRecord):
        table_of_ticks([record([0, 1]), bad, record([2])])


def table_with(names: list[str], symbols: list[int], first: int) -> Table:
    """Rows whose numbers go up from `first`."""
    ints = np.arange(first, first + len(symbols), dtype=np.int64)[:, None].repeat(9, axis=1)
    return Table(Channel.TICKS, tuple(names), np.array(symbols, np.int64), np.zeros(len(symbols), np.int64), ints)


def numbers(history: TickHistory) -> list[int]:
    return [history.row(number).ts_event for number in range(history.first(), history.count())]


@given(st.lists(st.tuples(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=20)), max_size=8), st.integers(1, 7))
def test_each_symbol_keeps_its_last_ticks(tables: list[tuple[list[int], list[int]]], capacity: int) -> None:
    histories, expected, first = TickHistories(capacity), dict[str, list[int]](), 0
    for named, symbols in tables:
        names = [f"S{number}.X" for number in named]
        fresh = {names[symbol] for symbol in symbols} - set(expected)
        assert set(histories.add(table_with(names, symbols, first))) == fresh
        for number, place in enumerate(symbols, start=first):
            expected.setdefault(names[place], []).append(number)
        first += len(symbols)
    for symbol, rows in expected.items():
        history = histories.of(symbol)
        assert (history.count(), history.first()) == (len(rows), max(0, len(rows) - capacity))
        assert numbers(history) == rows[-capacity:]


def test_more_symbols_than_share_an_array() -> None:
    histories, names = TickHistories(3), [f"S{number}.X" for number in range(1_000)]
    for turn in range(5):
        histories.add(table_with(names, list(range(999, -1, -1)), turn * 1_000))
    assert numbers(histories.of("S0.X")) == [2_999, 3_999, 4_999]
    assert numbers(histories.of("S999.X")) == [2_000, 3_000, 4_000]


def test_rows_of_one_symbol_and_tables_follow_each_other() -> None:
    histories = TickHistories(4)
    histories.add(table_with(["A.X", "B.X"], [0, 1, 0], 0))
    one = histories.of("A.X")
    one.add(np.array([[10] * 9, [11] * 9], np.int64))
    histories.add(table_with(["B.X", "A.X"], [1], 20))
    assert numbers(one) == [2, 10, 11, 20]
    assert one.row(one.count() - 1) == TickRow(*[20] * 9)


def test_a_symbol_that_is_named_without_rows_is_new_when_rows_come() -> None:
    histories = TickHistories(4)
    assert histories.add(table_with(["A.X", "B.X"], [0], 0)) == ["A.X"]
    assert histories.add(table_with(["A.X", "B.X"], [1], 1)) == ["B.X"]
    assert histories.add(table_with(["A.X", "B.X"], [], 2)) == []
