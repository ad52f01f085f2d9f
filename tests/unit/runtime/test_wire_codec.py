"""The compiled codec: what protobuf reads and columns.py writes, it reads and writes the same, whatever the record looks like."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signalbox.events.v1.bar_batch_pb2 import BarBatch
from signalbox.events.v1.tick_batch_pb2 import TickBatch

from services.runtime import wire_kernels as kernels
from services.runtime.columns import (
    INTERVALS,
    BarColumns,
    IndicatorColumns,
    InstrumentRef,
    TickColumns,
    decode_bars,
    decode_ticks,
    encode_bars,
    encode_indicators,
    encode_ticks,
    instrument_entry,
)
from services.runtime.errors import BadRecord
from services.runtime.wire import varint
from services.runtime.wire_codec import (
    BAR_SMALL,
    BAR_WIDE,
    FINAL_BARS,
    INDICATOR_SMALL,
    INDICATOR_WIDE,
    INDICATORS,
    LIVE_BARS,
    BarReader,
    ColumnWriter,
    TickReader,
)
from tests.servers import REPOSITORY
from tests.unit.runtime.test_columns import assert_same, bar_batches, indicator_batches, tick_batches

_VARINT, _EIGHT, _LENGTH = 0, 1, 2


def outcome(decode: Any, data: bytes) -> Any:
    """Columns, or why there are none."""
    try:
        return decode(data)
    except BadRecord as error:
        return error.why


def assert_same_outcome(left: Any, right: Any) -> None:
    if isinstance(left, str) or isinstance(right, str):
        assert left == right
    else:
        assert_same(left, right)


def fields_of(data: bytes) -> list[tuple[int, int, bytes]]:
    """Number, wire type and value (without its length) of each field."""

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                return value, at

    found, at = [], 0
    while at < len(data):
        tag, at = number(at)
        begin = at
        if tag & 7 == _LENGTH:
            size, begin = number(at)
            at = begin + size
        else:
            at = begin + 8 if tag & 7 == _EIGHT else number(at)[1]
        found.append((tag >> 3, tag & 7, data[begin:at]))
    return found


def elements(value: bytes, wire_type: int) -> list[bytes]:
    """The numbers of a packed column."""
    if wire_type == _EIGHT:
        return [value[at : at + 8] for at in range(0, len(value), 8)]
    found, begin = [], 0
    for at, octet in enumerate(value):
        if octet < 0x80:
            found.append(value[begin : at + 1])
            begin = at + 1
    return found


def field(number: int, wire_type: int, value: bytes) -> bytes:
    return varint(number << 3 | wire_type) + (varint(len(value)) if wire_type == _LENGTH else b"") + value


#: Wire types of the numbers of packed columns, by message and field.
PACKED = {
    message: {
        each.number: _EIGHT if each.cpp_type == each.CPPTYPE_INT64 else _VARINT
        for each in message.DESCRIPTOR.fields
        if each.is_repeated and each.cpp_type != each.CPPTYPE_MESSAGE
    }
    for message in (TickBatch, BarBatch)
}


@st.composite
def rewritten(draw: st.DrawFn, message: Any, data: bytes) -> bytes:
    """The same message written in another of the ways that protobuf allows: columns in parts or number by number, fields mixed, unknown ones between."""
    streams: list[list[bytes]] = []
    for number, wire_type, value in fields_of(data):
        each = PACKED[message].get(number)
        way = draw(st.sampled_from(("as it is", "in two", "one by one"))) if each is not None else "as it is"
        numbers = elements(value, each) if each is not None and way != "as it is" else []
        if way == "in two":
            cut = draw(st.integers(0, len(numbers)))
            streams.append([field(number, _LENGTH, b"".join(part)) for part in (numbers[:cut], numbers[cut:])])
        elif each is not None and way == "one by one":
            streams.append([field(number, each, one) for one in numbers])
        else:
            streams.append([field(number, wire_type, value)])
    streams += [[unknown] for unknown in draw(st.lists(unknown_fields(), max_size=2))]
    if draw(st.booleans()):
        # Entries of the table must stay in their order among themselves, so only whole streams change places.
        tables = [parts for parts in streams if parts[0][:1] in {b"\x0a", b"\x1a"}]
        others = draw(st.permutations([parts for parts in streams if parts not in tables]))
        streams = [*others, *tables] if draw(st.booleans()) else [*tables, *others]
    return b"".join(part for parts in streams for part in parts)


@st.composite
def unknown_fields(draw: st.DrawFn) -> bytes:
    number = draw(st.sampled_from((50, 200, 5000)))
    return draw(
        st.one_of(
            st.binary(max_size=5).map(lambda value: field(number, _LENGTH, value)),
            st.binary(min_size=8, max_size=8).map(lambda value: field(number, _EIGHT, value)),
            st.integers(0, 2**64 - 1).map(lambda value: field(number, _VARINT, varint(value))),
        )
    )


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    value = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(value) - 1)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


@settings(deadline=None)
@given(tick_batches())
def test_ticks_are_read_as_they_were_written(ticks: TickColumns) -> None:
    reader = TickReader()
    assert reader._decode(encode_ticks(ticks)) is not None, "our own records are plain"
    assert_same(ticks, reader.decode(encode_ticks(ticks)))


@settings(max_examples=300, deadline=None)
@given(st.data(), tick_batches())
def test_ticks_are_read_as_protobuf_reads_them(data: st.DataObject, ticks: TickColumns) -> None:
    written = data.draw(rewritten(TickBatch, encode_ticks(ticks)))
    assert_same(ticks, TickReader().decode(written))


@settings(max_examples=500, deadline=None)
@given(st.data(), tick_batches())
def test_damaged_ticks_are_refused_as_protobuf_refuses_them(data: st.DataObject, ticks: TickColumns) -> None:
    written = data.draw(damaged(encode_ticks(ticks)))
    assert_same_outcome(outcome(decode_ticks, written), outcome(TickReader().decode, written))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_anything_is_read_or_refused_as_ticks(data: bytes) -> None:
    assert_same_outcome(outcome(decode_ticks, data), outcome(TickReader().decode, data))


@pytest.mark.parametrize("source", ["s" * 256, "s" * 257, "é" * 256, "é" * 257])
def test_long_names_of_sources_are_judged_as_by_columns(source: str) -> None:
    one = np.zeros(1, np.int64)
    ticks = TickColumns("s", 1, (InstrumentRef("A.B", 2, 0),), np.zeros(1, np.uint32), one, one, one, one, one)
    encoded = source.encode()
    data = encode_ticks(ticks).replace(b"\x0a\x01s", b"\x0a" + varint(len(encoded)) + encoded)
    assert_same_outcome(outcome(decode_ticks, data), outcome(TickReader().decode, data))
    assert isinstance(outcome(decode_ticks, data), str) == (len(source) > 256)


def bars_read(data: bytes) -> Any:
    """What the compiled reader reads, with the checks that it leaves to others; None where it reads nothing."""
    record = BarReader().read(data)
    if record is None:
        return None
    wide: dict[str, Any] = {name: record.wide[place, : record.rows] for place, name in enumerate(BAR_WIDE)}
    small: dict[str, Any] = {name: record.small[place, : record.rows] for place, name in enumerate(BAR_SMALL)}
    table = outcome(decode_bars, b"".join(b"\x0a" + varint(len(entry)) + entry for entry in record.entries))
    if isinstance(table, str) or not set(small["interval"].tolist()) <= set(INTERVALS):
        return outcome(decode_bars, data)
    kind = small.pop("source_kind").view(np.int32)
    return BarColumns(instruments=table.instruments, **wide, **small, source_kind=kind, ts_recv=np.empty(0, np.int64))


@settings(max_examples=300, deadline=None)
@given(st.data(), bar_batches())
def test_bars_are_read_as_protobuf_reads_them(data: st.DataObject, bars: BarColumns) -> None:
    bars = replace(bars, ts_recv=np.empty(0, np.int64))
    found = bars_read(encode_bars(bars))
    assert isinstance(found, BarColumns), "our own records are plain"
    assert_same(bars, found)
    for written in (data.draw(rewritten(BarBatch, encode_bars(bars))), data.draw(damaged(encode_bars(bars)))):
        if (again := bars_read(written)) is not None:
            assert_same_outcome(outcome(decode_bars, written), again)


def test_forming_bars_are_not_read() -> None:
    assert BarReader().read(b"\x82\x01\x08" + bytes(8)) is None


def matrix(columns: Any, names: Sequence[str], dtype: Any) -> Any:
    return np.array([getattr(columns, name) for name in names], dtype).reshape(len(names), len(columns))


@settings(deadline=None)
@given(bar_batches())
def test_bars_are_written_as_by_columns(bars: BarColumns) -> None:
    live = len(bars.ts_recv) > 0
    recv = bars.ts_recv if live else np.zeros(len(bars), np.int64)
    wide = np.vstack((matrix(bars, tuple(BAR_WIDE), np.int64), recv))
    written = ColumnWriter().write(LIVE_BARS if live else FINAL_BARS, len(bars), wide, matrix(bars, tuple(BAR_SMALL), np.uint32))
    assert b"".join(instrument_entry(BarBatch, ref) for ref in bars.instruments) + written == encode_bars(bars)


@settings(deadline=None)
@given(indicator_batches())
def test_indicators_are_written_as_by_columns(indicators: IndicatorColumns) -> None:
    wide, small = matrix(indicators, INDICATOR_WIDE, np.int64), matrix(indicators, INDICATOR_SMALL, np.uint32)
    written = ColumnWriter().write(INDICATORS, len(indicators), wide, small, indicators.values.reshape(-1).view(np.int64))
    whole = encode_indicators(indicators)
    assert whole.endswith(written)
    assert bool(written) == bool(len(indicators))
    head = replace(indicators, **{name: getattr(indicators, name)[:0] for name in (*INDICATOR_WIDE, *INDICATOR_SMALL, "values")})
    assert whole == encode_indicators(head) + written


def test_records_larger_than_the_room_are_written() -> None:
    rows = 20_000
    wide, small = np.arange(11 * rows).reshape(11, rows), np.full((4, rows), 2**32 - 1, np.uint32)
    batch = BarBatch.FromString(ColumnWriter().write(LIVE_BARS, rows, wide, small))
    assert list(batch.ts_recv) == wide[10].tolist()
    assert set(batch.revision) == {2**32 - 1}


@pytest.mark.parametrize("symbols", [1, 300])
def test_each_number_of_a_large_record_is_read(symbols: int) -> None:
    rows, random = 5000, np.random.default_rng(3)
    ts_event, ts_recv, price, size = (random.integers(-(2**63), 2**63 - 1, rows) for _ in range(4))
    refs = tuple(InstrumentRef(f"S{number}.XSIM", 2, 0) for number in range(symbols))
    index, seq = random.integers(0, symbols, rows).astype(np.uint32), random.integers(0, 2**63 - 1, rows)
    ticks = TickColumns("replay:x", 2, refs, index, ts_event, ts_recv, price, size, seq)
    found = TickReader()._decode(encode_ticks(ticks))
    assert found is not None
    assert_same(ticks, found)


def test_nothing_is_read_or_written_outside_the_arrays() -> None:
    """As plain Python the same functions look at every index."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.runtime.wire_fuzz"],
        cwd=REPOSITORY,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_the_kernels_are_compiled_once() -> None:
    none = np.zeros(0, np.int64)
    TickReader().decode(encode_ticks(TickColumns("x", 1, (), none.astype(np.uint32), none, none, none, none, none)))
    for kernel in (kernels.read, kernels.write):
        assert len(kernel.signatures) <= 1, "some caller passes other types: a process would compile again"
