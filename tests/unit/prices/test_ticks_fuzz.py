"""Anything as a record of market.ticks.v1: it is refused with nothing changed, or every row of it is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.prices import worker_metrics as metrics
from services.prices.sessions import DAY_NS, SessionTable
from services.prices.stream import PricesProcessor
from services.runtime import topics
from services.runtime.columns import WEEK_NS, TickColumns, decode_bars, decode_late, decode_ticks, encode_ticks
from services.runtime.errors import BadRecord
from services.runtime.headers import record_headers
from services.runtime.stream.records import InputRecord, Output
from services.runtime.timestamps import MAX_TIME_NS
from tests.oracle import OUT_OF_RANGE, SECOND, Row, why_unusable
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


def reasons(outputs: list[Output]) -> Counter[int]:
    return Counter(reason for output in outputs if output.topic == topics.LATE.name for reason in decode_late(output.value).reason.tolist())


def out_of_range(ticks: TickColumns) -> int:
    """How many rows are, by the oracle."""
    rows = [Row("", ts, "", 0, 0, ts, 1, 1, ticks.source_kind, ticks.replay_shift) for ts in ticks.ts_event.tolist()]
    return [why_unusable(row) for row in rows].count(OUT_OF_RANGE)


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


def days_around_base() -> SessionTable:
    """Sessions of XCME of 23 hours, each day for four weeks around BASE."""
    opens = BASE // DAY_NS * DAY_NS + np.arange(-14, 14) * DAY_NS - 2 * 3600 * SECOND
    return SessionTable({"CMES": 0}, np.array([0, 28]), opens, opens + 23 * 3600 * SECOND, np.arange(28))


#: The ends of time, where a session moved with a replay begins before it or ends after it, and where there are sessions.
_TIMES = st.one_of(
    st.integers(0, DAY_NS),
    st.integers(MAX_TIME_NS - DAY_NS, MAX_TIME_NS),
    st.integers(-DAY_NS, 9 * DAY_NS),
    st.integers(MAX_TIME_NS - 9 * DAY_NS, MAX_TIME_NS + DAY_NS),
    st.integers(BASE - 9 * DAY_NS, BASE + 9 * DAY_NS),
    st.integers(-(2**63), 2**63 - 1),
)

_WEEKS = MAX_TIME_NS // WEEK_NS


@st.composite
def far_shifted(draw: st.DrawFn) -> list[TickColumns]:
    """Replays whose shift is anything that a record may say, as often as not one that moves the sessions to the rows."""
    batches = []
    for _ in range(draw(st.integers(1, 4))):
        times = sorted(draw(st.lists(_TIMES, min_size=1, max_size=3)))
        near = [(time - BASE) // WEEK_NS for time in times]
        weeks = draw(st.one_of(st.sampled_from(near), st.sampled_from(near), st.integers(-3_000, 3_000), st.integers(-_WEEKS, _WEEKS)))
        shift = max(-_WEEKS, min(_WEEKS, weeks)) * WEEK_NS
        source, symbol = draw(st.sampled_from(("replay:z", "replay:z", "live:x"))), draw(st.sampled_from((SYMBOLS[0], *SYMBOLS)))
        ticks = batch(source, [(symbol, 0, 100 + number, 1, 0) for number in range(len(times))])
        ts = np.array(times)
        batches.append(replace(ticks, ts_event=ts, ts_recv=ts, replay_shift=shift, watermark=draw(st.one_of(st.just(0), st.integers(0, MAX_TIME_NS - 1)))))
    return batches


@settings(max_examples=300, deadline=None)
@given(far_shifted())
def test_no_shift_leads_to_bars_that_no_record_may_hold(batches: list[TickColumns]) -> None:
    processor, outputs = PricesProcessor(0, 1, days_around_base(), LATENESS, 0), list[Output]()
    for now_ns, ticks in enumerate(batches):
        outputs += processor.process(record(encode_ticks(ticks)))
        for output in processor.live(now_ns):
            assert output.topic != topics.LIVE_BARS.name or len(decode_bars(output.value))
    last = MAX_TIME_NS - 1 - BASE
    outputs += [output for source in SOURCES for output in processor.process(record(encode_ticks(batch(source, [], last, ended=True, names=SYMBOLS))))]
    assert reasons(outputs)[OUT_OF_RANGE] == sum(map(out_of_range, batches))
    assert rows_in_bars(outputs) + rows_late(outputs) + processor._engine.pending_rows == sum(len(ticks) for ticks in batches)


@pytest.mark.parametrize(("time", "in_bars"), [(3600 * SECOND, False), (9 * DAY_NS, True), (MAX_TIME_NS - 9 * DAY_NS, True), (MAX_TIME_NS - 1, False)])
def test_a_replay_near_the_ends_of_time_is_out_of_range(time: int, in_bars: bool) -> None:
    processor = PricesProcessor(0, 1, days_around_base(), LATENESS, 0)
    shift = (time - BASE) // WEEK_NS * WEEK_NS
    ticks = replace(batch("replay:z", [("AA.XCME", 0, 100, 1, 1)]), ts_event=np.array([time]), replay_shift=shift)
    outputs = processor.process(record(encode_ticks(ticks)))
    assert [decode_late(output.value).reason.tolist() for output in outputs] == ([] if in_bars else [[OUT_OF_RANGE]])
    shown = [decode_bars(output.value).interval.tolist() for output in processor.live(1) if output.topic == topics.LIVE_BARS.name]
    assert shown == ([[1, 60, 300, 900, 3600, 86400]] if in_bars else [])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real record with bytes changed, cut, repeated or put in."""
    value = bytearray(b"".join(encode_ticks(ticks) for ticks in draw(st.one_of(any_batches(), far_shifted()))[: draw(st.integers(1, 2))]))
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
    processor.live(1)
    # The next records are taken as if nothing had been.
    processor.process(record(encode_ticks(batch("live:y", [("BB.XSIM", 0, 100, 1, 1)]))))
    restored = new_processor()
    restored.restore(processor.freeze().pack())
    assert [restored.process(each) for each in closing()] == [processor.process(each) for each in closing()]
    assert rows_late(outputs) + metrics.DUPLICATES._value.get() - before <= rows


@given(st.one_of(st.text(max_size=40), st.just(topics.TICKS.message)), st.booleans())
def test_a_wrong_or_missing_schema_is_refused_whatever_it_says(schema: str, as_header: bool) -> None:
    good = encode_ticks(batch("live:x", [("AA.XCME", BASE, 100, 1, 1)]))
    headers = [("schema", schema.encode("utf-8", "surrogatepass"))] if as_header else []
    outputs, why = attempt(new_processor(), InputRecord(topics.TICKS.name, 0, 0, good, headers))
    refused = not as_header or schema != topics.TICKS.message
    assert (outputs is None) == refused
    assert not refused or "schema" in why
