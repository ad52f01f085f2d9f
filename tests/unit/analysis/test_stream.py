"""The stream processor: bytes in, bytes out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signalbox.events.v1.analysis_batch_pb2 import SignalBatch

from services.analysis.engine import Engine
from services.analysis.indicators.registry import NAMES
from services.analysis.intake import to_float
from services.analysis.signals import RULE_BY_TYPE
from services.analysis.stream import AnalysisProcessor
from services.runtime.columns import BarColumns, InstrumentRef, decode_indicators, encode_bars
from services.runtime.errors import BadRecord
from services.runtime.headers import read_headers, record_headers
from services.runtime.stream.records import InputRecord, Output, Processor
from services.runtime.topics import BARS, INDICATORS, SIGNALS
from tests.unit.analysis.series import bars_of, walk

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NS = 10**9


def batch(count: int, start: int = 0, interval: int = 60, symbols: tuple[str, ...] = ("A.XSIM",), digits: int = 2) -> BarColumns:
    """`count` bars of each symbol in turns, prices of one walk."""
    high, low, close = (np.round(column[start : start + count] * 10**digits).astype(np.int64).repeat(len(symbols)) for column in walk(start + count))
    opens = (np.arange(start, start + count, dtype=np.int64) + 1).repeat(len(symbols)) * interval * NS
    rows = len(opens)
    return BarColumns(
        instruments=tuple(InstrumentRef(symbol, digits, 1) for symbol in symbols),
        instrument=np.tile(np.arange(len(symbols), dtype=np.uint32), count),
        interval=np.full(rows, interval, np.uint32),
        ts_open=opens,
        ts_close=opens + interval * NS,
        open=close,
        high=high,
        low=low,
        close=close,
        volume=np.arange(rows, dtype=np.int64),
        vwap=np.full(rows, -1, np.int64),
        trade_count=np.full(rows, -1, np.int64),
        revision=np.zeros(rows, np.uint32),
        source_kind=np.full(rows, 2, np.int32),
        replay_shift=np.full(rows, 7 * 86400 * NS, np.int64),
        ts_recv=np.empty(0, np.int64),
    )


def record(bars: BarColumns | bytes, offset: int = 0, schema: str = BARS.message) -> InputRecord:
    value = bars if isinstance(bars, bytes) else encode_bars(bars)
    return InputRecord(BARS.name, 3, offset, value, record_headers(schema, f"bars-{offset}", TRACE))


def outputs_of(outputs: list[Output], topic: str) -> list[Output]:
    return [output for output in outputs if output.topic == topic]


def test_it_is_a_processor() -> None:
    processor: Processor = AnalysisProcessor(0)
    assert processor.state_version > 0
    assert processor.live(1) == []


def test_indicators_are_the_engines() -> None:
    bars = batch(400)
    outputs = AnalysisProcessor(3).process(record(bars, 7))
    (output,) = outputs_of(outputs, INDICATORS.name)
    columns = decode_indicators(output.value)
    engine = Engine()
    step = engine.feed(bars_of(engine.series("A.XSIM", 60), bars.ts_open, bars.high / 100, bars.low / 100, bars.close / 100))
    assert columns.values.tobytes() == step.values.tobytes()
    assert (columns.symbols, columns.names) == (("A.XSIM",), NAMES)
    assert columns.ts_open.tolist() == bars.ts_open.tolist()
    assert set(columns.origin.tolist()) == {60 * NS}
    assert set(columns.interval.tolist()) == {60}
    assert set(columns.replay_shift.tolist()) == {7 * 86400 * NS}
    assert set(columns.source_kind.tolist()) == {2}


def test_signals_carry_their_bar_and_values() -> None:
    bars = batch(1000)
    (output,) = outputs_of(AnalysisProcessor(3).process(record(bars)), SIGNALS.name)
    rows = SignalBatch.FromString(output.value).signals
    assert len({row.type for row in rows}) == 10
    for row in rows:
        at = int(np.flatnonzero(bars.ts_open == row.ts_open)[0])
        assert (row.symbol, row.interval, row.ts_close, row.price, row.volume) == ("A.XSIM", 60, bars.ts_close[at], bars.close[at] / 100, at / 10)
        assert (row.source_kind, row.replay_shift, row.direction) == (2, 7 * 86400 * NS, RULE_BY_TYPE[row.type].direction)
        assert RULE_BY_TYPE[row.type].check(dict(zip(row.value_names, row.values, strict=True))) == row.strength


def test_outputs_stay_on_the_partition_and_carry_trace_and_position() -> None:
    outputs = AnalysisProcessor(3).process(record(batch(300), 12))
    assert {output.topic for output in outputs} == {INDICATORS.name, SIGNALS.name}
    for output in outputs:
        headers = read_headers(output.headers)
        assert (output.partition, output.key) == (3, None)
        assert (headers.traceparent, headers.source) == (TRACE, (BARS.name, 3, 12))
        assert headers.schema in {INDICATORS.message, SIGNALS.message}
    assert len({read_headers(output.headers).ce_id for output in outputs}) == len(outputs)


def test_no_output_without_analysed_intervals_or_new_bars() -> None:
    processor = AnalysisProcessor(3)
    assert processor.process(record(batch(10, interval=300))) == []
    assert len(processor.process(record(batch(10)))) == 1
    assert processor.process(record(batch(10))) == []
    assert processor.process(record(batch(0))) == []


def test_only_analysed_rows_of_a_mixed_record() -> None:
    bars = batch(12)
    mixed = replace(bars, interval=np.tile(np.array([1, 60, 300, 900, 3600, 86400], np.uint32), 2))
    (output,) = AnalysisProcessor(3).process(record(mixed))
    assert decode_indicators(output.value).interval.tolist() == [1, 60, 86400, 1, 60, 86400]


def test_large_records_are_cut_below_the_brokers_limit() -> None:
    outputs = outputs_of(AnalysisProcessor(3).process(record(batch(40_000))), INDICATORS.name)
    assert [len(decode_indicators(output.value)) for output in outputs] == [16_384, 16_384, 7_232]
    assert max(len(output.value) for output in outputs) < 6 << 20
    assert len({read_headers(output.headers).ce_id for output in outputs}) == 3


@pytest.mark.parametrize(
    "bad",
    [
        record(b"\xff\xff"),
        record(batch(3), schema="signalbox.events.v1.TickBatch"),
        record(replace(batch(3), ts_recv=np.ones(3, np.int64))),
        InputRecord(BARS.name, 3, 0, encode_bars(batch(3)), []),
    ],
    ids=["garbage", "schema", "forming bars", "no headers"],
)
def test_bad_records_change_nothing(bad: InputRecord) -> None:
    processor = AnalysisProcessor(3)
    processor.process(record(batch(5)))
    before = processor.freeze().pack()
    with pytest.raises(BadRecord):
        processor.process(bad)
    assert processor.freeze().pack() == before


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=6).map(sorted), restart=st.integers(0, 6))
def test_a_restart_repeats_the_same_bytes(cuts: list[int], restart: int) -> None:
    symbols = ("A.XSIM", "B.XSIM", "C.XSIM")
    edges = [0, *cuts, 300]
    records = [record(batch(end - start, start, symbols=symbols), offset) for offset, (start, end) in enumerate(pairwise(edges))]
    whole = AnalysisProcessor(3)
    states, outputs = [], []
    for each in records:
        states.append(whole.freeze().pack())
        outputs.append(whole.process(each))
    at = min(restart, len(records) - 1)
    again = AnalysisProcessor(3)
    again.restore(states[at])
    assert [again.process(each) for each in records[at:]] == outputs[at:]
    assert again.freeze().pack() == whole.freeze().pack()


@given(st.integers(0, 2**63 - 1), st.integers(0, 9))
def test_fixed_point_is_rounded_once(fixed: int, digits: int) -> None:
    assert to_float(np.array([fixed], np.int64), np.array([digits]))[0] == fixed / 10**digits


def test_the_worker_does_not_import_pandas_or_calendars() -> None:
    code = "import sys, services.analysis.worker; sys.exit(any(m in sys.modules for m in ('pandas', 'exchange_calendars', 'pyarrow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_service_does_not_import_pandas_or_faust() -> None:
    code = "import sys, services.analysis.__main__; sys.exit(any(m in sys.modules for m in ('pandas', 'exchange_calendars', 'faust')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
