"""Process `scheduler`: starts the recurring jobs. Of any number of these processes one is active."""

import asyncio
import os
import socket

from services.reports.kinds import known_kinds
from services.reports.schedule.leadership import Leadership
from services.reports.schedule.plans import load_plans
from services.reports.schedule.service import AlertTopic, SchedulerLoop
from services.reports.schedule.settings import SchedulerSettings
from services.runtime.clock import SystemClock
from services.runtime.job_queue import open_job_queue
from services.runtime.kafka import make_producer
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.memory import register_memory_metrics
from services.runtime.settings import load_settings


async def main(lifecycle: Lifecycle, settings: SchedulerSettings) -> None:
    """Joins the schedulers until the process is told to stop."""
    register_memory_metrics()
    kinds = known_kinds(settings.kinds_modules())
    plans = await asyncio.to_thread(load_plans, settings.schedule, kinds)
    clock = SystemClock()
    queue = open_job_queue(settings.redis_url, kinds=kinds, clock=clock)
    lifecycle.on_stop(queue.close)
    alerts = AlertTopic(make_producer(settings.kafka_bootstrap_servers), clock)
    lifecycle.on_stop(alerts.close)
    leadership = Leadership(settings.kafka_bootstrap_servers, scheduler_name(), session_timeout_ms=settings.scheduler_session_ms, clock=clock)
    leadership.on_failure = lifecycle.fail
    lifecycle.on_stop(leadership.stop)
    loop = SchedulerLoop(plans, leadership, queue, alerts, clock)
    lifecycle.ops.add_ready_check("schedule", loop.check_ready)
    lifecycle.ops.add_live_check("schedule", loop.check_alive)
    leadership.start()
    await loop.run(lifecycle.stopping)


def scheduler_name() -> str:
    """Who this process is, for people: host and pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


if __name__ == "__main__":
    loaded = load_settings(SchedulerSettings)
    run("scheduler", loaded, lambda lifecycle: main(lifecycle, loaded))
