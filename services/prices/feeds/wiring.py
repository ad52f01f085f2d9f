"""Where the feeds are put together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from services.prices.feeds import es_file, metrics, stocks_file
from services.prices.feeds.errors import DataMissing
from services.prices.feeds.outbox import Outbox
from services.prices.feeds.ports import Stored, TickFeed
from services.prices.feeds.position import LogTail
from services.prices.feeds.replay_es import SYMBOL as ES
from services.prices.feeds.replay_es import ReplayEs
from services.prices.feeds.replay_stocks import BarWriter, ReplayStocks, StoredBars
from services.prices.feeds.runner import FeedRunner, FeedState, Run, send_ticks
from services.prices.feeds.settings import FeedsSettings
from services.prices.feeds.stocks_file import DailyBars
from services.prices.feeds.synthetic import Synthetic
from services.prices.instruments import instrument_of
from services.prices.sequencer import Sequencer
from services.prices.sessions import SessionTable
from services.runtime.clock import Clock, SystemClock
from services.runtime.kafka import BrokerCheck, KafkaPublisher, make_producer
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.partitions import partition_of
from services.runtime.topics import TICKS

_log = get_logger("feeds")

#: A broker that restarts is back within seconds; after this the feed starts again from what is stored.
_DELIVERY_TIMEOUT_MS = 30_000


@asynccontextmanager
async def open_outbox(settings: FeedsSettings, clock: Clock, source: str) -> AsyncIterator[Outbox]:
    """An outbox with a producer of its own, so that one feed's failure does not touch the records of another."""
    producer = make_producer(settings.kafka_bootstrap_servers, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS)
    publisher = KafkaPublisher(producer)
    try:
        yield Outbox(publisher, clock, source)
    except BaseException:
        # What is still queued must not arrive after the records of the next life, which begins at what is stored.
        producer.purge()
        raise
    finally:
        await publisher.close()


class TickRun:
    """One life of a tick feed: find the position, then send."""

    def __init__(self, make_feed: Callable[[], TickFeed], name: str, source: str, settings: FeedsSettings, clock: Clock) -> None:
        self.name, self.source = name, source
        self._make_feed, self._settings, self._clock = make_feed, settings, clock

    async def __call__(self, state: FeedState, stopping: asyncio.Event) -> None:
        """As Run says."""
        feed = await asyncio.to_thread(self._make_feed)
        stored = await asyncio.to_thread(self._stored, feed)
        _log.info("feed starts", feed=self.name, stored_seq=stored.last_seq, shift_weeks=stored.replay_shift // 604_800_000_000_000, ended=stored.ended)
        async with open_outbox(self._settings, self._clock, self.source) as outbox:
            state.running(outbox)
            sequencer = Sequencer(outbox, self._clock, self._settings.partitions, feed.source_kind)
            await send_ticks(feed, stored, outbox, sequencer, stopping)
        _log.info("feed stopped", feed=self.name, rows=outbox.rows_acknowledged)

    def _stored(self, feed: TickFeed) -> Stored:
        tail = LogTail(self._settings.kafka_bootstrap_servers)
        try:
            return tail.ticks(feed.source, feed.symbol, partition_of(feed.symbol, self._settings.partitions))
        finally:
            tail.close()


class BarRun:
    """One life of the daily bars: find the position, then send."""

    name, source = ReplayStocks.name, ReplayStocks.source

    def __init__(self, settings: FeedsSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    async def __call__(self, state: FeedState, stopping: asyncio.Event) -> None:
        """As Run says."""
        bars = await asyncio.to_thread(self._load)
        feed = ReplayStocks(bars, self._settings.session_interval_s, self._clock)
        stored = await asyncio.to_thread(self._stored, bars.symbols)
        _log.info("feed starts", feed=self.name, stored_symbols=len(stored))
        async with open_outbox(self._settings, self._clock, self.source) as outbox:
            state.running(outbox)
            await send_bars(feed, stored, outbox, BarWriter(bars, outbox, self._settings.partitions), stopping)
        _log.info("feed stopped", feed=self.name, rows=outbox.rows_acknowledged)

    def _load(self) -> DailyBars:
        try:
            sessions = SessionTable.load(self._settings.sessions_path)
        except OSError as error:
            raise DataMissing(str(self._settings.sessions_path), "build it with `python -m services.prices.sessions --build`") from error
        bars, bad = stocks_file.load(stocks_file.locate(), sessions)
        for row in bad:
            _log.warning("row left out", feed=self.name, line=row.line, why=row.why)
        metrics.BAD_ROWS.labels(self.source).inc(len(bad))
        return bars

    def _stored(self, symbols: Sequence[str]) -> StoredBars:
        partitions = {partition_of(symbol, self._settings.partitions) for symbol in symbols}
        tail = LogTail(self._settings.kafka_bootstrap_servers)
        try:
            return dict(item for partition in partitions for item in tail.last_bars(self.source, partition).items())
        finally:
            tail.close()


async def send_bars(feed: ReplayStocks, stored: StoredBars, outbox: Outbox, writer: BarWriter, stopping: asyncio.Event) -> None:
    """Sends a feed's bars until it ends or `stopping` is set. All is acknowledged on return."""
    async with aclosing(feed.steps(stored)) as steps:
        async for step in steps:
            outbox.check()
            if len(step.rows):
                await writer.write(step)
            if stopping.is_set():
                break
    await outbox.flush()


def make_runs(settings: FeedsSettings, clock: Clock) -> list[Run]:
    """The configured feeds."""

    def replay_es() -> TickFeed:
        instrument = instrument_of(ES)
        return ReplayEs(es_file.load(es_file.locate(), instrument.price_digits, instrument.size_digits), settings.replay_speed, clock)

    makers: dict[str, Callable[[], Run]] = {
        "replay-es": lambda: TickRun(replay_es, ReplayEs.name, ReplayEs.source, settings, clock),
        "replay-stocks": lambda: BarRun(settings, clock),
        "synthetic": lambda: TickRun(lambda: Synthetic(clock), Synthetic.name, Synthetic.source, settings, clock),
    }
    return [makers[name]() for name in settings.feeds]


async def serve(settings: FeedsSettings, lifecycle: Lifecycle) -> None:
    """Runs the feeds until the process is told to stop."""
    clock = SystemClock()
    runs = [(run, FeedState(run.name, clock)) for run in make_runs(settings, clock)]
    checker = make_producer(settings.kafka_bootstrap_servers)
    lifecycle.ops.add_ready_check("kafka", BrokerCheck(checker, TICKS.name))
    for run, state in runs:
        lifecycle.ops.add_ready_check(run.name, state.check_ready)
    await FeedRunner(clock).run(runs, lifecycle.stopping)
