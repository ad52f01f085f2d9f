"""Histories in memory: what is asked for again, and when everything is."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from services.analysis.domain import History
from services.analysis.history import HistoryBook
from services.runtime.errors import NotFound
from services.runtime.testing.clock import ManualClock


def history(count: int, start: int = 0, shift: float = 0.0) -> History:
    """Bars start .. start + count - 1 of one endless series."""
    at = np.arange(start, start + count, dtype=np.int64)
    price = (at + (100.0 + shift)).astype(np.float64)
    return History(at * 10, at * 10 + 10, price, price + 1, price - 1, price, price, np.full(count, 2, np.int32))


class Source:
    """A BarSource in memory that notes what it was asked for."""

    def __init__(self, bars: int = 100) -> None:
        self.first, self.end, self.shift = 0, bars, 0.0
        self.asked: list[int | None] = []

    async def bars(self, symbol: str, interval_s: int, start_ns: int | None) -> tuple[History, int]:
        if symbol == "NONE.XSIM":
            raise NotFound("bars", symbol)
        self.asked.append(start_ns)
        await asyncio.sleep(0)
        start = self.first if start_ns is None else max(self.first, -(-start_ns // 10))
        return history(max(0, self.end - start), start, self.shift), self.first * 10


def book(source: Source, limit: int = 1_000_000, clock: ManualClock | None = None) -> HistoryBook:
    return HistoryBook(source, clock or ManualClock(), limit)


async def test_only_new_bars_are_asked_for() -> None:
    source = Source()
    kept = book(source)
    before = await kept.load("A.XSIM", 1)
    source.end = 130
    after = await kept.load("A.XSIM", 1)
    assert source.asked == [None, 990]
    assert (len(before.history), len(after.history)) == (100, 130)
    assert after.digest == (await book(source).load("A.XSIM", 1)).digest
    assert after.digest != before.digest
    assert (await kept.load("A.XSIM", 1)) is after


async def test_everything_is_loaded_again_when_the_first_bar_or_the_last_one_is_another() -> None:
    source = Source()
    kept = book(source)
    await kept.load("A.XSIM", 1)
    source.first = 5
    assert len((await kept.load("A.XSIM", 1)).history) == 95
    source.shift = 0.5
    assert (await kept.load("A.XSIM", 1)).history.close[0] == 105.5
    source.end = 50
    assert len((await kept.load("A.XSIM", 1)).history) == 45
    assert source.asked == [None, 990, None, 990, None, 990, None]


async def test_everything_is_loaded_again_after_some_minutes() -> None:
    source, clock = Source(), ManualClock()
    kept = book(source, clock=clock)
    await kept.load("A.XSIM", 1)
    clock.advance(601)
    await kept.load("A.XSIM", 1)
    assert source.asked == [None, None]


async def test_the_series_not_used_for_longest_is_forgotten() -> None:
    source = Source()
    kept = book(source, limit=250)
    for symbol in ("A.XSIM", "B.XSIM", "A.XSIM", "C.XSIM", "A.XSIM", "B.XSIM"):
        await kept.load(symbol, 1)
    assert source.asked == [None, None, 990, None, 990, None]


async def test_who_asks_at_the_same_time_waits_for_one_load() -> None:
    source = Source()
    kept = book(source)
    loads = await asyncio.gather(*(kept.load("A.XSIM", 1) for _ in range(5)))
    assert source.asked.count(None) == 1
    assert len({load.digest for load in loads}) == 1


async def test_a_failure_is_not_kept() -> None:
    source = Source()
    kept = book(source)
    for _ in range(2):
        with pytest.raises(NotFound):
            await kept.load("NONE.XSIM", 1)
    assert len((await kept.load("A.XSIM", 1)).history) == 100
