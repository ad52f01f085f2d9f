"""The only place where the parts of the gRPC service are put together."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc
from signalbox.analysis.v1.analysis_service_pb2_grpc import add_AnalysisServiceServicer_to_server

from services.analysis.adapters.prices_grpc import PricesBars, PricesHealth
from services.analysis.analyst import Analyst
from services.analysis.engine import warm_up
from services.analysis.history import HistoryBook
from services.analysis.servicer import AnalysisServicer
from services.analysis.settings import AnalysisSettings
from services.runtime.cache import Cache
from services.runtime.clock import SystemClock
from services.runtime.grpc_client import channel
from services.runtime.grpc_server import start_server
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.memory import register_memory_metrics

_log = get_logger("analysis")


async def serve(lifecycle: Lifecycle, settings: AnalysisSettings) -> None:
    """Runs the gRPC service until the process is told to stop."""
    register_memory_metrics()
    await asyncio.to_thread(warm_up)
    prices = _prices(lifecycle, settings)
    servicer = AnalysisServicer(_analyst(lifecycle, settings, prices))
    server = await start_server(settings.host, settings.port, [(add_AnalysisServiceServicer_to_server, servicer, "signalbox.analysis.v1.AnalysisService")])
    lifecycle.on_stop(server.stop)
    lifecycle.spawn(server.follow(lifecycle.ops), "health")
    _log.info("listening", host=settings.host, port=server.port, metrics_port=lifecycle.ops.port)
    await lifecycle.stopping.wait()


def _prices(lifecycle: Lifecycle, settings: AnalysisSettings) -> grpc.aio.Channel:
    prices = channel(settings.prices_address)
    lifecycle.on_stop(prices.close)
    health = PricesHealth(prices, SystemClock())
    lifecycle.ops.add_ready_check("prices", health.check)
    lifecycle.spawn(health.follow(), "prices health")
    return prices


def _analyst(lifecycle: Lifecycle, settings: AnalysisSettings, prices: grpc.aio.Channel) -> Analyst:
    cache = Cache(settings.redis_url, "analysis")
    lifecycle.on_stop(cache.close)
    book = HistoryBook(PricesBars(prices, settings.prices_timeout_ms / 1e3), SystemClock(), settings.bars_kept)
    pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="engine")
    return Analyst(book, cache, pool, ttl_s=settings.cache_ttl_s, parallel=settings.batch_parallel)
