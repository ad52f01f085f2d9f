"""A state that begins where retention has cut the log: no bar is published that was whole before and is short now."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from services.prices.stream import PricesProcessor
from services.runtime import topics
from services.runtime.columns import TickColumns, decode_bars, encode_ticks
from services.runtime.headers import record_headers
from services.runtime.stream.records import InputRecord
from tests.oracle import SECOND, Bar
from tests.unit.prices.bar_inputs import BASE, LATENESS, SourceTick, bars_of_columns, batch, honest_ticks, session_table

_SOURCES = ("live:x", "live:y", "replay:z")


def new_processor() -> PricesProcessor:
    return PricesProcessor(0, 1, session_table(), LATENESS, 200_000_000)


def run(processor: PricesProcessor, batches: list[TickColumns], first: int = 0) -> list[Bar]:
    """Final bars of the batches, which are records from offset `first` on."""
    bars = []
    for offset, ticks in enumerate(batches, first):
        record = InputRecord(topics.TICKS.name, 0, offset, encode_ticks(ticks), record_headers(topics.TICKS.message, f"t/{offset}"))
        for output in processor.process(record):
            if output.topic == topics.BARS.name:
                bars += bars_of_columns(decode_bars(output.value))
    return bars


@st.composite
def logs(draw: st.DrawFn) -> list[TickColumns]:
    """Rows that come up to the lateness bound after their time, in records of one source, and each source's end."""
    rows: list[SourceTick] = draw(honest_ticks())
    delays = draw(st.lists(st.integers(0, LATENESS // SECOND * 1_000), min_size=len(rows), max_size=len(rows)))
    came = sorted(zip(rows, delays, strict=True), key=lambda item: item[0][1][1] + item[1] * SECOND // 1_000)
    size = draw(st.integers(1, 8))
    records = []
    for source, group in groupby((row for row, _ in came), key=lambda row: row[0]):
        ticks = [tick for _, tick in group]
        records += [batch(source, ticks[at : at + size]) for at in range(0, len(ticks), size)]
    names = {"live:x": ["AA.XCME"], "live:y": ["AA.XCME"], "replay:z": ["BB.XSIM"]}
    for at in draw(st.lists(st.integers(0, len(records)), max_size=3)):
        source = draw(st.sampled_from(_SOURCES))
        records.insert(at, batch(source, [], _promise(source, records, at), names=names[source]))
    return records + [batch(source, [], 200_000 * SECOND, ended=True, names=names[source]) for source in _SOURCES]


def _promise(source: str, records: list[TickColumns], at: int) -> int:
    """The most that a source may assert there: the time of the last row it has sent, ns after BASE, unless an earlier one is to come."""
    sent = [int(ticks.ts_event.max()) for ticks in records[:at] if ticks.source == source and len(ticks)]
    to_come = [int(ticks.ts_event.min()) for ticks in records[at:] if ticks.source == source and len(ticks)]
    return min([*to_come, max(sent, default=BASE + 1)]) - BASE


@settings(deadline=None)
@given(logs(), st.data())
def test_what_is_published_behind_a_cut_was_published_before_and_what_is_whole_is_published(log: list[TickColumns], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(log)))
    whole, behind = new_processor(), new_processor()
    before, after = run(whole, log[:cut]), run(whole, log[cut:], cut)
    behind.begin_behind_cut(len(log))
    found = run(behind, log[cut:], cut)
    assert set(found) <= {*before, *after}
    # A symbol's bars are whole when they open behind the first rows of each of its lanes, or all assertions of one without rows, and the lateness bound.
    said: dict[tuple[str, str], int] = {}
    with_rows = set()
    for ticks in log[cut:]:
        for number, ref in enumerate(ticks.instruments):
            lane, times = (ref.symbol, ticks.source), ticks.ts_event[ticks.instrument == number]
            if lane not in with_rows:
                said[lane] = max([said.get(lane, 0), ticks.watermark, *times.tolist()])
            if len(times):
                with_rows.add(lane)
    reach = {symbol: max(ts for (name, _), ts in said.items() if name == symbol) + LATENESS for symbol, _ in said}
    assert set(found) >= {bar for bar in after if bar.symbol in reach and bar.ts_open > reach[bar.symbol]}


@settings(deadline=None)
@given(logs(), st.data())
def test_the_cut_is_part_of_the_state(log: list[TickColumns], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(log)))
    killed = data.draw(st.integers(cut, len(log)))
    end = data.draw(st.integers(cut, len(log)))
    one, first, second = new_processor(), new_processor(), new_processor()
    one.begin_behind_cut(end)
    first.begin_behind_cut(end)
    expected = run(one, log[cut:], cut)
    found = run(first, log[cut:killed], cut)
    second.restore(first.freeze().pack())
    found += run(second, log[killed:], killed)
    assert found == expected


def test_rows_that_were_cut_away_may_be_later_than_the_first_that_is_left() -> None:
    """A row of 2.5 s came before one of 1.2 s, and the cut is between them: the bar of the third second lacks it."""
    processor = new_processor()
    processor.begin_behind_cut(10)
    left = [("AA.XCME", ms * SECOND // 1_000, 100, 1, number) for number, ms in enumerate((1_200, 2_700, 3_300, 9_000), 2)]
    bars = run(processor, [batch("live:x", [tick]) for tick in left], 1)
    assert [bar.ts_open - BASE for bar in bars if bar.interval == 1] == []
    # What is later than 1.2 s and the lateness bound was there.
    bars = run(processor, [batch("live:x", [("AA.XCME", 20 * SECOND, 100, 1, 6)])], 5)
    assert [bar.ts_open - BASE for bar in bars if bar.interval == 1] == [9 * SECOND]


def test_a_record_that_only_names_a_symbol_says_nothing_of_it() -> None:
    processor = new_processor()
    processor.begin_behind_cut(10)
    named = batch("live:x", [], names=["AA.XCME"])
    bars = run(processor, [named, *(batch("live:x", [("AA.XCME", second * SECOND, 100, 1, second + 1)]) for second in (0, 20))], 1)
    assert bars == []


def test_a_lane_that_comes_after_the_start_has_lost_nothing() -> None:
    processor = new_processor()
    processor.begin_behind_cut(11)
    short = run(processor, [batch("live:x", [("AA.XCME", number * SECOND, 100, 1, number + 1)]) for number in range(10)], 1)
    assert [bar.ts_open - BASE for bar in short if bar.interval == 1] == [3 * SECOND, 4 * SECOND, 5 * SECOND, 6 * SECOND]
    news = [("BB.XSIM", number * SECOND, 100, 1, number + 1) for number in range(10)]
    bars = run(processor, [batch("live:x", news)], 11)
    assert [bar.ts_open - BASE for bar in bars if bar.interval == 1] == [number * SECOND for number in range(7)]


def test_forming_bars_that_lack_ticks_are_not_shown() -> None:
    processor = new_processor()
    processor.begin_behind_cut(1)
    assert run(processor, [batch("live:x", [("AA.XCME", 0, 100, 1, 1)])]) == []
    assert [output.topic for output in processor.live(SECOND)] == [topics.SNAPSHOTS.name]
    run(processor, [batch("live:x", [("AA.XCME", 20 * SECOND, 100, 1, 2)])], 1)
    live = [bar for output in processor.live(SECOND) if output.topic == topics.LIVE_BARS.name for bar in bars_of_columns(decode_bars(output.value))]
    assert {bar.ts_open - BASE for bar in live} == {10 * SECOND, 15 * SECOND, 20 * SECOND}, "what was open at the cut began before it"


def test_a_log_with_its_beginning_has_no_cut() -> None:
    processor = new_processor()
    run(processor, [batch("live:x", [("AA.XCME", 0, 100, 1, 1)])])
    assert b'"cut"' not in processor.freeze().pack()
