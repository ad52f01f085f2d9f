"""celery over Redis, late acknowledgement, priorities as separate lists."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from celery import Celery  # type: ignore[import-not-found]
from log import note  # type: ignore[import-not-found]

LOG, CONCURRENCY, LOST_S = os.environ["LOG"], os.environ["CONCURRENCY"], float(os.environ["LOST_S"])
app = Celery("celery_app", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1, task_ignore_result=True, broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": LOST_S, "priority_steps": [0, 9], "queue_order_strategy": "priority", "sep": ":",
        # Without these it looks for lost jobs every 100 s.
        "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
    },
)  # fmt: skip


@app.task(bind=True, name="work")  # type: ignore[untyped-decorator]
def work(self: Any, name: str, seconds: float) -> None:
    """The job."""
    attempt = 1 + self.request.retries
    note(LOG, name, "start", attempt)
    if seconds:
        time.sleep(seconds)
    note(LOG, name, "end", attempt)


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "worker":
        app.worker_main(["worker", "--concurrency", CONCURRENCY, "--loglevel", "ERROR", "--without-gossip", "--without-mingle"])
    elif command == "put":
        for index in range(int(arguments[1])):
            identity = f"{arguments[0]}{index}"
            work.apply_async((identity, float(arguments[3])), task_id=identity, priority={"high": 0, "low": 9}[arguments[2]])
    else:
        app.control.revoke(arguments[0], terminate=True)
