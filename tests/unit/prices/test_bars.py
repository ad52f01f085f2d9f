"""The bar engine against the oracle, and its promises: results do not depend on arrival, batches, watermarks, restarts or partitions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.prices.bars import BarEngine, warm_up
from services.prices.engine import folding, intake
from services.runtime.columns import WEEK_NS, InstrumentRef, TickColumns
from services.runtime.errors import BadRecord
from services.runtime.partitions import partition_of
from tests.oracle import FUTURE, INTRADAY, SECOND, Bar, Oracle
from tests.unit.prices.bar_inputs import (
    BASE,
    LATENESS,
    REFS,
    SYMBOLS,
    SourceTick,
    Tick,
    any_batches,
    bars_of_columns,
    batch,
    final_bars,
    honest_ticks,
    new_engine,
    session_table,
)

SOURCES = ("live:x", "live:y", "replay:z")
END = 10**6 * SECOND

#: The first example may have to compile.
properties = settings(deadline=None)


def new_oracle() -> Oracle:
    return Oracle(LATENESS, session_table().session)


def late_of(engine: BarEngine, ticks: TickColumns) -> tuple[list[Bar], Counter[tuple[int, ...]], int]:
    """Final bars, late rows with their reason (a bag), duplicates of one batch."""
    progress = engine.process(ticks)
    late: Counter[tuple[int, ...]] = Counter()
    for rows in progress.late:
        columns = (rows.ticks.ts_event, rows.ticks.price, rows.ticks.size, rows.ticks.seq, rows.reason)
        late.update(zip(*(column.tolist() for column in columns), strict=True))
    return bars_of_columns(progress.bars), late, progress.duplicates


@settings(properties, max_examples=250)
@given(any_batches())
def test_engine_equals_oracle(batches: list[TickColumns]) -> None:
    engine, oracle, final = new_engine(), new_oracle(), []
    rows = [row for ticks in batches for row in zip(*(c.tolist() for c in (ticks.ts_event, ticks.price, ticks.size, ticks.seq)), strict=True)]
    for ticks in batches:
        known = len(oracle.late), oracle.duplicates
        oracle.feed(ticks)
        bars, late, duplicates = late_of(engine, ticks)
        final += bars
        assert sorted(final) == oracle.final_bars()
        assert late == Counter((*rows[arrival], reason) for arrival, reason in oracle.late[known[0] :])
        assert duplicates == oracle.duplicates - known[1]


@properties
@given(any_batches())
def test_forming_bars_equal_oracle(batches: list[TickColumns]) -> None:
    """What was shown last of each bar that is not final equals the oracle's forming bar: nothing that changed is left out."""
    engine, oracle, shown = new_engine(), new_oracle(), {}
    for ticks in batches:
        oracle.feed(ticks)
        engine.process(ticks)
        shown.update({bar[:3]: bar for bar in bars_of_columns(engine.live_bars())})
        forming = oracle.forming_bars()
        assert [shown[bar[:3]] for bar in forming] == forming


def all_forming(engine: BarEngine) -> list[Bar]:
    """Its forming bars, those that were shown before as well."""
    other = new_engine()
    other.restore(engine.snapshot())
    return bars_of_columns(other.live_bars())


@properties
@given(st.lists(st.tuples(st.integers(0, 3 * LATENESS), st.integers(1, 9), st.booleans()), min_size=1, max_size=40))
def test_forming_bars_go_on_from_those_shown_last(steps: list[tuple[int, int, bool]]) -> None:
    """Rows in order, shown now and then: the same as in an engine that remembers nothing and folds every pending row."""
    engine, shown, at = new_engine(), {}, 0
    for number, (step, price, look) in enumerate(steps, 1):
        at += step
        engine.process(batch("live:x", [("AA.XCME", at, price, price, number)]))
        if look:
            shown.update({bar[:3]: bar for bar in bars_of_columns(engine.live_bars())})
    shown.update({bar[:3]: bar for bar in bars_of_columns(engine.live_bars())})
    afresh = all_forming(engine)
    assert [shown[bar[:3]] for bar in afresh] == afresh


