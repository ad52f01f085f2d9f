"""The only place where the parts of the gRPC service are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from google.longrunning.operations_pb2_grpc import add_OperationsServicer_to_server
from signalbox.reports.v1.jobs_service_pb2_grpc import add_JobsServiceServicer_to_server
from signalbox.reports.v1.schedule_service_pb2_grpc import add_ScheduleServiceServicer_to_server

from services.reports.adapters.queue_health import QueueHealth
from services.reports.adapters.results_topic import ResultIndex, TopicArchive
from services.reports.daily.servicer import reports_service
from services.reports.jobs_servicer import JobsServicer
from services.reports.kinds import known_kinds
from services.reports.operations import OperationsServicer
from services.reports.schedule.plans import load_plans
from services.reports.schedule.servicer import SERVICE as SCHEDULE_SERVICE
from services.reports.schedule.servicer import ActiveScheduler, RunView, ScheduleServicer
from services.reports.settings import ReportsSettings
from services.runtime.clock import Clock, SystemClock
from services.runtime.grpc_server import Service, start_server
from services.runtime.job_queue import open_job_queue
from services.runtime.job_queue.events import job_event_sender
from services.runtime.jobs import JobKind, JobQueue
from services.runtime.kafka import BrokerCheck, KafkaPublisher, TopicReader, make_producer, tail_start
from services.runtime.kafka_admin import ensure_topics
from services.runtime.lifecycle import Lifecycle
from services.runtime.logging import get_logger
from services.runtime.memory import register_memory_metrics
from services.runtime.topics import JOBS, RESULTS, SCHEDULE

_log = get_logger("reports")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the services of this process share."""

    lifecycle: Lifecycle
    settings: ReportsSettings
    clock: Clock
    kinds: Mapping[str, JobKind]
    queue: JobQueue


async def serve(lifecycle: Lifecycle, settings: ReportsSettings) -> None:
    """Runs the gRPC service until the process is told to stop."""
    register_memory_metrics()
    listening = asyncio.Event()
    # First of all checks: the others are fine before anyone can be answered.
    lifecycle.ops.add_ready_check("grpc", lambda: None if listening.is_set() else "does not listen yet")
    await asyncio.to_thread(ensure_topics, settings.kafka_bootstrap_servers, settings.partitions, (JOBS, RESULTS, SCHEDULE))
    parts = _parts(lifecycle, settings)
    server = await start_server(settings.host, settings.port, await _services(parts))
    lifecycle.on_stop(server.stop)
    listening.set()
    lifecycle.spawn(server.follow(lifecycle.ops), "health")
    _log.info("listening", host=settings.host, port=server.port, metrics_port=lifecycle.ops.port)
    await lifecycle.stopping.wait()


async def _services(parts: Parts) -> list[Service]:
    archive = await _archive(parts)
    return [
        (add_JobsServiceServicer_to_server, JobsServicer(parts.queue, parts.kinds, parts.clock), "signalbox.reports.v1.JobsService"),
        (add_OperationsServicer_to_server, OperationsServicer(parts.queue, archive, parts.kinds, parts.clock), "google.longrunning.Operations"),
        reports_service(parts.queue, parts.settings.home, parts.kinds, parts.clock),
        (add_ScheduleServiceServicer_to_server, await _schedule(parts), SCHEDULE_SERVICE),
    ]


def _parts(lifecycle: Lifecycle, settings: ReportsSettings) -> Parts:
    clock, kinds = SystemClock(), known_kinds(settings.kinds_modules())
    producer = make_producer(settings.kafka_bootstrap_servers)
    publisher = KafkaPublisher(producer)
    lifecycle.on_stop(publisher.close)
    lifecycle.ops.add_ready_check("kafka", BrokerCheck(producer, JOBS.name))
    queue = open_job_queue(settings.redis_url, kinds=kinds, clock=clock, on_event=job_event_sender(publisher, clock))
    lifecycle.on_stop(queue.close)
    health = QueueHealth(queue, clock)
    lifecycle.ops.add_ready_check("queue", health.check)
    lifecycle.spawn(health.follow(), "queue health")
    return Parts(lifecycle, settings, clock, kinds, queue)


async def _schedule(parts: Parts) -> ScheduleServicer:
    lifecycle, settings = parts.lifecycle, parts.settings
    plans, view = await asyncio.to_thread(load_plans, settings.schedule, parts.kinds), RunView()
    reader = TopicReader(settings.kafka_bootstrap_servers, [SCHEDULE.name], view.add, on_failure=lifecycle.fail)
    reader.start()
    lifecycle.on_stop(lambda: asyncio.to_thread(reader.stop))
    lifecycle.ops.add_ready_check("schedule", reader.check_ready)
    lifecycle.ops.add_live_check("schedule", reader.check_alive)
    return ScheduleServicer(plans, view, ActiveScheduler(settings.kafka_bootstrap_servers, parts.clock), parts.clock)


async def _archive(parts: Parts) -> TopicArchive:
    """The newest results, found by their jobs' ids."""
    lifecycle, settings = parts.lifecycle, parts.settings
    index = ResultIndex(settings.results_indexed)
    start = await asyncio.to_thread(tail_start, settings.kafka_bootstrap_servers, RESULTS.name, settings.results_indexed)
    reader = TopicReader(settings.kafka_bootstrap_servers, [RESULTS.name], index.add, start=start, on_failure=lifecycle.fail)
    reader.start()
    lifecycle.on_stop(lambda: asyncio.to_thread(reader.stop))
    lifecycle.ops.add_ready_check("results", reader.check_ready)
    lifecycle.ops.add_live_check("results", reader.check_alive)
    archive = TopicArchive(settings.kafka_bootstrap_servers, index)
    lifecycle.on_stop(archive.close)
    return archive
