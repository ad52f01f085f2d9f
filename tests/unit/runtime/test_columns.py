"""Columns: what is encoded is decoded again, by us and by protobuf alone; garbage is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signalbox.events.v1.analysis_batch_pb2 import IndicatorBatch
from signalbox.events.v1.bar_batch_pb2 import BarBatch
from signalbox.events.v1.tick_batch_pb2 import LateTicks, TickBatch

from services.runtime.columns import (
    INTERVALS,
    WEEK_NS,
    BarColumns,
    IndicatorColumns,
    InstrumentRef,
    LateColumns,
    TickColumns,
    decode_bars,
    decode_indicators,
    decode_late,
    decode_ticks,
    encode_bars,
    encode_indicators,
    encode_late,
    encode_ticks,
)
from services.runtime.errors import BadRecord
from services.runtime.timestamps import MAX_TIME_NS

INT64 = st.integers(-(2**63), 2**63 - 1)
COUNTS = st.integers(0, 2**63 - 1)
SYMBOLS = st.lists(st.text("ABCXYZ.", min_size=1, max_size=8), min_size=1, max_size=5, unique=True)


def int_column(draw: st.DrawFn, values: st.SearchStrategy[int], rows: int, dtype: Any = np.int64) -> Any:
    return np.array(draw(st.lists(values, min_size=rows, max_size=rows)), dtype)


@st.composite
def instrument_tables(draw: st.DrawFn) -> tuple[InstrumentRef, ...]:
    return tuple(InstrumentRef(s, draw(st.integers(0, 9)), draw(st.integers(0, 9))) for s in draw(SYMBOLS))


@st.composite
def tick_batches(draw: st.DrawFn) -> TickColumns:
    instruments, rows = draw(instrument_tables()), draw(st.integers(0, 20))
    return TickColumns(
        source=draw(st.text(min_size=1, max_size=10)),
        source_kind=draw(st.integers(1, 3)),
        instruments=instruments,
        instrument=int_column(draw, st.integers(0, len(instruments) - 1), rows, np.uint32),
        ts_event=int_column(draw, INT64, rows),
        ts_recv=int_column(draw, INT64, rows),
        price=int_column(draw, INT64, rows),
        size=int_column(draw, INT64, rows),
        seq=int_column(draw, COUNTS, rows),
        watermark=draw(st.integers(0, MAX_TIME_NS - 1)),
        source_ended=draw(st.booleans()),
        replay_shift=draw(st.integers(-3000, 3000)) * WEEK_NS,
        ts_init=draw(INT64),
    )


@st.composite
def bar_batches(draw: st.DrawFn) -> BarColumns:
    instruments, rows = draw(instrument_tables()), draw(st.integers(0, 20))
    return BarColumns(
        instruments=instruments,
        instrument=int_column(draw, st.integers(0, len(instruments) - 1), rows, np.uint32),
        interval=int_column(draw, st.sampled_from(INTERVALS), rows, np.uint32),
        **{name: int_column(draw, st.integers(0, MAX_TIME_NS), rows) for name in ("ts_open", "ts_close")},
        **{name: int_column(draw, COUNTS, rows) for name in ("open", "high", "low", "close", "volume")},
        **{name: int_column(draw, st.integers(-1, 2**63 - 1), rows) for name in ("vwap", "trade_count")},
        revision=int_column(draw, st.integers(0, 2**32 - 1), rows, np.uint32),
        source_kind=int_column(draw, st.integers(1, 3), rows, np.int32),
        replay_shift=int_column(draw, INT64, rows),
        ts_recv=int_column(draw, INT64, draw(st.sampled_from((0, rows)))),
    )


@st.composite
def indicator_batches(draw: st.DrawFn) -> IndicatorColumns:
    symbols, names, rows = draw(SYMBOLS), draw(SYMBOLS), draw(st.integers(0, 10))
    values = draw(st.lists(st.floats(), min_size=rows * len(names), max_size=rows * len(names)))
    return IndicatorColumns(
        symbols=tuple(symbols),
        names=tuple(names),
        symbol=int_column(draw, st.integers(0, len(symbols) - 1), rows, np.uint32),
        interval=int_column(draw, st.sampled_from(INTERVALS), rows, np.uint32),
        ts_open=int_column(draw, st.integers(0, MAX_TIME_NS), rows),
        revision=int_column(draw, st.integers(0, 2**32 - 1), rows, np.uint32),
        source_kind=int_column(draw, st.integers(1, 3), rows, np.int32),
        values=np.array(values, np.float64).reshape(rows, len(names)),
        origin=int_column(draw, INT64, rows),
        replay_shift=int_column(draw, INT64, rows),
    )


def assert_same(left: Any, right: Any) -> None:
    for name in left.__dataclass_fields__:
        a, b = getattr(left, name), getattr(right, name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, name)
        elif hasattr(a, "__dataclass_fields__"):
            assert_same(a, b)
        else:
            assert a == b, name


def assert_protobuf_agrees(message: Any, columns: Any, names: tuple[str, ...]) -> None:
    for name in names:
        assert list(getattr(message, name)) == getattr(columns, name).ravel().tolist(), name


@given(tick_batches())
def test_ticks_round_trip(ticks: TickColumns) -> None:
    data = encode_ticks(ticks)
    assert_same(ticks, decode_ticks(data))
    assert_protobuf_agrees(TickBatch.FromString(data), ticks, ("instrument", "ts_event", "ts_recv", "price", "size", "seq"))
    assert_same(ticks, decode_ticks(TickBatch.FromString(data).SerializeToString()))


@given(bar_batches())
def test_bars_round_trip(bars: BarColumns) -> None:
    data = encode_bars(bars)
    assert_same(bars, decode_bars(data))
    assert_protobuf_agrees(BarBatch.FromString(data), bars, ("interval", "ts_open", "revision", "source_kind", "vwap", "ts_recv"))


@given(indicator_batches())
def test_indicators_round_trip(indicators: IndicatorColumns) -> None:
    data = encode_indicators(indicators)
    assert_same(indicators, decode_indicators(data))
    assert_protobuf_agrees(IndicatorBatch.FromString(data), indicators, ("symbol", "interval", "ts_open", "origin"))


@given(tick_batches(), st.data())
def test_late_ticks_round_trip(ticks: TickColumns, data: st.DataObject) -> None:
    reasons = data.draw(st.lists(st.integers(1, 4), min_size=len(ticks), max_size=len(ticks)))
    late = LateColumns(ticks, np.array(reasons, np.int32))
    encoded = encode_late(late)
    assert_same(late, decode_late(encoded))
    assert list(LateTicks.FromString(encoded).reason) == reasons


def why_refused(decode: Callable[[bytes], object], data: bytes) -> str:
    try:
        decode(data)
    except BadRecord as error:
        return error.why
    return "not refused"


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_reason_and_nothing_else_is_raised(data: bytes) -> None:
    for decode in (decode_ticks, decode_bars, decode_indicators, decode_late):
        assert why_refused(decode, data)


def ticks_of(instrument: list[int], instruments: tuple[InstrumentRef, ...], **batch: Any) -> TickColumns:
    """Row i has price 10 + i, size 20 + i, seq 30 + i."""
    rows = np.arange(len(instrument))
    return TickColumns(
        source="s",
        source_kind=2,
        instruments=instruments,
        instrument=np.array(instrument, np.uint32),
        ts_event=rows,
        ts_recv=rows,
        price=rows + 10,
        size=rows + 20,
        seq=rows + 30,
        **batch,
    )


def one_tick() -> TickColumns:
    return ticks_of([0], (InstrumentRef("A.B", 2, 0),))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"source": ""}, "source"),
        ({"source": "s" * 257}, "source"),
        ({"source_kind": 0}, "source_kind"),
        ({"source_kind": 4}, "source_kind"),
        ({"instrument": np.ones(1, np.uint32)}, "instrument"),
        ({"instruments": ()}, "instrument"),
        ({"instruments": (InstrumentRef("A.B", 10, 0),)}, "digits"),
        ({"instruments": (InstrumentRef("A" * 65, 2, 0),)}, "at most 64 characters"),
        ({"instruments": (InstrumentRef("A.B", 2, 0), InstrumentRef("A.B", 3, 0))}, "each once"),
        ({"price": np.ones(2, np.int64)}, "price"),
        ({"seq": np.full(1, -1)}, "seq"),
        ({"watermark": -1}, "watermark"),
        ({"watermark": MAX_TIME_NS}, "watermark"),
        ({"replay_shift": 86400 * 10**9}, "replay_shift"),
    ],
)
def test_a_bad_batch_is_refused_with_the_field_named(change: dict[str, Any], word: str) -> None:
    wrong = replace(one_tick(), **change)
    with pytest.raises(BadRecord, match=word):
        encode_ticks(wrong)


def test_unequal_columns_on_the_wire_are_refused() -> None:
    batch = TickBatch.FromString(encode_ticks(one_tick()))
    batch.price.append(5)
    with pytest.raises(BadRecord, match="price: expected 1 rows, was 2"):
        decode_ticks(batch.SerializeToString())


def test_take_keeps_the_rows_and_only_their_instruments() -> None:
    instruments = (InstrumentRef("A.B", 2, 0), InstrumentRef("C.D", 3, 1), InstrumentRef("E.F", 4, 2))
    ticks = ticks_of([0, 2, 1, 2], instruments, watermark=9, source_ended=True, replay_shift=WEEK_NS)
    taken = ticks.take(np.array([False, True, False, True]))
    assert [ref.symbol for ref in taken.instruments] == ["E.F"]
    assert taken.instrument.tolist() == [0, 0]
    assert taken.price.tolist() == [11, 13]
    assert (taken.watermark, taken.source_ended, taken.replay_shift) == (0, False, WEEK_NS)