@settings(properties, max_examples=250)
@given(any_batches(), st.sets(st.integers(0, 8)))
def test_looking_at_forming_bars_changes_nothing_that_is_final(batches: list[TickColumns], looks: set[int]) -> None:
    """Seconds that were folded for forming bars are not folded again when they are final."""
    looked, plain = new_engine(), new_engine()
    for number, ticks in enumerate(batches):
        assert late_of(looked, ticks) == late_of(plain, ticks)
        if number in looks:
            looked.live_bars()
    assert all_forming(looked) == all_forming(plain)


@properties
@given(
    st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(-SECOND, 0), st.integers(1, 9), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([0, LATENESS, 30 * SECOND]),
)
def test_seconds_are_folded_once_or_again(steps: list[tuple[int, int, int, bool]], lateness: int) -> None:
    """More seconds pending than are remembered, none, and rows that come between those that were folded: the same bars as when nobody looks."""
    looked, plain = (BarEngine(session_table(), lateness) for _ in range(2))
    at = 0
    for number, (step, back, price, look) in enumerate(steps, 1):
        at += step
        ticks = batch("live:x", [("AA.XCME", max(0, at + back), price, price, number)])
        assert late_of(looked, ticks) == late_of(plain, ticks)
        if look:
            looked.live_bars()
    end = batch("live:x", [], END, ended=True)
    assert late_of(looked, end) == late_of(plain, end)
    assert looked.pending_rows == plain.pending_rows == 0


def test_a_second_with_a_row_that_found_no_room_is_folded_again() -> None:
    looked, plain, half = new_engine(), new_engine(), 2**62
    ticks: list[Tick] = [("BB.XSIM", 0, 10, half, 1), ("BB.XSIM", 1, 20, half, 2), ("BB.XSIM", 2 * SECOND, 40, 1, 3), ("BB.XSIM", 9 * SECOND, 40, 1, 4)]
    for tick in ticks:
        one = batch("live:x", [tick])
        assert late_of(looked, one) == late_of(plain, one)
        looked.live_bars()
    assert looked.pending_rows == plain.pending_rows == 1


def honest_batches(rows: list[SourceTick], cuts: list[int]) -> list[TickColumns]:
    """Rows in the order given, cut into batches of these lengths (again and again) and where the source changes."""
    batches = [batch(source, [], 1, names=SYMBOLS) for source in SOURCES]
    at = 0
    for number in range(len(rows) + 1):
        length = cuts[number % len(cuts)]
        batches += [batch(source, [tick for _, tick in group]) for source, group in groupby(rows[at : at + length], key=lambda row: row[0])]
        at += length
    return batches


ENDING = [batch(source, [], END, ended=True) for source in SOURCES]


def expected_bars(rows: list[SourceTick]) -> list[Bar]:
    oracle = new_oracle()
    for ticks in honest_batches(rows, [1]) + ENDING:
        oracle.feed(ticks)
    assert not oracle.late
    return oracle.final_bars()


@properties
@given(honest_ticks(), st.data())
def test_arrival_and_batches_change_nothing(rows: list[SourceTick], data: st.DataObject) -> None:
    expected = expected_bars(rows)
    # Moved back by up to the lateness bound, each row still comes before its lane's watermark reaches it.
    delays = data.draw(st.lists(st.integers(0, LATENESS), min_size=len(rows), max_size=len(rows)))
    arrival = [row for _, row in sorted(zip(delays, rows, strict=True), key=lambda pair: pair[0] + pair[1][1][1])]
    cuts = data.draw(st.lists(st.integers(1, 20), min_size=1))
    assert final_bars(new_engine(), honest_batches(arrival, cuts) + ENDING) == expected


