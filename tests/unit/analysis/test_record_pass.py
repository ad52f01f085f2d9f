"""The compiled pass over a record and the plain code: the same outputs and the same state, whatever the record holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from signalbox.events.v1.analysis_batch_pb2 import SignalBatch
from signalbox.events.v1.bar_batch_pb2 import BarBatch

from services.analysis import record_kernels
from services.analysis.engine import Engine
from services.analysis.record_pass import RecordPass
from services.analysis.stream import AnalysisProcessor, warm_up
from services.runtime.columns import INTERVALS, BarColumns, InstrumentRef, encode_bars, instrument_entry
from services.runtime.errors import BadRecord
from services.runtime.headers import record_headers
from services.runtime.stream.records import InputRecord, Output
from services.runtime.topics import BARS, SIGNALS

NS = 10**9
_REFS = tuple(InstrumentRef(symbol, digits, 1) for symbol, digits in (("A.XSIM", 2), ("BB.XNAS", 0), ("C.XSIM", 9), ("A.XSIM", 3)))


def record(value: bytes, offset: int) -> InputRecord:
    return InputRecord(BARS.name, 0, offset, value, record_headers(BARS.message, f"bars-{offset}"))


def bars(random: np.random.Generator, first: int, rows: int, *, odd: bool) -> BarColumns:
    """Bars that cross often. odd: with zeros, numbers too large for float64, revisions, other digits."""
    refs = [ref for ref in (_REFS[1:] if odd and random.random() < 0.3 else _REFS[:3]) if random.random() < 0.8] or [_REFS[0]]
    opens = first + np.sort(random.integers(0, 2 * rows + 1, rows))
    close = random.integers(0 if odd else 1, 2**60 if odd and random.random() < 0.3 else 50, rows)
    interval = random.choice(INTERVALS[: 2 if random.random() < 0.5 else 6], rows).astype(np.uint32)
    return BarColumns(
        instruments=tuple(refs),
        instrument=random.integers(0, len(refs), rows).astype(np.uint32),
        interval=interval,
        ts_open=opens * NS,
        ts_close=opens * NS + interval.astype(np.int64) * NS,
        open=close,
        high=close + 3,
        low=close,
        close=close,
        volume=random.integers(0 if odd else 1, 300, rows),
        vwap=close,
        trade_count=close,
        revision=(random.random(rows) < 0.1 * odd).astype(np.uint32),
        source_kind=random.integers(1, 4, rows).astype(np.int32),
        replay_shift=random.choice([0, 7 * 86400 * NS], rows),
        ts_recv=np.empty(0, np.int64),
    )


def outcome(take: object, taken: InputRecord) -> list[Output] | str:
    """Outputs, or why the record was refused."""
    try:
        return take(taken)  # type: ignore[operator,no-any-return]
    except BadRecord as error:
        return error.why


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2**32 - 1), st.booleans())
def test_both_ways_give_the_same_bytes(data: st.DataObject, seed: int, odd: bool) -> None:
    random = np.random.default_rng(seed)
    compiled, plain = AnalysisProcessor(0), AnalysisProcessor(0)
    for offset in range(data.draw(st.integers(1, 6))):
        value = bytearray(encode_bars(bars(random, 100 * offset, int(random.integers(0, 120)), odd=odd and random.random() < 0.5)))
        if data.draw(st.integers(0, 5)) == 0:
            value += instrument_entry(BarBatch, _REFS[0])  # there may be one with this symbol
        if data.draw(st.integers(0, 5)) == 0:
            value[int(random.integers(len(value) + 1)) : int(random.integers(len(value) + 1))] = random.bytes(2)
        taken = record(bytes(value), offset)
        assert outcome(compiled.process, taken) == outcome(plain._plain, taken)
        assert compiled.freeze().pack() == plain.freeze().pack()


def test_what_is_usual_takes_the_compiled_way() -> None:
    """Otherwise the test above would compare the plain code with itself."""
    random, engine, plain = np.random.default_rng(1), Engine(), AnalysisProcessor(0)
    found, taking = 0, RecordPass(engine)
    for offset in range(8):
        value = encode_bars(bars(random, 1000 * offset, 400, odd=False))
        # One that does not know the instruments of series that the engine has, now and then.
        taking = RecordPass(engine) if offset % 3 == 0 else taking
        passed = taking.run(value)
        assert passed is not None
        assert passed.signals is not None
        signals = [output.value for output in plain._plain(record(value, offset)) if output.topic == SIGNALS.name]
        assert [passed.signals] == (signals or [b""])
        found += len(SignalBatch.FromString(passed.signals).signals)
    assert found > 20


def test_a_restored_engine_goes_on_with_its_series() -> None:
    random, processor = np.random.default_rng(2), AnalysisProcessor(0)
    values = [encode_bars(bars(random, 1000 * offset, 200, odd=False)) for offset in range(4)]
    for offset, value in enumerate(values[:2]):
        processor.process(record(value, offset))
    restored = AnalysisProcessor(0)
    restored.restore(processor.freeze().pack())
    for offset, value in enumerate(values[2:], start=2):
        assert restored.process(record(value, offset)) == processor.process(record(value, offset))
    assert restored.freeze().pack() == processor.freeze().pack()


def test_warming_up_compiles_everything_once() -> None:
    warm_up()
    AnalysisProcessor(0).process(record(encode_bars(bars(np.random.default_rng(3), 0, 400, odd=False)), 0))
    for kernel in (record_kernels.take_in, record_kernels.lay_out, record_kernels.write_signals):
        assert len(kernel.signatures) == 1, "a worker would compile in the middle of a record"
