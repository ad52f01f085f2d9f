"""The bar store keeps each bar once, in order, within its limit, with the position it is complete to."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.prices.bar_store import BarStore
from services.prices.errors import UnknownSeries
from services.runtime.columns import BarColumns
from services.runtime.partitions import partition_of
from tests.unit.prices.bar_rows import bars

ES = "ES.XCME"
AT = partition_of(ES, 4)


def filled(*opens: int, limit: int = 1000) -> BarStore:
    store = BarStore(4, limit)
    store.add(bars(ES, 60, opens), AT, 0)
    return store


def opens_of(store: BarStore, start: int | None = None, end: int | None = None, *, last: int = 0, limit: int | None = None) -> list[int]:
    found = store.select(ES, 60, None if start is None else start * 10**9, None if end is None else end * 10**9, last=last, limit=limit)
    return [int(ts) // 10**9 for ts in found.rows["ts_open"]]


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=12), min_size=1, max_size=12),
    st.integers(1, 30),
)
@settings(max_examples=200)
def test_any_order_and_repetition_gives_what_a_dictionary_gives(batches: list[list[tuple[int, int, int]]], limit: int) -> None:
    store, plain, forgotten = BarStore(4, limit), dict[int, tuple[int, int]](), -1
    for offset, batch in enumerate(batches):
        opens, revision, close = zip(*batch, strict=True)
        store.add(bars(ES, 60, opens, revision=revision, close=close), AT, offset)
        for ts, rev, value in batch:
            if ts > forgotten and (ts not in plain or plain[ts][0] < rev):
                plain[ts] = (rev, value)
        for ts in sorted(plain)[: max(0, len(plain) - limit)]:
            del plain[ts]
            forgotten = max(forgotten, ts)
    kept = store.select(ES, 60, None, None)
    rows = zip(kept.rows["ts_open"] // 10**9, kept.rows["revision"], kept.rows["close"], strict=True)
    assert [(int(ts), int(rev), int(close)) for ts, rev, close in rows] == [(ts, *plain[ts]) for ts in sorted(plain)]
    assert kept.next_offset == len(batches)
    assert kept.origin_ns == min(plain) * 10**9


def test_ranges_are_half_open_and_last_counts_from_the_end() -> None:
    store = filled(0, 60, 120, 180, 240)
    assert opens_of(store) == [0, 60, 120, 180, 240]
    assert opens_of(store, 60, 180) == [60, 120]
    assert opens_of(store, 61, 180) == [120]
    assert opens_of(store, last=2) == [180, 240]
    assert opens_of(store, 0, 180, last=2) == [60, 120]
    assert opens_of(store, last=99) == [0, 60, 120, 180, 240]
    assert opens_of(store, limit=2) == [0, 60]
    assert opens_of(store, 300) == []
    assert opens_of(store, None, 0) == []


def test_a_limited_answer_tells_where_the_whole_range_ends() -> None:
    found = filled(0, 60, 120).select(ES, 60, None, None, limit=2)
    assert (found.more, found.last_open_ns) == (True, 120 * 10**9)
    assert filled(0).select(ES, 60, 5, None).last_open_ns == -1


def test_the_oldest_go_first_and_the_origin_says_so() -> None:
    store = BarStore(4, 100)
    for minute in range(1000):
        store.add(bars(ES, 60, [minute * 60]), AT, minute)
    assert opens_of(store) == [minute * 60 for minute in range(900, 1000)]
    assert store.select(ES, 60, None, None).origin_ns == 900 * 60 * 10**9
    store.add(bars(ES, 60, [60]), AT, 1000)
    assert opens_of(store)[0] == 900 * 60, "what was forgotten does not come back"


def test_an_unknown_series_is_an_error() -> None:
    with pytest.raises(UnknownSeries, match=r"ES\.XCME 5m"):
        filled(0).select(ES, 300, None, None)


def test_records_that_cannot_be_used_move_the_position() -> None:
    store = filled(0)
    store.skip(AT, 7)
    assert store.select(ES, 60, None, None).next_offset == 8
    store.add(bars(ES, 60, [60]), AT, 3)
    assert store.select(ES, 60, None, None).next_offset == 8, "a record read again does not move it back"


def test_one_record_may_hold_many_series() -> None:
    store = BarStore(4, 10)
    one, two = bars(ES, 60, [0, 60]), bars("TEST.XSIM", 300, [0, 300])
    both = {name: np.concatenate([getattr(one, name), getattr(two, name)]) for name in BarColumns.__dataclass_fields__ if name != "instruments"}
    both["instrument"] = np.array([0, 0, 1, 1], np.uint32)
    store.add(BarColumns(instruments=one.instruments + two.instruments, **both), 0, 0)
    assert [(item.symbol, item.interval, item.bars) for item in store.summaries()] == [(ES, 60, 2), ("TEST.XSIM", 300, 2)]
    assert store.summaries()[1].last_open_ns == 300 * 10**9


def test_a_change_of_digits_does_not_falsify_older_bars() -> None:
    store = filled(0)
    store.add(bars(ES, 60, [60], digits=(4, 0)), AT, 1)
    assert store.select(ES, 60, None, None).rows["price_digits"].tolist() == [2, 4]


def test_rows_and_position_of_an_answer_belong_together() -> None:
    store = BarStore(4, 10_000)
    store.add(bars(ES, 60, [0]), AT, 0)

    def write() -> None:
        for number in range(1, 3000):
            store.add(bars(ES, 60, [number * 60]), AT, number)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        found = store.select(ES, 60, None, None)
        assert len(found.rows) == found.next_offset
        assert int(found.rows["ts_open"][-1]) == (found.next_offset - 1) * 60 * 10**9
    writer.join()
    assert store.select(ES, 60, None, None).next_offset == 3000