@properties
@given(honest_ticks(), st.lists(st.booleans(), min_size=1))
def test_watermarks_change_nothing(rows: list[SourceTick], asserts: list[bool]) -> None:
    """A source may promise at any moment that nothing before its next row will come."""
    batches, all_batches = [], honest_batches(rows, [1])
    for number, ticks in enumerate(all_batches):
        batches.append(ticks)
        # Not before every source has said of which symbols it will speak.
        if number >= len(SOURCES) - 1 and asserts[number % len(asserts)]:
            following = [int(later.ts_event[0]) - BASE for later in all_batches[number + 1 :] if later.source == ticks.source]
            batches.append(batch(ticks.source, [], following[0] if following else END))
    assert final_bars(new_engine(), batches + ENDING) == expected_bars(rows)


@properties
@given(any_batches(), st.sets(st.integers(0, 8)))
def test_restarts_change_nothing(batches: list[TickColumns], restarts: set[int]) -> None:
    straight, restarted = new_engine(), new_engine()
    for number, ticks in enumerate(batches):
        if number in restarts:
            state, restarted = restarted.snapshot(), new_engine()
            restarted.restore(state)
        assert late_of(restarted, ticks) == late_of(straight, ticks)


@properties
@given(any_batches(), st.sets(st.integers(0, 8)))
def test_forgetting_changes_nothing(batches: list[TickColumns], moments: set[int]) -> None:
    """Sources that have ended are as ones that never were, whether their places were cleared or not."""
    keeping, forgetting = new_engine(), new_engine()
    for number, ticks in enumerate(batches):
        if number in moments:
            forgetting.forget_ended()
        assert late_of(forgetting, ticks) == late_of(keeping, ticks)
        assert bars_of_columns(forgetting.live_bars()) == bars_of_columns(keeping.live_bars())
        assert forgetting.changed_trades() == keeping.changed_trades()
    keeping.forget_ended()
    forgetting.forget_ended()
    assert sorted(forgetting.sources) == sorted(keeping.sources)


@properties
@given(any_batches(), st.sampled_from((1, 2, 4)))
def test_partitions_change_nothing(batches: list[TickColumns], partitions: int) -> None:
    """Each partition gets its symbols' rows, and every assertion of a source that writes to it."""
    engines = [new_engine() for _ in range(partitions)]
    whole = new_engine()
    final, expected = [], []
    for ticks in batches:
        expected += bars_of_columns(whole.process(ticks).bars)
        for number, engine in enumerate(engines):
            final += bars_of_columns(engine.process(part_of(ticks, number, partitions)).bars)
    assert sorted(final) == sorted(expected)


def part_of(ticks: TickColumns, number: int, partitions: int) -> TickColumns:
    here = [ref for ref in ticks.instruments if partition_of(ref.symbol, partitions) == number]
    rows = np.array([ticks.instruments[i] in here for i in ticks.instrument.tolist()], bool)
    columns = {name: getattr(ticks, name)[rows] for name in ("ts_event", "ts_recv", "price", "size", "seq")}
    instrument = np.array([here.index(ticks.instruments[i]) for i in ticks.instrument[rows].tolist()], np.uint32)
    return TickColumns(
        ticks.source,
        ticks.source_kind,
        tuple(here),
        instrument,
        **columns,
        watermark=ticks.watermark,
        source_ended=ticks.source_ended,
        replay_shift=ticks.replay_shift,
    )


def test_sources_years_apart_do_not_meet() -> None:
    year = 52 * WEEK_NS
    ticks: list[Tick] = [("AA.XCME", second * SECOND, 100 + second, 1, second + 1) for second in range(20)]
    now = [batch("synthetic:t", [("BB.XSIM", 13 * year + tick[1], *tick[2:])]) for tick in ticks]
    then = [batch("replay:z", [tick]) for tick in ticks]
    engine, mixed = new_engine(), [ticks for pair in zip(now, then, strict=True) for ticks in pair]
    results = [engine.process(one) for one in mixed]
    assert not any(result.late for result in results)
    bars = sorted(bar for result in results for bar in bars_of_columns(result.bars))
    assert bars == sorted(final_bars(new_engine(), now) + final_bars(new_engine(), then))
    assert len([bar for bar in bars if bar.symbol == "AA.XCME" and bar.interval == 1]) == 17


