"""The replay of daily bars and the file they come from."""

import gzip
from contextlib import aclosing
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from services.prices.feeds.errors import DataUnreadable
from services.prices.feeds.outbox import Outbox
from services.prices.feeds.ports import NS, WEEK_NS
from services.prices.feeds.replay_stocks import BarStep, BarWriter, ReplayStocks, StoredBars
from services.prices.feeds.stocks_file import DailyBars, load
from services.prices.sessions import SessionTable
from services.runtime.columns import decode_bars
from services.runtime.headers import read_headers
from services.runtime.partitions import partition_of
from services.runtime.testing.kafka import MemoryPublisher
from services.runtime.topics import BARS
from tests.unit.prices.feeds.feed_kit import VirtualClock

_DAY_NS = 86_400 * NS
_HEADER = "Ticker,Date,Open,High,Low,Close,Volume,Adj Close\n"
_ROW = "AAPL,2013-02-28,444.0499,447.8701,441.4,441.4,80628800,441.4\n"


def _sessions() -> SessionTable:
    """13:30 to 20:00 on each weekday of 2011 to 2013 as New York's sessions."""
    first = (date(2011, 1, 3) - date(1970, 1, 1)).days
    days = np.array([first + each for each in range(3 * 365) if (date(2011, 1, 3) + timedelta(each)).weekday() < 5], np.int64)
    opens = days * _DAY_NS + 48_600 * NS
    return SessionTable({"XNYS": 0}, np.array([0, len(days)], np.int64), opens, opens + 23_400 * NS, days)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "stocks.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def _bars(tmp_path: Path, weeks: int = 60) -> DailyBars:
    """Two stocks on Mondays and Thursdays; the second only since the last weeks."""
    days = [date(2012, 1, 2) + timedelta(7 * week + day) for week in range(weeks) for day in (0, 3)]
    rows = [f"AAPL,{day},10.1,10.2,10,10.1,{1000 + at},1\n" for at, day in enumerate(days)]
    rows += [f"IBM,{day},20.1,20.25,20,20.1,{1000 + at},1\n" for at, day in enumerate(days) if at >= len(days) - 6]
    bars, bad = load(_file(tmp_path, _HEADER + "".join(rows)), _sessions())
    assert bad == []
    return bars


async def _collect(bars: DailyBars, stored: StoredBars, sessions: int, clock: VirtualClock | None = None) -> list[BarStep]:
    """Steps with rows until so many sessions of the last year were seen."""
    feed, found, live = ReplayStocks(bars, 1.0, clock or VirtualClock()), [], 0
    async with aclosing(feed.steps(stored)) as steps:
        async for step in steps:
            if len(step.rows):
                found.append(step)
                live += int(step.rows[0]) >= feed.live_row
            if live >= sessions:
                break
    return found


def _identities(bars: DailyBars, steps: list[BarStep]) -> list[tuple[str, int]]:
    return [(bars.symbols[bars.symbol[row]], int(bars.ts_open[row]) + step.shift) for step in steps for row in step.rows]


def test_prices_keep_all_their_digits(tmp_path: Path) -> None:
    bars, bad = load(_file(tmp_path, _HEADER + _ROW), _sessions())
    assert bad == []
    assert (int(bars.open[0]), int(bars.high[0]), int(bars.low[0])) == (4_440_499, 4_478_701, 4_414_000)
    assert int(bars.volume[0]) == 80_628_800 * 10**6
    assert (int(bars.ts_open[0]), int(bars.ts_close[0])) == _sessions().session_on("XNYS", date(2013, 2, 28))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("AAPL,2013-02-27,,447.87,441.4,441.4,80628800,1\n", "Open: is missing"),
        ("AAPL,2013-02-27,444.05,447.87,441.4,441.4\n", "Volume: is missing"),
        ("AAPL,2013-02-27,x,447.87,441.4,441.4,80628800,1\n", "Open: expected a number, was 'x'"),
        ("AAPL,2013-02-27,nan,447.87,441.4,441.4,80628800,1\n", "Open: expected a number"),
        ("AAPL,2013-02-27,444.12345,447.87,441.4,441.4,80628800,1\n", "at most 4 digits"),
        ("AAPL,2013-02-27,444.05,440,441.4,441.4,80628800,1\n", "expected Low <= Open"),
        ("AAPL,2013-02-27,0,440,0,441.4,80628800,1\n", "above zero"),
        ("AAPL,2013-03-02,444.05,447.87,441.4,441.4,80628800,1\n", "not a session of XNAS"),
        ("AAPL,2013-02-30,444.05,447.87,441.4,441.4,80628800,1\n", "Date: day is out of range"),
        ("YHOO,2013-02-27,444.05,447.87,441.4,441.4,80628800,1\n", "Ticker: expected one of AAPL"),
    ],
)
def test_a_row_that_cannot_be_used_is_reported_with_its_line_and_left_out(tmp_path: Path, row: str, why: str) -> None:
    bars, bad = load(_file(tmp_path, _HEADER + row + _ROW), _sessions())
    assert len(bars) == 1
    assert [each.line for each in bad] == [2]
    assert why in bad[0].why


