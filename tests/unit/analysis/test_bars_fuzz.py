"""Anything as a record of market.bars.v1: it is refused with nothing changed, or every row of it is accounted for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.analysis import metrics
from services.analysis.intake import analysed_rows
from services.analysis.stream import AnalysisProcessor
from services.runtime.columns import decode_bars, decode_indicators, encode_bars
from services.runtime.errors import BadRecord
from services.runtime.headers import record_headers
from services.runtime.stream.records import InputRecord, Output
from services.runtime.topics import BARS, INDICATORS
from tests.unit.prices.bar_rows import bars


def record(value: bytes) -> InputRecord:
    return InputRecord(BARS.name, 0, 0, value, record_headers(BARS.message, "fuzz"))


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Bars of one series, some not in order and some twice; in many examples the bytes are damaged afterwards."""
    opens = draw(st.lists(st.integers(0, 40), max_size=30))
    close = draw(st.lists(st.integers(0, 2**63 - 1), min_size=len(opens), max_size=len(opens)))
    value = bytearray(encode_bars(bars("A.XSIM", draw(st.sampled_from((1, 60, 300, 86400))), [at * 86400 for at in opens], close=close)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(value) - 1)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


def attempt(processor: AnalysisProcessor, taken: InputRecord) -> tuple[list[Output] | None, str]:
    """Outputs, or None and why the record was refused."""
    try:
        return processor.process(taken), ""
    except BadRecord as error:
        return None, error.why


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=200), records()), min_size=1, max_size=4))
def test_every_bar_has_values_or_is_counted_as_repeated(values: list[bytes]) -> None:
    processor = AnalysisProcessor(0)
    for value in values:
        state, repeated = processor.freeze().pack(), metrics.BARS_REPEATED._value.get()
        outputs, why = attempt(processor, record(value))
        if outputs is None:
            assert why
            assert processor.freeze().pack() == state
            continue
        written = sum(len(decode_indicators(output.value).interval) for output in outputs if output.topic == INDICATORS.name)
        assert written + metrics.BARS_REPEATED._value.get() - repeated == len(analysed_rows(decode_bars(value)))
    restored = AnalysisProcessor(0)
    restored.restore(processor.freeze().pack())
    assert restored.freeze().pack() == processor.freeze().pack()