def test_equal_trades_all_count_and_a_repeated_seq_does_not() -> None:
    engine = new_engine()
    fills: list[Tick] = [("AA.XCME", 0, 100, 5, seq) for seq in (1, 2, 3)]
    progress = engine.process(batch("live:x", [*fills, fills[1]]))
    assert progress.duplicates == 1
    assert engine.process(batch("live:x", [fills[2]])).duplicates == 1
    assert engine.process(batch("live:y", [fills[2]])).duplicates == 0
    without_seq: list[Tick] = [("AA.XCME", 0, 100, 5, 0)] * 2
    assert engine.process(batch("live:x", without_seq)).duplicates == 0
    bars = final_bars(engine, [batch("live:x", [], END), batch("live:y", [], END)])
    assert [(bar.volume, bar.trade_count) for bar in bars if bar.interval == 1] == [(30, 6)]


def test_a_row_that_comes_again_after_its_bar_is_late() -> None:
    engine = new_engine()
    engine.process(batch("live:x", [("AA.XCME", 0, 100, 5, 1)], 2 * SECOND))
    progress = engine.process(batch("live:x", [("AA.XCME", 0, 100, 5, 1)]))
    assert [rows.reason.tolist() for rows in progress.late] == [[intake.BAR_FINAL]]
    assert progress.duplicates == 0


@pytest.mark.parametrize("ahead", [FUTURE - 1, FUTURE, FUTURE + 1, 10**6 * FUTURE])
@pytest.mark.parametrize("source", ["live:x", "synthetic:q", "replay:z"])
def test_a_row_over_five_seconds_ahead_of_its_receipt_is_refused_unless_it_is_replayed(source: str, ahead: int) -> None:
    engine = new_engine()
    progress = engine.process(batch(source, [("AA.XCME", 0, 100, 5, 1)], ahead=ahead))
    refused = ahead > FUTURE and source != "replay:z"
    assert [rows.reason.tolist() for rows in progress.late] == ([[intake.FUTURE]] if refused else [])
    assert engine.pending_rows == (0 if refused else 1)


def test_rows_without_seq_are_in_the_order_of_arrival() -> None:
    engine = new_engine()
    ticks: list[Tick] = [("AA.XCME", 0, price, 1, 0) for price in (7, 3, 9, 5)]
    (bar,) = [bar for bar in final_bars(engine, [batch("live:x", [tick]) for tick in ticks] + [batch("live:x", [], SECOND)]) if bar.interval == 1]
    assert (bar.open, bar.high, bar.low, bar.close) == (7, 9, 3, 5)


def test_a_replay_that_begins_again_is_not_taken_for_a_duplicate() -> None:
    engine = new_engine()
    tick: Tick = ("BB.XSIM", 0, 100, 5, 1)
    engine.process(batch("replay:z", [tick]))
    progress = engine.process(batch("replay:z", [tick], shift=WEEK_NS))
    assert (progress.duplicates, progress.late) == (0, [])
    assert [bar.ts_open for bar in bars_of_columns(progress.bars) if bar.interval == 1] == [BASE]


def test_sessions_move_with_the_replay() -> None:
    engine = new_engine()
    ticks: list[Tick] = [("AA.XCME", second * SECOND, 100, 1, second) for second in (1, 7, 12, 14)]
    bars = final_bars(engine, [batch("replay:z", ticks, END, shift=3 * WEEK_NS)])
    moved = BASE + 3 * WEEK_NS
    days = [(bar.ts_open - moved, bar.ts_close - moved, bar.trade_count) for bar in bars if bar.interval == 86400]
    assert days == [(-60 * SECOND, 5 * SECOND, 1), (10 * SECOND, 15 * SECOND, 2)]


