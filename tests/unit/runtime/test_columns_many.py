"""Many records decoded together hold the same rows as one by one."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signalbox.events.v1.bar_batch_pb2 import BarBatch

from services.runtime.columns import (
    INTERVALS,
    BarColumns,
    IndicatorColumns,
    InstrumentRef,
    decode_bars,
    decode_indicators,
    encode_bars,
    encode_indicators,
)
from services.runtime.columns_many import decode_many_bars, decode_many_indicators
from services.runtime.errors import BadRecord

REFS = (InstrumentRef("AAPL.XNAS", 4, 6), InstrumentRef("ES.XCME", 2, 0), InstrumentRef("TEST.XSIM", 2, 0))
NAMES = ("sma_5", "rsi_14")
#: Which symbols a record names, and to which of them each row belongs.
RECORDS = st.lists(
    st.permutations(range(3)).flatmap(lambda table: st.tuples(st.just(table), st.lists(st.integers(0, 2), max_size=5))),
    min_size=1,
    max_size=8,
)
Shape = tuple[list[int], list[int]]


def bars_of(shape: Shape, first: int) -> BarColumns:
    table, rows = shape
    n = len(rows)
    numbers = np.arange(first, first + n, dtype=np.int64)
    large = {f.name: numbers + at for at, f in enumerate(fields(BarColumns))}
    small = {"instrument": np.array(rows, np.uint32), "interval": np.array([INTERVALS[k % 6] for k in range(n)], np.uint32)}
    other = {"revision": np.zeros(n, np.uint32), "source_kind": np.full(n, 2, np.int32), "ts_recv": np.zeros(0, np.int64)}
    columns = large | small | other | {"instruments": tuple(REFS[k] for k in table)}
    return BarColumns(**columns)  # type: ignore[arg-type]


def indicators_of(shape: Shape, first: int) -> IndicatorColumns:
    table, rows = shape
    n = len(rows)
    numbers = np.arange(first, first + n, dtype=np.int64)
    return IndicatorColumns(
        symbols=tuple(REFS[k].symbol for k in table),
        names=NAMES,
        symbol=np.array(rows, np.uint32),
        interval=np.full(n, 60, np.uint32),
        ts_open=numbers,
        revision=np.zeros(n, np.uint32),
        source_kind=np.full(n, 2, np.int32),
        values=np.column_stack([numbers, numbers + 0.5]).astype(np.float64).reshape(n, 2),
        origin=numbers + 1,
        replay_shift=numbers + 2,
    )


def rows_of_bars(bars: BarColumns) -> list[tuple[object, ...]]:
    names = [f.name for f in fields(bars) if f.name not in {"instruments", "instrument", "ts_recv"}]
    return [(bars.instruments[bars.instrument[at]], *(int(getattr(bars, name)[at]) for name in names)) for at in range(len(bars))]


def rows_of_indicators(rows: IndicatorColumns) -> list[tuple[object, ...]]:
    names = [f.name for f in fields(rows) if f.name not in {"symbols", "names", "symbol", "values"}]
    return [(rows.symbols[rows.symbol[at]], *(int(getattr(rows, name)[at]) for name in names), *rows.values[at]) for at in range(len(rows))]


@given(RECORDS)
def test_bars_are_those_of_each_record(shapes: list[Shape]) -> None:
    records = [encode_bars(bars_of(shape, 10 * at)) for at, shape in enumerate(shapes)]
    assert rows_of_bars(decode_many_bars(records)) == [row for record in records for row in rows_of_bars(decode_bars(record))]


@given(RECORDS)
def test_indicators_are_those_of_each_record(shapes: list[Shape]) -> None:
    records = [encode_indicators(indicators_of(shape, 10 * at)) for at, shape in enumerate(shapes)]
    expected = [row for record in records for row in rows_of_indicators(decode_indicators(record))]
    assert rows_of_indicators(decode_many_indicators(records)) == expected


GOOD: Shape = ([0, 1, 2], [0, 1])


def uneven() -> bytes:
    batch = BarBatch.FromString(encode_bars(bars_of(GOOD, 0)))
    batch.high.append(1)
    return batch.SerializeToString()


def beyond_its_table() -> bytes:
    batch = BarBatch.FromString(encode_bars(bars_of(GOOD, 0)))
    batch.instrument[0] = 3
    return batch.SerializeToString()


def other_digits() -> bytes:
    bars = bars_of(GOOD, 0)
    return encode_bars(replace(bars, instruments=(InstrumentRef("AAPL.XNAS", 2, 0), *bars.instruments[1:])))


@pytest.mark.parametrize("bad", [uneven(), beyond_its_table(), other_digits(), b"\xff\xff"], ids=["uneven", "index", "digits", "garbage"])
def test_one_bad_record_is_refused_with_all(bad: bytes) -> None:
    good = encode_bars(bars_of(GOOD, 0))
    with pytest.raises(BadRecord):
        decode_many_bars([good, bad, good])


def test_names_must_be_the_same_in_all_records() -> None:
    one = indicators_of(GOOD, 0)
    other = replace(one, names=("sma_5", "ema_9"))
    with pytest.raises(BadRecord, match="names"):
        decode_many_indicators([encode_indicators(one), encode_indicators(other)])