def test_a_file_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match="without Volume"):
        load(_file(tmp_path, "Ticker,Date,Open,High,Low,Close\n"), _sessions())


async def test_history_at_once_then_one_session_a_second_all_symbols_together(tmp_path: Path) -> None:
    clock, bars = VirtualClock(), _bars(tmp_path)
    began = clock.monotonic_ns()
    steps = await _collect(bars, {}, sessions=60, clock=clock)
    live = [step for step in steps if int(step.rows[0]) >= ReplayStocks(bars, 1.0, clock).live_row]
    assert (clock.monotonic_ns() - began) / NS == pytest.approx(59, abs=0.1)
    assert all(len({int(bars.ts_open[row]) for row in step.rows}) == 1 for step in live)
    history_end = int(bars.ts_open[live[0].rows[0]])
    assert int(bars.ts_open[-1]) - history_end == pytest.approx(365 * _DAY_NS, abs=7 * _DAY_NS)


async def test_loops_keep_weekdays_and_sessions_and_overlap_nowhere(tmp_path: Path) -> None:
    bars = _bars(tmp_path)
    live = len(bars) - ReplayStocks(bars, 1.0, VirtualClock()).live_row
    steps = await _collect(bars, {}, sessions=3 * live)
    identities = _identities(bars, steps)
    assert len(set(identities)) == len(identities)
    for symbol in ("AAPL.XNAS", "IBM.XNYS"):
        times = [ts for name, ts in identities if name == symbol]
        assert times == sorted(times)
    assert {step.shift % WEEK_NS for step in steps} == {0}
    assert len({step.shift for step in steps}) >= 3


@pytest.mark.parametrize("stop", [0, 1, 2, 5, 103, 104, 110, 200, 250])
async def test_a_second_start_continues_after_the_last_bar_of_each_symbol(tmp_path: Path, stop: int) -> None:
    bars = _bars(tmp_path)
    expected = _identities(bars, await _collect(bars, {}, sessions=300))
    first = await _collect(bars, {}, sessions=300)
    sent = [(name, ts, step.shift) for step in first for name, ts in _identities(bars, [step])][:stop]
    stored = {name: (ts, shift) for name, ts, shift in sent}
    again = _identities(bars, await _collect(bars, stored, sessions=300))
    assert ([(name, ts) for name, ts, _ in sent] + again)[: len(expected)] == expected


async def test_bars_are_final_rows_of_one_partition_without_what_is_not_known(tmp_path: Path) -> None:
    bars, publisher, clock = _bars(tmp_path), MemoryPublisher(), VirtualClock()
    outbox = Outbox(publisher, clock, ReplayStocks.source)
    writer = BarWriter(bars, outbox, partitions=4)
    for step in await _collect(bars, {}, sessions=200):
        await writer.write(step)
    await outbox.flush()
    for record in publisher.of(BARS.name):
        columns = decode_bars(record.value)
        assert read_headers(record.headers).feed == "replay:stocks"
        assert {partition_of(each.symbol, 4) for each in columns.instruments} == {record.partition}
        assert set(columns.vwap.tolist()) == set(columns.trade_count.tolist()) == {-1}
        assert set(columns.interval.tolist()) == {86_400}
        assert len(columns.ts_recv) == 0
        assert np.all(columns.ts_close - columns.ts_open == 23_400 * NS)
    assert outbox.rows_acknowledged == sum(len(decode_bars(record.value)) for record in publisher.of(BARS.name))
