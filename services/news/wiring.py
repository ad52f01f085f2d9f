"""The only place where the parts of the news gRPC service are put together."""

import asyncio
from collections.abc import Sequence

from signalbox.news.v1.news_service_pb2_grpc import add_NewsServiceServicer_to_server

from services.news.feeds.feed import Feed
from services.news.library import Library
from services.news.servicer import SERVICE, NewsServicer
from services.news.settings import NewsSettings
from services.runtime.clock import SystemClock
from services.runtime.grpc_server import start_server
from services.runtime.kafka_admin import ensure_topics
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.memory import register_memory_metrics
from services.runtime.topics import ARTICLES, NEWS_FEEDS

_log = get_logger("news")


async def serve(lifecycle: Lifecycle, settings: NewsSettings, feeds: Sequence[Feed]) -> None:
    """Runs the service until the process is told to stop. feeds: those that ListFeeds tells of."""
    register_memory_metrics()
    listening = asyncio.Event()
    lifecycle.ops.add_ready_check("grpc", lambda: None if listening.is_set() else "does not listen yet")
    await asyncio.to_thread(ensure_topics, settings.kafka_bootstrap_servers, settings.partitions, (ARTICLES, NEWS_FEEDS))
    servicer = NewsServicer(_read_views(lifecycle, settings), feeds)
    server = await start_server(settings.host, settings.port, [(add_NewsServiceServicer_to_server, servicer, SERVICE)])
    lifecycle.on_stop(server.stop)
    lifecycle.spawn(server.follow(lifecycle.ops), "health")
    listening.set()
    _log.info("listening", host=settings.host, port=server.port, metrics_port=lifecycle.ops.port)
    await lifecycle.stopping.wait()


def _read_views(lifecycle: Lifecycle, settings: NewsSettings) -> Library:
    library = Library(settings.kafka_bootstrap_servers, settings.articles_kept, SystemClock(), lifecycle.fail)
    lifecycle.ops.add_ready_check(ARTICLES.name, library.check_ready)
    lifecycle.ops.add_live_check(ARTICLES.name, library.check_alive)
    lifecycle.on_stop(library.stop)
    library.start()
    return library