def test_a_volume_never_wraps() -> None:
    engine, half = new_engine(), 2**62
    ticks: list[Tick] = [("BB.XSIM", 0, 10, half, 1), ("BB.XSIM", 1, 20, half, 2), ("BB.XSIM", 2, 30, half - 1, 3), ("BB.XSIM", 2 * SECOND, 40, 1, 4)]
    progress = engine.process(batch("live:x", ticks, 30 * SECOND))
    assert [(rows.ticks.seq.tolist(), rows.reason.tolist()) for rows in progress.late] == [([2, 4], [intake.OUT_OF_RANGE] * 2)]
    bars = bars_of_columns(progress.bars)
    assert [(bar.interval, bar.volume, bar.trade_count, bar.close) for bar in bars] == [(interval, 2**63 - 1, 2, 30) for interval in INTRADAY]


def test_digits_that_contradict_are_a_bad_record_and_change_nothing() -> None:
    engine = new_engine()
    engine.process(batch("live:x", [("AA.XCME", 0, 100, 5, 1)]))
    before = engine.snapshot()
    wrong = replace(batch("live:new", [("BB.XSIM", 0, 100, 5, 1)]), instruments=(REFS["BB.XSIM"], InstrumentRef("AA.XCME", 4, 0)))
    with pytest.raises(BadRecord, match=r"AA\.XCME"):
        engine.process(wrong)
    assert engine.snapshot() == before


@pytest.mark.parametrize("pending", [1, 3_000])
def test_a_frozen_state_is_of_its_moment_whatever_comes_after(pending: int) -> None:
    engine = new_engine()
    engine.process(batch("live:x", [("AA.XCME", number, 100 + number % 7, 5, number + 1) for number in range(pending)]))
    frozen, at_once = engine.freeze(), engine.snapshot()
    engine.process(batch("live:x", [("AA.XCME", 9 * SECOND, 999, 5, pending + 1)]))
    engine.process(batch("live:y", [("BB.XSIM", number, 200, 1, number + 1) for number in range(5_000)]))
    assert frozen.pack() == at_once != engine.snapshot()
    assert abs(frozen.nbytes - len(at_once)) < 2_000


def test_an_ended_source_holds_nothing_back() -> None:
    engine = new_engine()
    engine.process(batch("live:y", [("AA.XCME", 0, 100, 5, 1)]))
    assert not final_bars(engine, [batch("live:x", [("AA.XCME", 9 * SECOND, 100, 5, 1)])])
    bars = final_bars(engine, [batch("live:y", [], ended=True)])
    assert [bar.interval for bar in bars] == [1, 86400]
    assert engine.watermark("AA.XCME") == BASE + 7 * SECOND


def test_a_source_that_has_ended_begins_anew() -> None:
    engine = new_engine()
    engine.process(batch("live:x", [("AA.XCME", 9 * SECOND, 100, 5, 1)], 20 * SECOND, ended=True))
    assert engine.watermark("AA.XCME") == BASE + 20 * SECOND
    engine.process(batch("live:x", [("AA.XCME", 25 * SECOND, 100, 5, 1)]))
    # Not 25 s less the bound: what it promised before it ended is no promise of its new rows, but what is final stays so.
    assert engine.process(batch("live:y", [("AA.XCME", 60 * SECOND, 100, 5, 1)])).bars is None
    assert engine.watermark("AA.XCME") == BASE + 23 * SECOND
    assert engine.process(batch("live:x", [("AA.XCME", 19 * SECOND, 100, 5, 2)])).late
    engine.process(batch("live:x", [], ended=True))
    assert engine.watermark("AA.XCME") == BASE + 58 * SECOND


