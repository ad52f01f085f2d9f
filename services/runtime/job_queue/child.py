"""The process in which heavy jobs run: what happens on its side of the pipe.

It lives as long as its worker: when the pipe breaks, because the worker was killed, it ends itself and whatever it has started.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import cast

import psutil
from google.protobuf.message import Message

from services.runtime.job_queue.outcome import Failure, failure_of
from services.runtime.jobs import HeavyJobFunction, Job, JobHandler, Progress
from services.runtime.logging import configure_logging
from services.runtime.settings import RuntimeSettings

#: Seconds between two progresses sent over the pipe: more often than they are stored, as the worker drops the rest.
_PROGRESS_S = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """To the child: run this."""

    handler: JobHandler
    job: Job


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the child: the job shall end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From the child: it has started; resident bytes."""

    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: how the job went; resident bytes afterwards."""

    result: bytes | None
    failure: Failure | None
    memory_bytes: int


ToChild = Run | Cancel
FromChild = Ready | Progress | Done


class ChildContext:
    """JobContext in the child."""

    def __init__(self, job: Job, send: Callable[[FromChild], None]) -> None:
        self._job = job
        self._send = send
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._latest = job.progress
        self._sent = job.progress
        self._next_s = 0.0

    @property
    def job(self) -> Job:
        """As JobContext says."""
        return self._job

    @property
    def cancelled(self) -> bool:
        """As JobContext says."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """From now on `cancelled`."""
        self._cancelled.set()

    def progress(self, done: float, total: float = 0.0, unit: str = "", message: str = "") -> None:
        """As JobContext says."""
        with self._lock:
            self._latest = Progress(max(done, self._latest.done), total, unit, message)
            if (now_s := time.monotonic()) >= self._next_s:
                self._next_s = now_s + _PROGRESS_S
                self._flush()

    def flush(self) -> None:
        """Sends the latest progress if it was not sent."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._latest != self._sent:
            self._sent = self._latest
            self._send(self._latest)


class _Child:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send_lock = threading.Lock()
        self._context: ChildContext | None = None
        self._work: list[Run] = []
        self._has_work = threading.Event()

    def serve(self) -> None:
        threading.Thread(target=self._listen, name="commands", daemon=True).start()
        self._send(Ready(_memory()))
        while True:
            self._has_work.wait()
            self._has_work.clear()
            self._send(self._run(self._work.pop()))

    def _listen(self) -> None:
        try:
            while True:
                command = cast(ToChild, self._connection.recv())
                if isinstance(command, Run):
                    self._context = ChildContext(command.job, self._send)
                    self._work.append(command)
                    self._has_work.set()
                elif self._context is not None:
                    self._context.cancel()
        except (EOFError, OSError):
            _end_with_all()

    def _run(self, run: Run) -> Done:
        assert self._context is not None
        context = self._context
        try:
            result, failure = _call(run, context), None
        except Exception as error:  # noqa: BLE001 - the edge of the job's function: whatever it raises is the attempt's failure
            result, failure = None, failure_of(error, run.handler.retry_on)
        context.flush()
        gc.collect()
        return Done(result, failure, _memory())

    def _send(self, message: FromChild) -> None:
        try:
            with self._send_lock:
                self._connection.send(message)
        except OSError:
            _end_with_all()


def _call(run: Run, context: ChildContext) -> bytes:
    function = cast(HeavyJobFunction, run.handler.run)
    result: Message = function(run.handler.kind.request.FromString(run.job.request), context)
    return result.SerializeToString(deterministic=True)


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)


def _end_with_all() -> None:
    # Nobody is left to tell. Without the children a pool of the job's own would wait for ever.
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(1)


def job_for_child(job: Job, traceparent: str) -> Job:
    """The job as its function sees it, within the attempt's span."""
    return replace(job, traceparent=traceparent)


def serve(connection: Connection, process: str, settings: RuntimeSettings) -> None:
    """The child's main function: runs one job after another until the pipe breaks."""
    # The worker is told of Ctrl-C too and decides what becomes of the job.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(process, settings)
    _Child(connection).serve()
