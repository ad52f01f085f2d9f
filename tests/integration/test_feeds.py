"""The feeds process on real Kafka: started twice, killed in the middle, with one feed that fails; and files replayed."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.events.v1.tick_batch_pb2 import Instrument

from services.prices.feeds import es_file, stocks_file
from services.prices.feeds.errors import DataUnreadable
from services.prices.feeds.file_feed import MOST_BAD_ROWS
from services.prices.feeds.outbox import Outbox
from services.prices.feeds.ports import NS, WEEK_NS
from services.prices.feeds.replay_es import ReplayEs
from services.prices.feeds.replay_file import Progress, ReplayOptions, Summary, main, replay
from services.prices.feeds.replay_stocks import ReplayStocks
from services.prices.instruments import instrument_of
from services.prices.sequencer import Sequencer, one_symbol
from services.prices.sessions import DAY_NS, SessionTable
from services.runtime.clock import SystemClock
from services.runtime.columns import TickColumns, decode_bars
from services.runtime.errors import InvalidArgument
from services.runtime.headers import read_headers
from services.runtime.kafka import KafkaPublisher, make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.partitions import partition_of
from services.runtime.topics import BARS, LATE, SNAPSHOTS, TICKS
from tests.chaos.slow_disk import SlowDisk
from tests.integration.feeds_process import PARTITIONS, Feeds, FeedsProcess, bars_from, records_of, ticks_from
from tests.oracle import REPLAY, Bar, Row, bars_of
from tests.ports import free_ports
from tests.processes import Process, Scale, wait_until
from tests.servers import new_broker
from tests.unit.prices.bar_inputs import bars_of_columns

_SENT = "signalbox_feed_rows_acknowledged_total"
_HANDED_OVER = "signalbox_feed_rows_sent_total"


@pytest.fixture(scope="module")
def session_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The days of the file of stocks as sessions, 14:30 to 21:00; the real calendars take pandas and half a minute."""
    with gzip.open(stocks_file.locate(), "rt") as file:
        days = np.array(sorted({np.datetime64(line.split(",")[1], "D").astype(int) for line in file.readlines()[1:]}), np.int64)
    opens = (days * 86_400 + 52_200) * NS
    path = tmp_path_factory.mktemp("tables") / "sessions.npz"
    SessionTable({"XNYS": 0}, np.array([0, len(days)], np.int64), opens, opens + 23_400 * NS, days).save(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feeds]:
    """One broker for the tests of files; each has a source of its own."""
    home = tmp_path_factory.mktemp("files")
    with new_broker(home / "broker") as broker:
        ensure_topics(broker.bootstrap, PARTITIONS)
        yield Feeds(broker.bootstrap, home)


@pytest.fixture
def feeds(tmp_path: Path) -> Iterator[Feeds]:
    """A broker with topics and nothing in them, and a data folder."""
    with new_broker(tmp_path / "broker") as broker:
        ensure_topics(broker.bootstrap, PARTITIONS)
        yield Feeds(broker.bootstrap, tmp_path)


@pytest.fixture(scope="module")
def trades() -> es_file.EsTrades:
    return es_file.load(es_file.locate(), 2, 0)


