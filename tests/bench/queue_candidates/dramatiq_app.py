"""dramatiq: a queue for each priority, as a message's own priority counts only among those that a worker has fetched already."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]
from dramatiq.middleware import CurrentMessage  # type: ignore[import-not-found]
from log import note  # type: ignore[import-not-found]

LOG, CONCURRENCY, LOST_S = os.environ["LOG"], int(os.environ["CONCURRENCY"]), float(os.environ["LOST_S"])
# Maintenance with each command, so that what a lost worker held is found as soon as it can be.
broker = RedisBroker(url=os.environ["REDIS_URL"], heartbeat_timeout=int(LOST_S * 1000), maintenance_chance=1_000_000)
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


def _work(name: str, seconds: float) -> None:
    message = CurrentMessage.get_current_message()
    attempt = 1 + int((message.options if message else {}).get("retries", 0))
    note(LOG, name, "start", attempt)
    if seconds:
        time.sleep(seconds)
    note(LOG, name, "end", attempt)


low = dramatiq.actor(_work, actor_name="low", queue_name="low", priority=10)
high = dramatiq.actor(_work, actor_name="high", queue_name="high", priority=0)


def _serve() -> None:
    worker = dramatiq.Worker(broker, worker_threads=CONCURRENCY, worker_timeout=100)
    worker.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    worker.stop()


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "worker":
        os.environ.setdefault("dramatiq_queue_prefetch", "1")
        _serve()
    elif command == "put":
        actor = {"low": low, "high": high}[arguments[2]]
        for index in range(int(arguments[1])):
            actor.send(f"{arguments[0]}{index}", float(arguments[3]))
    else:
        print("no way")
