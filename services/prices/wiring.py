"""The only place where the parts of the prices gRPC service are put together."""

import asyncio
from functools import partial

from services.prices.adapters.kafka import BarFeed, KafkaTickSink, SnapshotFeed
from services.prices.adapters.open_sources import KafkaOpenSources
from services.prices.adapters.rejected import KafkaRejectedTicks
from services.prices.bar_store import BarStore
from services.prices.ingest import Ingest
from services.prices.ingest_stream import IngestPorts, IngestSettings
from services.prices.price_view import PriceView
from services.prices.servicer import SERVICE, PricesServicer, add_to_server
from services.prices.settings import PricesSettings
from services.prices.tick_wire import parse_columns, parse_plainly
from services.runtime.clock import SystemClock
from services.runtime.grpc_server import start_server
from services.runtime.kafka import BrokerCheck, KafkaPublisher, TopicReader, make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.memory import register_memory_metrics
from services.runtime.pauses import shorten_pauses
from services.runtime.topics import BARS, OPEN_SOURCES, SNAPSHOTS, TICKS

_TOPICS = (TICKS, TICKS.dead_letters(), BARS, SNAPSHOTS, OPEN_SOURCES)
_log = get_logger("prices")

#: How long the broker may take for what is left when the process ends: the streams and their sources had 4.5 of its 7 seconds.
_LAST_RECORDS_S = 1.5
#: How much later a price or a bar may be known, for the sake of few fetches: all symbols' bars of a second are final within some milliseconds.
_GATHER_MS = 20


async def serve(lifecycle: Lifecycle, settings: PricesSettings) -> None:
    """Runs the service until the process is told to stop."""
    register_memory_metrics()
    listening = asyncio.Event()
    lifecycle.ops.add_ready_check("grpc", lambda: None if listening.is_set() else "does not listen yet")
    await asyncio.to_thread(ensure_topics, settings.kafka_bootstrap_servers, settings.partitions, _TOPICS)
    bars = BarStore(settings.partitions, settings.bars_per_series)
    prices = PriceView(bars)
    _read_views(lifecycle, settings, bars, prices)
    ingest = await _ingest(lifecycle, settings)
    servicer = PricesServicer(ingest, prices, bars)
    adder = partial(add_to_server, parse=parse_plainly if settings.ingest_parser == "plain" else parse_columns)
    server = await start_server(settings.host, settings.port, [(adder, servicer, SERVICE)])
    lifecycle.on_stop(server.stop)
    # Called before the server's: a stream that is cut off by that is not told how far it came.
    lifecycle.on_stop(ingest.stop)
    lifecycle.spawn(server.follow(lifecycle.ops), "health")
    shorten_pauses()
    listening.set()
    _log.info("listening", host=settings.host, port=server.port, metrics_port=lifecycle.ops.port)
    await lifecycle.stopping.wait()


def _read_views(lifecycle: Lifecycle, settings: PricesSettings, bars: BarStore, prices: PriceView) -> None:
    for topic, feed in ((BARS, BarFeed(bars)), (SNAPSHOTS, SnapshotFeed(prices))):
        reader = TopicReader(settings.kafka_bootstrap_servers, [topic.name], feed, on_failure=lifecycle.fail, gather_ms=_GATHER_MS)
        lifecycle.ops.add_ready_check(topic.name, reader.check_ready)
        lifecycle.ops.add_live_check(topic.name, reader.check_alive)
        lifecycle.on_stop(partial(asyncio.to_thread, reader.stop))
        reader.start()


async def _ingest(lifecycle: Lifecycle, settings: PricesSettings) -> Ingest:
    producer = make_producer(
        settings.kafka_bootstrap_servers, delivery_timeout_ms=settings.ingest_ack_timeout_ms, queue_buffering_max_kbytes=settings.ingest_queue_kib
    )
    lifecycle.ops.add_ready_check("kafka", BrokerCheck(producer, TICKS.name))
    publisher = KafkaPublisher(producer)
    limits = IngestSettings(settings.partitions, settings.ingest_flush_ms / 1e3, settings.ingest_batch_rows, settings.ingest_ack_timeout_ms / 1e3)
    sources = KafkaOpenSources(publisher, settings.replica)
    clock = SystemClock()
    ingest = Ingest(IngestPorts(KafkaTickSink(publisher), sources, KafkaRejectedTicks(publisher, clock)), clock, limits)
    lifecycle.on_stop(partial(publisher.close, _LAST_RECORDS_S))
    lifecycle.on_stop(ingest.drain)
    await sources.end_left_open(settings.kafka_bootstrap_servers)
    return ingest
