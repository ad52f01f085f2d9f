"""How jobs reach workers: streaq's queues, one for the light and one for the heavy kinds of each service.

A task of streaq is the id of a job and nothing else; what the job is stands in its record.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import streaq
from redis.asyncio.client import Pipeline

from services.runtime.jobs import Job, JobKind, Priority

#: The one function that streaq knows.
TASK = "job"
#: From the lowest, as streaq wants them.
PRIORITIES = [Priority.LOW.value, Priority.NORMAL.value, Priority.HIGH.value]


def functions() -> str:
    """streaq's function library, as its workers load it."""
    return (Path(streaq.__file__).parent / "lua" / "streaq.lua").read_text()


def queue_name(kind: JobKind) -> str:
    """streaq's queue for the jobs of a kind."""
    return service_queue(kind.service, heavy=kind.is_heavy)


def service_queue(service: str, *, heavy: bool) -> str:
    """streaq's queue for the light or heavy jobs of a service."""
    return f"signalbox:{service}:{'heavy' if heavy else 'light'}"


def encode(data: object) -> str:
    """streaq's serializer: JSON, as pickles would run what whoever can write to the store puts there. An error becomes its text."""
    return json.dumps(data, default=str)


class Mailbox:
    """Puts jobs into the queues from a process that runs none, over the caller's own client and transaction."""

    def __init__(self) -> None:
        self._unconnected: dict[str, streaq.Worker[None]] = {}

    async def letter(self, job: Job, kind: JobKind) -> Letter:
        """What must be put into a transaction so that the job is delivered."""
        worker = self._worker(queue_name(kind))
        task = worker.enqueue_unsafe(TASK, job.id)
        task.id, task.priority = job.id, job.priority.value
        now_ms = job.created_ns // 1_000_000
        return Letter(worker, task, await task.serialize(now_ms), now_ms)

    def _worker(self, queue: str) -> streaq.Worker[None]:
        if queue not in self._unconnected:
            self._unconnected[queue] = streaq.Worker(queue_name=queue, priorities=list(PRIORITIES), serializer=encode, deserializer=json.loads)
        return self._unconnected[queue]


class Letter:
    """One task of streaq that was not sent yet."""

    def __init__(self, worker: streaq.Worker[None], task: streaq.task.Task[Any, Any], data: object, now_ms: int) -> None:
        self._worker, self._task, self._data, self._now_ms = worker, task, data, now_ms

    def put(self, pipe: Pipeline) -> None:
        """Puts it into the transaction. Sent twice it is delivered once."""
        library = cast(Any, _Functions(pipe))
        self._worker.publish_task(cast(Any, pipe), self._task, self._data, self._now_ms, lib=library)


class _Functions:
    """streaq's functions for `publish_task`, called through our client: its own would be a second one in every process."""

    def __init__(self, pipe: Pipeline) -> None:
        self._pipe = pipe

    def publish_task(self, *arguments: Any) -> None:
        """Six keys, then the arguments, as in streaq's `types.Streaq`."""
        self._pipe.fcall("publish_task", 6, *arguments)
