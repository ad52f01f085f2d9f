"""Anything as a record of market.ticks.v1: it is refused with nothing changed, or every row of it is accounted for."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from services.prices import worker_metrics as metrics
from services.prices.stream import PricesProcessor
from services.runtime import topics
from services.runtime.columns import TickColumns, decode_bars, decode_late, decode_ticks, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.headers import record_headers
from services.runtime.stream.records import InputRecord, Output
from tests.oracle import SECOND
from tests.unit.prices.bar_inputs import BASE, LATENESS, SYMBOLS, any_batches, batch, session_table

SOURCES = ("live:x", "live:y", "replay:z", "synthetic:q")
FAR = 40_000_000 * SECOND


def new_processor() -> PricesProcessor:
    """Of the only partition, so that every symbol is in its place."""
    return PricesProcessor(0, 1, session_table(), LATENESS, 200_000_000)


def record(value: bytes, schema: str = topics.TICKS.message) -> InputRecord:
    return InputRecord(topics.TICKS.name, 0, 0, value, record_headers(schema, "fuzz") if schema else [])


def closing() -> Iterable[InputRecord]:
    # By name, for a source that has ended before has no symbols any more.
    return [record(encode_ticks(batch(source, [], FAR, ended=True, names=SYMBOLS))) for source in SOURCES]


def rows_in_bars(outputs: list[Output]) -> int:
    bars = [decode_bars(output.value) for output in outputs if output.topic == topics.BARS.name]
    return sum(int(each.trade_count[each.interval == 1].sum()) for each in bars)


def rows_late(outputs: list[Output]) -> int:
    return sum(len(decode_late(output.value).ticks) for output in outputs if output.topic == topics.LATE.name)


def attempt(processor: PricesProcessor, taken: InputRecord) -> tuple[list[Output] | None, str]:
    """Outputs, or None and why the record was refused."""
    try:
        return processor.process(taken), ""
    except BadRecord as error:
        return None, error.why


@settings(max_examples=60, deadline=None)
@given(any_batches())
def test_every_row_is_in_a_bar_late_or_a_duplicate(batches: list[TickColumns]) -> None:
    processor, before = new_processor(), metrics.DUPLICATES._value.get()
    outputs = [output for ticks in batches for output in processor.process(record(encode_ticks(ticks)))]
    outputs += [output for each in closing() for output in processor.process(each)]
    duplicates = int(metrics.DUPLICATES._value.get() - before)
    assert rows_in_bars(outputs) + rows_late(outputs) + duplicates == sum(len(ticks) for ticks in batches)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real record with bytes changed, cut, repeated or put in."""
    value = bytearray(b"".join(encode_ticks(ticks) for ticks in draw(any_batches())[: draw(st.integers(1, 2))]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(value) - 1)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.binary(max_size=300), damaged()))
def test_no_bytes_are_worse_than_a_bad_record(value: bytes) -> None:
    processor = new_processor()
    processor.process(record(encode_ticks(batch("live:x", [("AA.XCME", 0, 100, 1, 1)]))))
    state, before = processor.freeze().pack(), metrics.DUPLICATES._value.get()
    outputs, why = attempt(processor, record(value))
    if outputs is None:
        assert why
        assert processor.freeze().pack() == state
        return
    rows = len(decode_ticks(value))
    # The next records are taken as if nothing had been.
    processor.process(record(encode_ticks(batch("live:y", [("BB.XSIM", 0, 100, 1, 1)]))))
    restored = new_processor()
    restored.restore(processor.freeze().pack())
    assert [restored.process(each) for each in closing()] == [processor.process(each) for each in closing()]
    assert rows_late(outputs) + metrics.DUPLICATES._value.get() - before <= rows


@given(st.text(max_size=40), st.booleans())
def test_a_wrong_schema_is_refused_whatever_it_says(schema: str, as_header: bool) -> None:
    good = encode_ticks(batch("live:x", [("AA.XCME", BASE, 100, 1, 1)]))
    headers = [("schema", schema.encode("utf-8", "surrogatepass"))] if as_header else []
    outputs, why = attempt(new_processor(), InputRecord(topics.TICKS.name, 0, 0, good, headers))
    refused = as_header and schema not in {"", topics.TICKS.message}
    assert (outputs is None) == refused
    assert not refused or "schema" in why
