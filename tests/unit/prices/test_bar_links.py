"""Links from the batch that closes a bar to those that had rows in it."""

from __future__ import annotations

import numpy as np

from services.prices.bar_links import MAX_LINKS, BarLinks
from services.runtime.columns import BarColumns, InstrumentRef, TickColumns
from services.runtime.telemetry import new_traceparent, span_from
from tests.recording import recording

SECOND = 1_000_000_000


def ticks(*rows: tuple[str, float]) -> TickColumns:
    """Rows of symbol and second."""
    symbols = sorted({symbol for symbol, _ in rows})
    column = np.ones(len(rows), np.int64)
    return TickColumns(
        source="test",
        source_kind=3,
        instruments=tuple(InstrumentRef(symbol, 2, 0) for symbol in symbols),
        instrument=np.array([symbols.index(symbol) for symbol, _ in rows], np.uint32),
        ts_event=np.array([int(second * SECOND) for _, second in rows], np.int64),
        ts_recv=column,
        price=column,
        size=column,
        seq=column,
    )


def bar(symbol: str, first: int, end: int) -> BarColumns:
    """One bar, from a second to another."""
    one, small = np.ones(1, np.int64), np.ones(1, np.uint32)
    return BarColumns(
        instruments=(InstrumentRef(symbol, 2, 0),),
        instrument=np.zeros(1, np.uint32),
        interval=small * np.uint32(end - first),
        ts_open=one * first * SECOND,
        ts_close=one * end * SECOND,
        **dict.fromkeys(("open", "high", "low", "close", "volume", "vwap", "trade_count", "replay_shift", "ts_recv"), one),
        revision=small,
        source_kind=np.ones(1, np.int32),
    )


def linked(batches: list[TickColumns], closing: BarColumns, *, recorded: bool = True) -> list[int]:
    """Which batches the batch that closes the bar is linked to, by their number."""
    links, traces = BarLinks(), []
    with recording(sampler="always_on" if recorded else "always_off") as spans:
        for batch in [*batches, ticks()]:
            with span_from(None, "process") as span:
                traces.append(span.get_span_context().trace_id)
                links.note(batch, None if len(batch) else closing)
    return [traces.index(link.context.trace_id) for link in spans[-1].links] if spans else []


def test_batches_with_rows_in_the_bar_are_linked_the_newest_first() -> None:
    batches = [ticks(("A", 59.5)), ticks(("A", 60)), ticks(("B", 70)), ticks(("A", 100), ("B", 61)), ticks(("A", 120))]
    assert linked(batches, bar("A", 60, 120)) == [3, 1]


def test_a_batch_on_both_sides_of_the_bar_has_no_part_in_it() -> None:
    assert linked([ticks(("A", 1), ("A", 9))], bar("A", 4, 5)) == []


def test_there_are_at_most_eight() -> None:
    assert linked([ticks(("A", second)) for second in range(20)], bar("A", 0, 60)) == list(range(19, 19 - MAX_LINKS, -1))


def test_what_is_not_recorded_costs_no_memory() -> None:
    assert linked([ticks(("A", 1))], bar("A", 0, 60), recorded=False) == []
    links = BarLinks()
    with span_from(new_traceparent(), "off"):
        links.note(ticks(("A", 1)), None)
    assert not links._batches
