"""How every process starts, drains and ends."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import uvloop

from services.runtime.logging import configure_logging, get_logger
from services.runtime.metrics import UNEXPECTED_ERRORS
from services.runtime.ops import OpsServer
from services.runtime.settings import RuntimeSettings
from services.runtime.telemetry import configure_tracing, end_tracing

#: From the signal to the end of the process, its last line of log included; whoever kills after a time must wait longer than this.
DRAIN_SECONDS = 10.0
#: In this time `main` may finish on its own before it is cancelled.
_MAIN_SECONDS = 4.0
#: And in this much more it must end once it is cancelled.
_CANCELLED_SECONDS = 1.0
#: When the callbacks are given up, from the signal on; the last spans take 1.5 s after that.
_CALLBACKS_SECONDS = 7.0
#: When the process ends itself, from the signal on: some thread or callback hangs. The rest of the ten seconds is for a machine that is busy.
_WATCHDOG_SECONDS = 9.0

_log = get_logger("lifecycle")

StopCallback = Callable[[], Awaitable[object]]


class Lifecycle:
    """The life of one process, handed to its `main`."""

    def __init__(self, process: str, ops: OpsServer) -> None:
        self.process = process
        self.stopping = asyncio.Event()
        """Set when the process must end: a signal, or a failure. `main` then stops taking new work and returns."""
        self.ops = ops
        """The server of /metrics, /healthz and /readyz; add checks to it."""
        self.failure: BaseException | None = None
        """What went wrong in the background, if anything did; the process then ends with exit code 1."""
        self._loop = asyncio.get_running_loop()
        self._callbacks: list[StopCallback] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def on_stop(self, callback: StopCallback) -> None:
        """`callback` is awaited after `main` has ended. The last one added is called first; all share the drain's limit."""
        self._callbacks.append(callback)

    def stop(self) -> None:
        """Asks the process to end in order. To be called on the event loop's thread."""
        self.stopping.set()

    def fail(self, error: BaseException) -> None:
        """Ends the process with exit code 1 because of a failure in the background. Safe from any thread; the first one counts."""
        self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            _log.error("background work failed", error=str(error), exc_info=error)
        self.stopping.set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs `work` beside `main`. If it fails the process ends; at the drain it is cancelled."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def drain(self) -> bool:
        """Calls what `on_stop` was given, last first. Returns whether all of it went well."""
        self.stopping.set()
        fine = True
        for callback in reversed(self._callbacks):
            fine = await _call(callback) and fine
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return fine


async def _call(callback: StopCallback) -> bool:
    try:
        await callback()
    except Exception as error:  # noqa: BLE001 - one failed callback must not keep the others from stopping their part
        UNEXPECTED_ERRORS.labels("drain").inc()
        _log.error("could not stop in order", callback=getattr(callback, "__qualname__", repr(callback)), exc_info=error)
        return False
    return True


def run(process: str, settings: RuntimeSettings, main: Callable[[Lifecycle], Awaitable[None]]) -> NoReturn:
    """Runs `main` until it returns or the process is told to stop, then drains, then exits.

    SIGTERM and SIGINT set `lifecycle.stopping`; `main` has 4 s to return before it is cancelled. Whatever hangs, the process has ended 10 s after it.
    Exit code: 0 in order, 1 after a crash (logged with its traceback), a failure in the background or a drain that did not finish.
    """
    configure_logging(process, settings)
    configure_tracing(process)
    code = uvloop.run(_run(process, settings, main))
    end_tracing()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a non-daemon thread of a library that hangs would keep a drained process alive.
    os._exit(code)


async def _run(process: str, settings: RuntimeSettings, main: Callable[[Lifecycle], Awaitable[None]]) -> int:
    lifecycle = Lifecycle(process, OpsServer(settings.metrics_port, settings.host))
    _watch_signals(lifecycle)
    _log.info("starting", pid=os.getpid())
    running = asyncio.ensure_future(_main(lifecycle, main))
    await _until_stopped(lifecycle, running)
    began = asyncio.get_running_loop().time()
    # Never called off: the loop's own end, after this function, waits for every task, and one of them may ignore its cancellation.
    _start_watchdog(process)
    crashed = await _end_main(running)
    drained = await _drain(lifecycle, began + _CALLBACKS_SECONDS)
    lifecycle.ops.stop()
    code = 0 if drained and not crashed and lifecycle.failure is None else 1
    _log.info("stopped", exit_code=code)
    return code


async def _main(lifecycle: Lifecycle, main: Callable[[Lifecycle], Awaitable[None]]) -> None:
    lifecycle.ops.start()
    await main(lifecycle)


async def _until_stopped(lifecycle: Lifecycle, running: asyncio.Future[None]) -> None:
    stopping = asyncio.ensure_future(lifecycle.stopping.wait())
    both: set[asyncio.Future[Any]] = {running, stopping}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    lifecycle.ops.add_ready_check("lifecycle", lambda: "stopping")


async def _end_main(running: asyncio.Future[None]) -> bool:
    """Returns whether it crashed."""
    await asyncio.wait({running}, timeout=_MAIN_SECONDS)
    if not running.done():
        _log.warning("main did not return after the signal, cancelling it", seconds=_MAIN_SECONDS)
        running.cancel()
        await asyncio.wait({running}, timeout=_CANCELLED_SECONDS)
    if not running.done():
        _log.error("main goes on although it was cancelled", seconds=_CANCELLED_SECONDS)
        return False
    error = None if running.cancelled() else running.exception()
    if error is None:
        return False
    UNEXPECTED_ERRORS.labels("main").inc()
    _log.critical("crashed", error=str(error), exc_info=error)
    return True


async def _drain(lifecycle: Lifecycle, until: float) -> bool:
    """until: the loop's time at which the callbacks are given up."""
    try:
        async with asyncio.timeout_at(until):
            return await lifecycle.drain()
    except TimeoutError:
        _log.error("the drain took too long, the rest is given up", seconds=_CALLBACKS_SECONDS)
        return False


def _watch_signals(lifecycle: Lifecycle) -> None:
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, _on_signal, lifecycle, signum)


def _on_signal(lifecycle: Lifecycle, signum: signal.Signals) -> None:
    _log.info("stopping", signal=signum.name)
    lifecycle.stop()


def _start_watchdog(process: str) -> None:
    def give_up() -> None:
        sys.stderr.write(f"{process}: the drain hangs, ending the process\n")
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(_WATCHDOG_SECONDS, give_up)
    timer.daemon = True
    timer.start()
