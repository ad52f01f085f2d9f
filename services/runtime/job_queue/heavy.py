"""The worker's side of the processes in which heavy jobs run."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from typing import cast

import psutil

from services.runtime.clock import Clock
from services.runtime.job_queue.child import Cancel, Done, FromChild, Ready, Run, serve
from services.runtime.job_queue.outcome import Failure, over_memory, process_died
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.jobs import Job, JobHandler, Progress
from services.runtime.logging import get_logger

_log = get_logger("job-process")
#: A fresh interpreter, as a copy of the worker would have its threads' locks without the threads.
_spawn = multiprocessing.get_context("spawn")
#: A process that has grown by more than this over its start is replaced before the next job.
_GROWN_BYTES = 128 << 20
#: Looks at memory between two searches for further processes of the job, which cost milliseconds.
_LOOKS_PER_SEARCH = 10
_JOIN_S = 5.0


class JobProcess:
    """One process for one heavy job at a time."""

    def __init__(self, name: str, settings: JobWorkerSettings, clock: Clock) -> None:
        self._settings, self._clock, self._name = settings, clock, name
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[int] = self._loop.create_future()
        self._done: asyncio.Future[Done] | None = None
        self._on_progress: Callable[[Progress], None] | None = None
        self._fresh_bytes = 0
        self._after_bytes = 0
        self.peak_bytes = 0
        self.kept_bytes = 0
        self.is_dead = False
        self.is_busy = False
        """A job was given to it that has not ended."""

    async def start(self) -> None:
        """Returns when the process waits for work. Raises ChildProcessError when it ends before."""
        self._connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=serve, args=(theirs, self._name, self._settings), name=self._name)
        await asyncio.to_thread(self._process.start)
        theirs.close()
        threading.Thread(target=self._listen, name=f"{self._name}-pipe", daemon=True).start()
        self._fresh_bytes = self._after_bytes = await self._ready
        _log.info("process for heavy jobs started", pid=self._process.pid, memory_mib=self._fresh_bytes >> 20)

    @property
    def is_worn(self) -> bool:
        """Whether it should not be given another job."""
        return self.is_dead or self.is_busy or self._after_bytes - self._fresh_bytes > _GROWN_BYTES

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    async def run(self, job: Job, handler: JobHandler, on_progress: Callable[[Progress], None]) -> bytes | Failure:
        """Runs one job; watches its memory."""
        self._done, self._on_progress, self.is_busy = self._loop.create_future(), on_progress, True
        before = self.peak_bytes = self._after_bytes
        await self._send(Run(handler, job))
        watch = asyncio.create_task(self._watch_memory(handler.kind.memory_limit_bytes))
        try:
            done = await self._done
        finally:
            watch.cancel()
            self._on_progress = None
        if watch.done() and not watch.cancelled() and (exceeded := watch.result()) is not None:
            return exceeded
        self._after_bytes, self.is_busy = done.memory_bytes, False
        self.peak_bytes, self.kept_bytes = max(self.peak_bytes, done.memory_bytes), done.memory_bytes - before
        return done.failure or done.result or b""

    async def ask_to_end(self) -> None:
        """Tells the job's function that it shall end."""
        await self._send(Cancel())

    async def _send(self, message: Run | Cancel) -> None:
        try:
            await asyncio.to_thread(self._connection.send, message)
        except OSError:
            # It is dead; the thread that reads the pipe says how.
            return

    async def _watch_memory(self, limit_bytes: int) -> Failure | None:
        tree: list[psutil.Process] = []
        looks = 0
        while True:
            try:
                if looks % _LOOKS_PER_SEARCH == 0:
                    root = psutil.Process(self.pid)
                    tree = [root, *root.children(recursive=True)]
                seen = sum(_resident(process) for process in tree)
            except psutil.Error:
                # It has died, perhaps before the first look: the thread that reads the pipe says how.
                return None
            looks += 1
            self.peak_bytes = max(self.peak_bytes, seen)
            if seen > limit_bytes:
                self.kill()
                return over_memory(limit_bytes, seen)
            await self._clock.sleep(self._settings.memory_interval_s)

    def kill(self) -> None:
        """Ends it and what it has started, at once."""
        try:
            tree = psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            tree = []
        self._process.kill()
        for process in tree:
            _kill(process)

    async def close(self) -> None:
        """Ends it and waits for its end."""
        self.kill()
        await asyncio.to_thread(self._process.join, _JOIN_S)

    def _listen(self) -> None:
        try:
            while True:
                message = cast(FromChild, self._connection.recv())
                self._loop.call_soon_threadsafe(self._on_message, message)
        except (EOFError, OSError):
            self._process.join(_JOIN_S)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._on_death, self._process.exitcode)

    def _on_message(self, message: FromChild) -> None:
        if isinstance(message, Ready):
            self._ready.set_result(message.memory_bytes)
        elif isinstance(message, Progress):
            if self._on_progress is not None:
                self._on_progress(message)
        elif self._done is not None and not self._done.done():
            self._done.set_result(message)

    def _on_death(self, code: int | None) -> None:
        self.is_dead = True
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        if not self._ready.done():
            self._ready.set_exception(ChildProcessError(f"{self._name} {how} before it was ready"))
        if self._done is not None and not self._done.done():
            self._done.set_result(Done(None, process_died(how), 0))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


class JobProcesses:
    """The processes of one worker: made when needed, used again while they are good."""

    def __init__(self, name: str, settings: JobWorkerSettings, clock: Clock) -> None:
        self._name, self._settings, self._clock = name, settings, clock
        self._idle: list[JobProcess] = []
        self._all: set[JobProcess] = set()

    async def take(self) -> JobProcess:
        """A process that waits for work. Raises ChildProcessError when none can be started."""
        while self._idle:
            process = self._idle.pop()
            if not process.is_dead:
                return process
            self._all.discard(process)
        process = JobProcess(f"{self._name}-job", self._settings, self._clock)
        await process.start()
        self._all.add(process)
        return process

    async def give_back(self, process: JobProcess) -> None:
        """Keeps a process for the next job, unless its job had to be left or it is worn."""
        if not process.is_worn:
            self._idle.append(process)
            return
        self._all.discard(process)
        await process.close()

    async def close(self) -> None:
        """Ends all."""
        for process in list(self._all):
            await process.close()
        self._all.clear()
