"""streaq, as its documents advise."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from log import note  # type: ignore[import-not-found]
from streaq import StreaqError, Worker

LOG, CONCURRENCY, LOST_S = os.environ["LOG"], int(os.environ["CONCURRENCY"]), float(os.environ["LOST_S"])
worker: Worker[None] = Worker(
    redis_url=os.environ["REDIS_URL"], concurrency=CONCURRENCY, priorities=["low", "high"], idle_timeout=LOST_S,
    serializer=lambda data: json.dumps(data, default=str), deserializer=json.loads,
)  # fmt: skip


@worker.task(name="work", max_tries=10, silent=True)
async def work(name: str, seconds: float) -> None:
    """The job."""
    attempt = work.context.tries
    note(LOG, name, "start", attempt)
    if seconds:
        await asyncio.sleep(seconds)
    note(LOG, name, "end", attempt)


async def put(prefix: str, count: int, priority: str, seconds: float) -> None:
    """Creates jobs."""
    async with worker:
        tasks = [work.enqueue(f"{prefix}{number}", seconds).start(priority=priority) for number in range(count)]
        for task in tasks:
            task.id = task.args[0]
        await worker.enqueue_many(tasks)


async def cancel(name: str) -> None:
    """Ends a running job."""
    async with worker:
        try:
            print(await worker.abort_by_id(name))
        except StreaqError as error:
            print(error)


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "worker":
        worker.run_sync()
    elif command == "put":
        asyncio.run(put(arguments[0], int(arguments[1]), arguments[2], float(arguments[3])))
    else:
        asyncio.run(cancel(arguments[0]))
