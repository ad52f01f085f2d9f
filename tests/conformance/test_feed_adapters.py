"""What every feed of ticks keeps, whatever it brings: order, numbers, promises, labels, the same again on the same input."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from services.prices.feeds import es_file
from services.prices.feeds.file_columns import find_columns
from services.prices.feeds.file_feed import FileFeed
from services.prices.feeds.file_rows import DISORDER_NS, BadRow, RowReader
from services.prices.feeds.file_source import open_source
from services.prices.feeds.file_times import TimeReader
from services.prices.feeds.ports import NS, WEEK_NS, Step, Stored, TickFeed
from services.prices.feeds.replay_es import ReplayEs
from services.prices.feeds.synthetic import Synthetic
from services.prices.instruments import instrument_of
from services.runtime.timestamps import MAX_TIME_NS
from tests.unit.prices.feeds.feed_kit import VirtualClock, es_trades

MakeFeed = Callable[[VirtualClock, Path], TickFeed]

_SOURCE = re.compile(r"(replay|synthetic|live):[a-z0-9_.:-]{1,57}")
_STEPS = 3_000
#: SIGTERM leaves ten seconds for everything.
_LONGEST_SILENCE_NS = NS // 2


def _small_es(clock: VirtualClock, _folder: Path) -> TickFeed:
    rng = np.random.default_rng(7)
    offsets = np.concatenate([-np.cumsum(rng.exponential(20, 200))[::-1], [0.0], np.cumsum(rng.exponential(4, 300) * rng.integers(0, 2, 300))])
    return ReplayEs(es_trades([*offsets, offsets[-1] + 3_000.0]), 600, clock)


def _real_es(clock: VirtualClock, _folder: Path) -> TickFeed:
    return ReplayEs(es_file.load(es_file.locate(), 2, 0), 60, clock)


def _synthetic(clock: VirtualClock, _folder: Path) -> TickFeed:
    return Synthetic(clock)


def _file(speed: float) -> MakeFeed:
    def make(clock: VirtualClock, folder: Path) -> TickFeed:
        rng = np.random.default_rng(8)
        ts = 1_381_156_200_000 + np.cumsum(rng.integers(0, 3_000, 400)) + rng.integers(-800, 800, 400)
        rows = [
            f"{each},{name},{price / 100},{size}"
            for each, name, price, size in zip(ts, ("BAC.XNYS", "SPY.ARCX") * 200, range(1000, 1400), range(1, 401), strict=True)
        ]
        rows[50] = rows[300] = "nonsense,BAC.XNYS,1,1"
        path = folder / "file.csv"
        path.write_text("ts,symbol,price,size\n" + "\n".join(rows))
        source = open_source(path)
        notices: list[str] = []
        reader = RowReader(find_columns(str(path), source.names, {}), None, instrument_of, TimeReader(None, notices.append), notices.append)
        return FileFeed(source, reader, "replay:file", speed, clock, on_bad=_ignore)

    return make


async def _ignore(_row: BadRow) -> None:
    """Bad rows are the business of other tests."""


#: Name -> how to make it, and how far one of its rows may lie before another.
FEEDS: Mapping[str, tuple[MakeFeed, int]] = {
    "replay-es, small": (_small_es, 0),
    "replay-es, the real file": (_real_es, 0),
    "synthetic": (_synthetic, 0),
    "file at speed 60": (_file(60), DISORDER_NS),
    "file at once": (_file(float("inf")), DISORDER_NS),
}


class _Seen:
    """A feed's first steps, each with the time at which it came."""

    def __init__(self, feed: TickFeed, steps: list[tuple[int, Step]]) -> None:
        self.feed = feed
        self.times = [at for at, _ in steps]
        self.steps = [step for _, step in steps]

    @property
    def with_rows(self) -> list[Step]:
        return [step for step in self.steps if step.rows is not None]


async def _watch(make: MakeFeed, folder: Path, stored: Stored) -> _Seen:
    clock = VirtualClock()
    feed = make(clock, folder)
    steps: AsyncGenerator[Step, None] = feed.steps(stored)
    found: list[tuple[int, Step]] = []
    async with aclosing(steps):
        async for step in steps:
            found.append((clock.monotonic_ns(), step))
            if len(found) == _STEPS:
                break
    return _Seen(feed, found)


