"""Signals packed by hand against protobuf's own serialisation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from signalbox.events.v1.analysis_batch_pb2 import SignalBatch, SignalRow

from services.analysis.engine import Bars
from services.analysis.signal_wire import encode_signals
from services.analysis.signals import RULES, Signal
from services.runtime.columns import BarColumns, InstrumentRef

NUMBERS = st.one_of(st.just(0.0), st.floats(allow_nan=False), st.just(float("nan")))
TIMES = st.one_of(st.just(0), st.integers(1, 2**62))


@st.composite
def rows(draw: st.DrawFn) -> list[SignalRow]:
    """As protobuf has them; zeros, which it leaves out, are frequent."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        rule = draw(st.sampled_from(RULES))
        found.append(
            SignalRow(
                symbol=draw(st.sampled_from(["A.XSIM", "BB.XNAS"])),
                interval=draw(st.sampled_from([1, 60, 86400])),
                ts_open=draw(TIMES),
                ts_close=draw(TIMES),
                revision=draw(st.sampled_from([0, 0, 0, 1, 300])),
                type=rule.type,
                direction=rule.direction,
                price=draw(NUMBERS),
                volume=draw(NUMBERS),
                strength=draw(st.floats(0, 1)),
                value_names=rule.value_names,
                values=[draw(NUMBERS) for _ in rule.value_names],
                source_kind=draw(st.sampled_from([1, 2, 3])),  # type: ignore[arg-type]
                replay_shift=draw(st.sampled_from([0, 7 * 86400 * 10**9, -7 * 86400 * 10**9])),
            )
        )
    return found


@given(rows())
def test_the_bytes_are_those_of_protobuf(wanted: list[SignalRow]) -> None:
    instruments = (InstrumentRef("A.XSIM", 2, 0), InstrumentRef("BB.XNAS", 2, 0))
    symbols = [ref.symbol for ref in instruments]
    times = {name: np.array([getattr(row, name) for row in wanted], np.int64) for name in ("ts_open", "ts_close", "replay_shift")}
    zeros = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap", "trade_count"), np.zeros(len(wanted), np.int64))
    columns = BarColumns(
        instruments=instruments,
        instrument=np.array([symbols.index(row.symbol) for row in wanted], np.uint32),
        interval=np.array([row.interval for row in wanted], np.uint32),
        revision=np.array([row.revision for row in wanted], np.uint32),
        source_kind=np.array([row.source_kind for row in wanted], np.int32),
        ts_recv=np.empty(0, np.int64),
        **times,
        **zeros,
    )
    price, volume = (np.array([getattr(row, name) for row in wanted]) for name in ("price", "volume"))
    bars = Bars(np.arange(len(wanted)), times["ts_open"], price, price, price, price, volume)
    by_type = {rule.type: rule for rule in RULES}
    signals = tuple(Signal(at, by_type[row.type], row.strength, tuple(row.values)) for at, row in enumerate(wanted))
    every = np.arange(len(wanted))
    assert encode_signals(signals, columns, every, bars, every) == SignalBatch(signals=wanted).SerializeToString(deterministic=True)