def test_sources_that_come_and_go_leave_nothing() -> None:
    """Ten thousand names, each with a row, some with rows that stay pending while others come: the state is as after a hundred of them."""
    engine, oracle, final, sizes = new_engine(), new_oracle(), [], []
    for number in range(10_000):
        name, at = f"live:{number}", number * SECOND // 50
        for ticks in (batch(name, [("BB.XSIM", at, 100 + number % 7, 1, 1)]), batch(name, [], at // SECOND * SECOND + 1, ended=True)):
            final += bars_of_columns(engine.process(ticks).bars)
            if number < 300:
                oracle.feed(ticks)
        if number == 299:
            assert sorted(final) == oracle.final_bars()
        sizes.append(len(engine.sources))
    assert max(sizes[5_000:]) <= max(sizes[:1_000]) < 300
    engine.forget_ended()
    assert len(engine.snapshot()) < 20_000
    assert sum(bar.trade_count for bar in final if bar.interval == 1) + engine.pending_rows == 10_000


def test_last_trades_are_told_once() -> None:
    engine = new_engine()
    engine.process(batch("live:x", [("AA.XCME", 5, 101, 5, 2), ("AA.XCME", 0, 100, 4, 1)]))
    (trade,) = engine.changed_trades()
    assert (trade.instrument, trade.price, trade.size, trade.ts_event) == (REFS["AA.XCME"], 101, 5, BASE + 5)
    assert engine.changed_trades() == []
    engine.process(batch("live:x", [], 3 * SECOND))
    assert [trade.watermark for trade in engine.changed_trades()] == [BASE + 3 * SECOND]


def test_many_symbols_and_rows_make_the_engine_grow() -> None:
    refs = tuple(InstrumentRef(f"S{number}.XSIM", 2, 0) for number in range(300))
    rows = np.arange(30_000)
    ticks = TickColumns("live:x", 1, refs, (rows % 300).astype(np.uint32), BASE + rows * 10**6, BASE + rows * 10**6, rows % 17 + 1, rows % 5 + 1, rows + 1)
    engine, oracle = new_engine(), new_oracle()
    oracle.feed(ticks)
    assert sorted(bars_of_columns(engine.process(ticks).bars)) == oracle.final_bars()
    assert sorted(bars_of_columns(engine.live_bars())) == oracle.forming_bars()


def test_the_compiled_functions_are_used() -> None:
    warm_up()
    compiled: tuple[Any, ...] = (intake.ingest, intake.assert_watermark, folding.advance, folding.form)
    for kernel in compiled:
        assert kernel.nopython_signatures, kernel


@properties
@given(st.integers(0, 2**113), st.integers(1, 2**63 - 1))
# Ties between 0 and 1, 1 and 2, and of notionals of more than 64 bits; then as near to such a one as can be.
@example(1, 20_000)
@example(3, 20_000)
@example((2 * 2**60 + 1) * 2**40, 20_000 * 2**40)
@example((2 * 2**60 + 3) * 2**40, 20_000 * 2**40)
@example((2 * 2**60 + 3) * 2**40 - 1, 20_000 * 2**40)
@example((2 * 2**60 + 1) * 2**40 + 1, 20_000 * 2**40)
def test_mean_price_is_exact(notional: int, volume: int) -> None:
    quotient, rest = divmod(notional * 10_000, volume)
    if quotient < 2**63 - 1:
        expected = quotient + (2 * rest > volume or (2 * rest == volume and quotient % 2 == 1))
        assert folding.mean_price(np.uint64(notional >> 64), np.uint64(notional % 2**64), np.uint64(volume)) == expected


@properties
@given(st.integers(0, 2**62), st.integers(1, (2**63 - 1) // 20_000))
def test_a_mean_price_halfway_between_two_goes_to_the_even_one(below: int, part: int) -> None:
    notional = (2 * below + 1) * part
    assert folding.mean_price(np.uint64(notional >> 64), np.uint64(notional % 2**64), np.uint64(20_000 * part)) == below + below % 2


@pytest.mark.parametrize(("at_two", "vwap"), [(1, 10_000), (3, 10_002)])
def test_the_vwap_of_a_bar_is_rounded_half_to_even(at_two: int, vwap: int) -> None:
    ticks: list[Tick] = [("BB.XSIM", 0, 1, 20_000 - at_two, 1), ("BB.XSIM", 1, 2, at_two, 2)]
    bars = final_bars(new_engine(), [batch("live:x", ticks, END)])
    assert {bar.vwap for bar in bars} == {vwap}
    assert bars == expected_bars([("live:x", tick) for tick in ticks])