def _by_loop(batches: list[TickColumns]) -> dict[int, list[int]]:
    """Numbers of the rows of each loop (weeks of shift), in the order of their first arrival."""
    loops: dict[int, dict[int, None]] = defaultdict(dict)
    for batch in batches:
        loops[batch.replay_shift // WEEK_NS].update(dict.fromkeys(batch.seq.tolist()))
    return {weeks: list(seqs) for weeks, seqs in loops.items() if seqs}


def _check_promises(batches: list[TickColumns]) -> None:
    """Rows seen for the first time lie at or above every assertion before them."""
    watermark, seen = 0, set()
    for batch in batches:
        for seq, ts in zip(batch.seq.tolist(), batch.ts_event.tolist(), strict=True):
            if (seq, batch.replay_shift) not in seen:
                assert ts >= watermark
                seen.add((seq, batch.replay_shift))
        watermark = max(watermark, batch.watermark)


def _until_sent(process: FeedsProcess, rows: int, source: str = ReplayEs.source) -> None:
    wait_until(lambda: process.metric(_SENT, source) >= rows, f"{rows} rows of {source}")


def test_two_starts_in_a_row_leave_no_row_out_and_repeat_none(feeds: Feeds, trades: es_file.EsTrades) -> None:
    first = feeds.start("replay-es,synthetic")
    _until_sent(first, trades.live_row + 500)
    assert first.not_ready() == {}
    first.stop()
    once = ticks_from(feeds.bootstrap, ReplayEs.source)
    loops = _by_loop(once)
    assert list(loops) == [0]
    assert loops[0] == list(range(1, len(loops[0]) + 1))
    assert sum(len(batch) for batch in once) == len(loops[0]), "no row twice"
    assert once[-1].source_ended
    second = feeds.start("replay-es,synthetic")
    _until_sent(second, 500)
    second.stop()
    both = ticks_from(feeds.bootstrap, ReplayEs.source)
    again = _by_loop(both)[1]
    assert again == list(range(trades.live_row + 1, trades.live_row + 1 + len(again)))
    assert set(_by_loop(both)) == {0, 1}
    _check_promises(both)
    ticks = np.concatenate([batch.seq for batch in ticks_from(feeds.bootstrap, "synthetic:test")])
    assert len(np.unique(ticks)) == len(ticks) > 0


def test_rows_are_the_files_own(feeds: Feeds, trades: es_file.EsTrades) -> None:
    process = feeds.start("replay-es", SIGNALBOX_REPLAY_SPEED="5000")
    _until_sent(process, trades.live_row + 50_000)
    process.stop()
    batches = [batch for batch in ticks_from(feeds.bootstrap, ReplayEs.source) if len(batch)]
    rows = np.concatenate([batch.seq for batch in batches]) - 1
    for name in ("ts_event", "price", "size"):
        assert np.array_equal(np.concatenate([getattr(batch, name) for batch in batches]), getattr(trades, name)[rows])
    assert {(batch.source, batch.source_kind, batch.replay_shift) for batch in batches} == {("replay:es", 2, 0)}


@pytest.mark.parametrize("rows", [1, 40_000, 129_519])
async def test_an_interrupted_history_load_is_continued(feeds: Feeds, trades: es_file.EsTrades, rows: int) -> None:
    await _send_part(feeds.bootstrap, trades, min(rows, trades.live_row))
    process = feeds.start("replay-es")
    await asyncio.to_thread(_until_sent, process, trades.live_row - rows + 200)
    process.stop()
    loops = _by_loop(ticks_from(feeds.bootstrap, ReplayEs.source))
    assert {weeks: seqs == list(range(1, len(seqs) + 1)) for weeks, seqs in loops.items()} == {0: True}


async def _send_part(bootstrap: str, trades: es_file.EsTrades, rows: int) -> None:
    """The beginning of the history, as a process that was then killed would leave it: not ended."""
    publisher, clock = KafkaPublisher(make_producer(bootstrap)), SystemClock()
    outbox = Outbox(publisher, clock, ReplayEs.source)
    sequencer = Sequencer(outbox, clock, PARTITIONS, ReplayEs.source_kind)
    seq = np.arange(1, rows + 1, dtype=np.int64)
    await sequencer.write(one_symbol(ReplayEs.symbol, trades.ts_event[:rows], trades.price[:rows], trades.size[:rows], seq))
    await sequencer.promise(int(trades.ts_event[rows]), now=True)
    await outbox.flush()
    await publisher.close()


def test_killed_again_and_again_the_loops_have_no_hole(feeds: Feeds, trades: es_file.EsTrades) -> None:
    live = len(trades) - trades.live_row
    for kill in range(6):
        process = feeds.start("replay-es", SIGNALBOX_REPLAY_SPEED="9000")
        # The first is killed as soon as anything was acknowledged, in the middle of the history when it is caught there.
        _until_sent(process, 1 if kill == 0 else live // 4)
        process.kill()
    last = feeds.start("replay-es", SIGNALBOX_REPLAY_SPEED="9000")
    _until_sent(last, live // 4)
    last.stop()
    batches = ticks_from(feeds.bootstrap, ReplayEs.source)
    loops = _by_loop(batches)
    assert list(loops) == list(range(len(loops)))
    assert len(loops) >= 2
    for weeks, seqs in loops.items():
        begin = trades.live_row + 1 if weeks else 1
        assert seqs == list(range(begin, begin + len(seqs)))
        assert seqs[-1] == len(trades) or weeks == max(loops)
    _check_promises(batches)


def test_daily_bars_continue_over_starts_and_kills(feeds: Feeds, session_table: Path) -> None:
    (feeds.home / "tables").mkdir()
    (feeds.home / "tables" / "sessions.npz").write_bytes(session_table.read_bytes())
    for kill in (True, True, False, False):
        process = feeds.start("replay-stocks", SIGNALBOX_SESSION_INTERVAL="0.01")
        _until_sent(process, 600, ReplayStocks.source)
        process.kill() if kill else process.stop()
    bars, _ = stocks_file.load(stocks_file.locate(), SessionTable.load(session_table))
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for batch in bars_from(feeds.bootstrap, ReplayStocks.source):
        for row in range(len(batch)):
            found[batch.instruments[batch.instrument[row]].symbol].append(
                (int(batch.ts_open[row]) - int(batch.replay_shift[row]), int(batch.replay_shift[row]))
            )
    live_from = int(bars.ts_open[ReplayStocks(bars, 1.0, SystemClock()).live_row])
    assert set(found) == set(bars.symbols)
    for at, symbol in enumerate(bars.symbols):
        own = bars.ts_open[bars.symbol == at].tolist()
        loop = [ts for ts in own if ts >= live_from]
        shifts = list(dict.fromkeys(shift for _, shift in found[symbol]))
        expected = [(ts, 0) for ts in own] + [(ts, shift) for shift in shifts[1:] for ts in loop]
        assert found[symbol] == expected[: len(found[symbol])]
        assert len(shifts) >= 2


def test_a_feed_that_fails_says_why_and_the_others_go_on(feeds: Feeds) -> None:
    process = feeds.start("replay-stocks,synthetic")
    wait_until(lambda: "sessions.npz not found; build it" in (process.not_ready() or {}).get("replay-stocks", ""), "the failure in /readyz")
    _until_sent(process, 3, "synthetic:test")
    assert set(process.not_ready() or {}) == {"replay-stocks"}
    assert process.metric("signalbox_feed_restarts_total", ReplayStocks.source) >= 1
    process.stop()


async def test_snapshots_that_cannot_be_read_stop_neither_a_feed_nor_a_replay(feeds: Feeds) -> None:
    producer = make_producer(feeds.bootstrap)
    bad = [(b"TEST.XSIM", b"\xff\xff garbage"), (b"\xff\xfe", b""), (b"BAC.XNYS", Snapshot(instrument=Instrument(price_digits=2**32 - 1)).SerializeToString())]
    for partition in range(PARTITIONS):
        for key, value in bad:
            producer.produce(SNAPSHOTS.name, value, key, partition)
    assert producer.flush(20) == 0
    process = feeds.start("synthetic")
    await asyncio.to_thread(_until_sent, process, 1, "synthetic:test")
    assert process.metric("signalbox_feed_unreadable_records_total", SNAPSHOTS.name, label="topic") == len(bad)
    assert process.metric("signalbox_feed_restarts_total", "synthetic:test") == 0
    process.stop()
    path = feeds.home / "file.csv"
    path.write_text("time,price,size\n2013-10-07T14:30:00Z,13.9,100\n")
    assert (await _replay(feeds, path, "BAC.XNYS")).complete


def test_the_broker_may_come_back(tmp_path: Path) -> None:
    broker = new_broker(tmp_path / "broker")
    with broker:
        ensure_topics(broker.bootstrap, PARTITIONS)
        process = Feeds(broker.bootstrap, tmp_path).start("synthetic")
        _until_sent(process, 2, "synthetic:test")
        broker.kill()
        broker.start()
        before = process.metric(_SENT, "synthetic:test")
        _until_sent(process, round(before) + 3, "synthetic:test")
        process.stop()
        ticks = np.concatenate([batch.seq for batch in ticks_from(broker.bootstrap, "synthetic:test")])
        assert np.array_equal(ticks, np.arange(ticks[0], ticks[0] + len(ticks))), "nothing was lost while the broker was away"


#: As fast as it can be told to go: a loop of 370,000 rows within a second, more than can be sent.
_FASTEST = "100000"
#: What a producer may hold, 64 MiB, and as much again for what becomes of it on its way: copies, compressed batches, Python's objects.
_HELD_BYTES = 128 << 20
#: That the broker is slow, after it has stood still; all in all less than the 30 s after which the feed would begin anew.
_SLOW_SECONDS = 3.0


def test_a_replay_at_full_speed_waits_for_a_broker_that_stops_and_is_slow(tmp_path: Path, trades: es_file.EsTrades) -> None:
    with new_broker(tmp_path / "broker") as broker:
        ensure_topics(broker.bootstrap, PARTITIONS)
        process = Feeds(broker.bootstrap, tmp_path).start("replay-es", SIGNALBOX_REPLAY_SPEED=_FASTEST)
        _until_sent(process, trades.live_row + 1_000_000)
        with Scale(process.pid) as scale:
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                waiting = _standstill(process)
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            with SlowDisk(broker.pid):
                time.sleep(_SLOW_SECONDS)
            _until_sent(process, waiting + 1_000_000)
        restarts = process.metric("signalbox_feed_restarts_total", ReplayEs.source)
        process.stop()
        batches = ticks_from(broker.bootstrap, ReplayEs.source)
    print(f"stood still at {waiting} rows, grown by {scale.grown / (1 << 20):.0f} MiB, {sum(map(len, batches))} rows in the end")
    assert scale.grown < _HELD_BYTES
    assert restarts == 0
    loops = _seqs_of_loops(batches)
    assert len(loops) > 3
    for number, seqs in enumerate(loops):
        begin = trades.live_row + 1 if number else 1
        assert np.array_equal(seqs, np.arange(begin, begin + len(seqs)))
        assert begin + len(seqs) == len(trades) + 1 or number == len(loops) - 1


def _standstill(process: FeedsProcess) -> int:
    """Rows handed over when no more are, for two seconds."""
    seen, since = -1.0, time.monotonic()
    while time.monotonic() - since < 2.0:
        time.sleep(0.1)
        if (sent := process.metric(_HANDED_OVER, ReplayEs.source)) != seen:
            seen, since = sent, time.monotonic()
    return round(seen)


def _seqs_of_loops(batches: list[TickColumns]) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Numbers of the rows of each loop as they lie in the log, loops in the order of time."""
    loops: dict[int, list[TickColumns]] = defaultdict(list)
    for batch in batches:
        loops[batch.replay_shift].append(batch)
    return [np.concatenate([batch.seq for batch in loops[shift]]) for shift in sorted(loops)]


async def _replay(files: Feeds, path: Path, symbol: str | None, **options: object) -> Summary:
    seen: list[Progress] = []
    chosen = ReplayOptions(path, files.bootstrap, PARTITIONS, symbol, **options)  # type: ignore[arg-type]
    summary = await replay(chosen, seen.append, asyncio.Event())
    assert seen[-1].done == seen[-1].total
    assert seen[-1].rows == summary.rows
    return summary


async def test_a_file_is_replayed_its_bad_rows_go_to_the_dead_letters(files: Feeds, tmp_path: Path) -> None:
    path = tmp_path / "My Trades.csv"
    path.write_text("time,price,size\n2013-10-07T14:30:00Z,13.9,100\nx,13.9,100\n2013-10-07T14:30:01Z,abc,1\n2013-10-07T14:30:02Z,14,1\n")
    summary = await _replay(files, path, "BAC.XNYS")
    assert (summary.rows, summary.bad_rows, summary.complete, summary.shift_weeks) == (2, 2, True, 0)
    assert [each["line"] for each in summary.bad] == [3, 4]
    letters = [each for each in records_of(files.bootstrap, TICKS.dead_letters().name) if read_headers(each.headers).feed == "replay:my-trades"]
    assert [record.value for record in letters] == [b"x,13.9,100", b"2013-10-07T14:30:01Z,abc,1"]
    headers = dict(letters[0].headers)
    assert (headers["dlq_line"], headers["dlq_file"], headers["dlq_topic"]) == (b"3", b"My Trades.csv", TICKS.name.encode())
    assert headers["dlq_reason"].startswith(b"ts: expected a time")
    batches = ticks_from(files.bootstrap, "replay:my-trades")
    assert np.concatenate([batch.price for batch in batches]).tolist() == [139_000, 140_000]
    assert (batches[0].source_kind, batches[-1].source_ended) == (2, True)


async def test_a_file_that_turns_bad_is_left_with_a_reason(files: Feeds, tmp_path: Path) -> None:
    path = tmp_path / "turns.csv"
    path.write_text("time,price,size\n2013-10-07T14:30:00Z,13.9,100\n" + "2013-10-07T14:30:01Z,abc,1\n" * 100_000)
    summary = await replay(ReplayOptions(path, files.bootstrap, PARTITIONS, "BAC.XNYS"), lambda _: None, asyncio.Event())
    assert (summary.rows, summary.bad_rows, summary.complete) == (1, MOST_BAD_ROWS, False)
    assert "too many bad rows: not reported any more from line 1003 on (price: expected a number above zero" in summary.as_text()
    letters = [each for each in records_of(files.bootstrap, TICKS.dead_letters().name) if read_headers(each.headers).feed == summary.source]
    assert len(letters) == MOST_BAD_ROWS
    assert ticks_from(files.bootstrap, summary.source)[-1].source_ended, "it holds nothing back"


async def test_a_file_with_one_bad_row_in_twelve_is_replayed_to_its_end(files: Feeds, tmp_path: Path) -> None:
    path, rows = tmp_path / "many.csv", ["2013-10-07T14:30:00Z,13.9,100\n"] * 11 + ["2013-10-07T14:30:00Z,abc,1\n"]
    path.write_text("time,price,size\n" + "".join(rows * 5_000))
    summary = await _replay(files, path, "BAC.XNYS")
    assert (summary.rows, summary.bad_rows, summary.complete, summary.notices) == (55_000, 5_000, True, [])


async def test_a_file_replayed_again_is_moved_behind_the_first_time(files: Feeds, tmp_path: Path) -> None:
    path = tmp_path / "again.csv"
    path.write_text("time,price,size\n2013-10-07T14:30:00Z,13.9,100\n2013-10-21T14:30:00Z,14,1\n")
    shifts = [(await _replay(files, path, "BAC.XNYS")).shift_weeks for _ in range(3)]
    assert shifts == [0, 3, 6]
    _check_promises(ticks_from(files.bootstrap, "replay:again"))


#: New York's session of the day that the files below are of.
_OPEN, _CLOSE = 1_381_152_600 * NS, 1_381_176_000 * NS


def _session_of(mic: str, ts: int) -> tuple[int, int] | None:
    if mic == "XKRK":
        return ts // DAY_NS * DAY_NS, (ts // DAY_NS + 1) * DAY_NS
    return (_OPEN, _CLOSE) if _OPEN <= ts < _CLOSE else None


def _start_worker(feeds: Feeds) -> Process:
    table = SessionTable({"XNYS": 0}, np.array([0, 1]), np.array([_OPEN]), np.array([_CLOSE]), np.array([15_985]))
    table.save(feeds.home / "tables" / "sessions.npz")
    port = free_ports(1)[0]
    env = {"KAFKA_BOOTSTRAP_SERVERS": feeds.bootstrap, "SIGNALBOX_HOME": str(feeds.home), "SIGNALBOX_PRICES_WORKER_METRICS_PORT": str(port)}
    return Process(["services.prices.worker"], feeds.home / "worker.log", port, env)


def _trades_of_a_day() -> list[Row]:
    """Of three symbols, one of which is quiet for the last hour; the last one is in the middle of a second, minute, hour and session."""
    rng = np.random.default_rng(3)
    ts = _OPEN + np.sort(rng.integers(0, 9_000, 600)) * NS + 500_000_000
    names = np.where(ts > ts[-1] - 3_600 * NS, rng.choice(["BAC.XNYS", "XBT.XKRK"], 600), rng.choice(["BAC.XNYS", "XBT.XKRK", "SPY.XNYS"], 600))
    prices, sizes = rng.integers(1_300, 1_400, 600), rng.integers(1, 100, 600)
    rows = enumerate(zip(names, ts, prices, sizes, strict=True), 2)
    return [Row(str(name), int(when), "replay:day", line, 0, 0, int(price), int(size), REPLAY, 0) for line, (name, when, price, size) in rows]


def _as_fixed_point(row: Row) -> Row:
    own = instrument_of(row.symbol)
    return row._replace(price=row.price * 10 ** (own.price_digits - 2), size=row.size * 10**own.size_digits)


async def test_at_the_end_of_a_file_all_its_bars_are_final(feeds: Feeds) -> None:
    trades = _trades_of_a_day()
    path = feeds.home / "day.csv"
    path.write_text("time,symbol,price,size\n" + "".join(f"{row.ts},{row.symbol},{row.price / 100},{row.size}\n" for row in trades))
    worker = _start_worker(feeds)
    try:
        expected: list[Bar] = []
        for weeks in range(2):
            summary = await _replay(feeds, path, None, sessions=feeds.home / "tables" / "sessions.npz")
            assert (summary.rows, summary.bad_rows, summary.shift_weeks) == (600, 0, weeks)
            assert not any("sessions" in notice for notice in summary.notices)
            for symbol in summary.symbols:
                bars = bars_of([_as_fixed_point(row) for row in trades if row.symbol == symbol], _session_of)
                shift = weeks * WEEK_NS
                expected += [bar._replace(ts_open=bar.ts_open + shift, ts_close=bar.ts_close + shift, replay_shift=shift) for bar in bars]
            assert sorted(await asyncio.to_thread(_final_bars, feeds, len(expected))) == sorted(expected)
            assert {bar.interval for bar in expected if bar.symbol == "BAC.XNYS"} == {1, 60, 300, 900, 3_600, 86_400}
        assert records_of(feeds.bootstrap, LATE.name) == []
        assert worker.terminate() == 0
    finally:
        worker.end()


def _final_bars(feeds: Feeds, count: int) -> list[Bar]:
    """Waits until there are so many."""
    bars: list[Bar] = []

    def read() -> bool:
        bars[:] = [bar for record in records_of(feeds.bootstrap, BARS.name) for bar in bars_of_columns(decode_bars(record.value))]
        return len(bars) >= count

    wait_until(read, f"{count} final bars")
    return bars


async def test_a_file_may_be_left_open_for_another_that_goes_on(files: Feeds, tmp_path: Path) -> None:
    (first := tmp_path / "a.csv").write_text("time,price,size\n2013-10-07T14:30:00Z,13.9,100\n")
    (second := tmp_path / "b.csv").write_text("time,price,size\n2013-10-07T14:30:00.5Z,14,1\n")
    weeks = [
        (await _replay(files, path, "GO.XKRK", source="replay:goes-on", keep_open=keep_open)).shift_weeks
        for path, keep_open in ((first, True), (second, False), (second, False))
    ]
    assert weeks == [0, 0, 1]
    assert next(batch.watermark for batch in ticks_from(files.bootstrap, "replay:goes-on") if batch.source_ended) == 1_381_156_200 * NS


async def test_a_replay_that_is_stopped_says_so_and_ends_its_source(files: Feeds, tmp_path: Path) -> None:
    path = tmp_path / "stopped.csv"
    path.write_text("time,price,size\n" + "".join(f"2013-10-07T14:{minute}:00Z,13.9,100\n" for minute in range(30, 60)))
    stopping = asyncio.Event()
    options = ReplayOptions(path, files.bootstrap, PARTITIONS, "BAC.XNYS", speed=60.0)

    def stop_after_two(progress: Progress) -> None:
        if progress.rows >= 2:
            stopping.set()

    summary = await replay(options, stop_after_two, stopping)
    assert (summary.complete, summary.rows) == (False, 2)
    assert ticks_from(files.bootstrap, "replay:stopped")[-1].source_ended


@pytest.mark.parametrize(
    ("text", "symbol", "error", "message"),
    [
        ("a,b,c\n1,2,3\n", "BAC.XNYS", DataUnreadable, "column 'ts' not found; file has a, b, c"),
        ("ts,price,size\nx,1,1\n", "BAC.XNYS", DataUnreadable, "expected ISO 8601"),
        ("ts,price,size\n1381156200,x,1\n", "BAC.XNYS", DataUnreadable, "no usable row at the beginning; line 2: price"),
        ("ts,price,size\n1381156200,1,1\n", "nonsense", InvalidArgument, "ticker dot MIC"),
        ("ts,price,size\n1381156200,1,1\n", None, InvalidArgument, "--symbol, or a column of symbols"),
    ],
)
async def test_what_cannot_be_replayed_is_said_plainly(
    files: Feeds, tmp_path: Path, text: str, symbol: str | None, error: type[Exception], message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(error, match=message):
        await replay(ReplayOptions(path, files.bootstrap, PARTITIONS, symbol), lambda _: None, asyncio.Event())


def test_the_command_line_prints_a_summary(files: Feeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", files.bootstrap)
    path = tmp_path / "line.csv"
    path.write_text("t,p,q\n2013-10-07 10:30:00,13.9,100\n2013-10-07 10:30:00,0,1\n")
    columns = ["--columns", "ts=t", "--tz", "America/New_York", "--symbol", "BAC.XNYS", "--speed", "max"]
    assert main([str(path), *columns, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["bad_rows"], summary["first_ts"]) == (1, 1, 1_381_156_200 * NS)
    assert main([str(path), *columns]) == 0
    assert "line 3: price: expected a number above zero" in capsys.readouterr().out
    assert main([str(path), "--symbol", "BAC.XNYS", "--speed", "fast"]) == 2
    assert "speed: expected a number above 0" in capsys.readouterr().err
    assert main([str(tmp_path / "none.csv"), "--symbol", "BAC.XNYS"]) == 1


def _data(name: str) -> Path:
    folder = os.environ.get("SIGNALBOX_DATA")
    assert folder, "SIGNALBOX_DATA is not set"
    return Path(folder) / "ticks" / name


def _sums(batches: list[TickColumns], symbol: str) -> tuple[int, Decimal, Decimal]:
    """Trades, volume and notional of a symbol."""
    own = instrument_of(symbol)
    counts: Counter[str] = Counter()
    for batch in batches:
        counts["trades"] += len(batch)
        counts["volume"] += int(batch.size.sum())
        counts["notional"] += sum(price * size for price, size in zip(batch.price.tolist(), batch.size.tolist(), strict=True))
    size = Decimal(10) ** own.size_digits
    return counts["trades"], counts["volume"] / size, counts["notional"] / size / Decimal(10) ** own.price_digits


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "symbol"),
    [("BAC_2013-10-07", "BAC.XNYS"), ("BAC_2013-10-08", "BAC.XNYS"), ("SPY_2013-10-07", "SPY.ARCX"), ("SPY_2013-10-08", "SPY.ARCX")],
)
async def test_real_trades_arrive_all_and_exactly(files: Feeds, name: str, symbol: str) -> None:
    facts = json.loads(_data("us_equity/facts.json").read_text())[f"{name}_trades.csv.gz"]
    summary = await _replay(files, _data(f"us_equity/{name}_trades.csv.gz"), symbol)
    assert (summary.rows, summary.bad_rows, summary.complete) == (facts["trades"], 0, True)
    trades, volume, notional = _sums(ticks_from(files.bootstrap, summary.source), symbol)
    assert (trades, volume, notional) == (facts["trades"], facts["volume"], Decimal(facts["notional"]))


@pytest.mark.data
async def test_real_crypto_trades_keep_their_fractions_and_ids(files: Feeds) -> None:
    summary = await _replay(files, _data("crypto/XBTUSDT_kraken_2025-11-10_trades.csv"), "XBTUSDT.XKRK")
    batches = [batch for batch in ticks_from(files.bootstrap, summary.source) if len(batch)]
    assert np.concatenate([batch.seq for batch in batches]).tolist() == list(range(10_218_208, 10_219_208))
    assert (int(batches[0].price[0]), int(batches[0].size[0]), int(batches[0].ts_event[0])) == (10_543_360_000_000, 27_625, 1_762_795_433_971_744_500)


@pytest.mark.data
async def test_days_of_one_stock_follow_each_other_unmoved(files: Feeds) -> None:
    days = [await _replay(files, _data(f"us_equity/BAC_2013-10-0{day}_trades.csv.gz"), "BAC.XNYS", source="replay:bac") for day in (7, 8, 9)]
    assert [day.shift_weeks for day in days] == [0, 0, 0]
    _check_promises([batch for batch in ticks_from(files.bootstrap, "replay:bac") if not len(batch)])
    assert partition_of("BAC.XNYS", PARTITIONS) == 3