@pytest.fixture(params=FEEDS)
def made(request: pytest.FixtureRequest) -> tuple[MakeFeed, int]:
    return FEEDS[str(request.param)]


async def test_rows_come_in_the_order_of_time_within_what_the_feed_declares(made: tuple[MakeFeed, int], tmp_path: Path) -> None:
    make, disorder = made
    seen = await _watch(make, tmp_path, Stored())
    ts = np.concatenate([step.rows.ts_event for step in seen.with_rows if step.rows is not None])
    assert len(ts) > 0
    assert np.all(np.maximum.accumulate(ts) - ts <= disorder)


async def test_no_row_lies_below_a_promise_made_before_it(made: tuple[MakeFeed, int], tmp_path: Path) -> None:
    promise = 0
    for step in (await _watch(made[0], tmp_path, Stored())).steps:
        if step.rows is not None:
            assert int(step.rows.ts_event.min()) >= promise
        promise = max(promise, step.promise)


async def test_a_number_is_given_once_to_a_symbol_in_a_loop(made: tuple[MakeFeed, int], tmp_path: Path) -> None:
    given = set()
    for step in (await _watch(made[0], tmp_path, Stored())).with_rows:
        assert step.rows is not None
        for symbol, seq in zip(step.rows.symbol.tolist(), step.rows.seq.tolist(), strict=True):
            assert seq > 0
            assert (symbol, seq, step.replay_shift) not in given
            given.add((symbol, seq, step.replay_shift))


async def test_rows_can_be_used_and_say_what_they_are(made: tuple[MakeFeed, int], tmp_path: Path) -> None:
    seen = await _watch(made[0], tmp_path, Stored())
    assert _SOURCE.fullmatch(seen.feed.source)
    assert seen.feed.source.startswith({2: "replay:", 3: "synthetic:", 1: "live:"}[seen.feed.source_kind])
    for step in seen.with_rows:
        assert step.rows is not None
        assert all(instrument_of(symbol).symbol == symbol for symbol in step.rows.symbols)
        columns = (step.rows.symbol, step.rows.ts_event, step.rows.price, step.rows.size, step.rows.seq)
        assert {len(column) for column in columns} == {len(step.rows)}
        assert step.rows.price.min() > 0
        assert step.rows.size.min() > 0
        assert 0 < int(step.rows.ts_event.max()) < MAX_TIME_NS
        assert step.replay_shift % WEEK_NS == 0
        assert step.replay_shift == 0 or seen.feed.source_kind == 2


async def test_the_same_input_gives_the_same_rows(made: tuple[MakeFeed, int], tmp_path: Path) -> None:
    first, second = [await _watch(made[0], tmp_path, Stored()) for _ in range(2)]
    assert first.times == second.times
    for one, other in zip(first.steps, second.steps, strict=True):
        assert (one.promise, one.urgent, one.replay_shift, one.rows is None) == (other.promise, other.urgent, other.replay_shift, other.rows is None)
        if one.rows is not None and other.rows is not None:
            assert np.array_equal(one.rows.ts_event, other.rows.ts_event)
            assert np.array_equal(one.rows.price, other.rows.price)


async def test_the_feed_can_be_stopped_at_any_time(made: tuple[MakeFeed, int], tmp_path: Path) -> None:
    seen = await _watch(made[0], tmp_path, Stored())
    assert np.diff(seen.times, prepend=seen.times[0]).max() <= _LONGEST_SILENCE_NS


async def test_a_start_lies_behind_everything_that_is_stored(made: tuple[MakeFeed, int], tmp_path: Path) -> None:
    floor = 1_700_000_000 * NS
    seen = await _watch(made[0], tmp_path, Stored(watermark=floor, symbol_watermark=floor, ended=True))
    assert min(int(step.rows.ts_event.min()) for step in seen.with_rows if step.rows is not None) >= floor
