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

#: From SIGTERM to the end; the supervisor and Kubernetes wait longer than this before they kill.
DRAIN_SECONDS = 10.0
#: The part of the drain in which `main` may finish on its own before it is cancelled.
_MAIN_SECONDS = 4.0
#: After this much more the process ends itself: some thread or callback hangs.
_WATCHDOG_EXTRA_SECONDS = 1.0

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

    SIGTERM and SIGINT set `lifecycle.stopping`; `main` has 4 s to return before it is cancelled, the whole drain 10 s.
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
    ops = OpsServer(settings.metrics_port, settings.host)
    lifecycle = Lifecycle(process, ops)
    _watch_signals(lifecycle)
    _log.info("starting", pid=os.getpid())
    crashed = await _run_main(lifecycle, main)
    # Never called off: the loop's own end, after this function, waits for every task, and one of them may ignore its cancellation.
    _start_watchdog(process)
    drained = await _drain(lifecycle)
    ops.stop()
    code = 0 if drained and not crashed and lifecycle.failure is None else 1
    _log.info("stopped", exit_code=code)
    return code


async def _run_main(lifecycle: Lifecycle, main: Callable[[Lifecycle], Awaitable[None]]) -> bool:
    """Returns whether it crashed."""
    try:
        lifecycle.ops.start()
        await _until_stopped(lifecycle, asyncio.ensure_future(main(lifecycle)))
    except Exception as error:  # noqa: BLE001 - the edge of the process
        UNEXPECTED_ERRORS.labels("main").inc()
        _log.critical("crashed", error=str(error), exc_info=error)
        return True
    return False


async def _until_stopped(lifecycle: Lifecycle, main: asyncio.Future[None]) -> None:
    stopping = asyncio.ensure_future(lifecycle.stopping.wait())
    both: set[asyncio.Future[Any]] = {main, stopping}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    lifecycle.ops.add_ready_check("lifecycle", lambda: "stopping")
    if not main.done():
        await asyncio.wait({main}, timeout=_MAIN_SECONDS)
    if not main.done():
        _log.warning("main did not return after the signal, cancelling it", seconds=_MAIN_SECONDS)
        main.cancel()
        await asyncio.wait({main}, timeout=_MAIN_SECONDS)
    if main.done() and not main.cancelled():
        main.result()


async def _drain(lifecycle: Lifecycle) -> bool:
    try:
        async with asyncio.timeout(DRAIN_SECONDS - _MAIN_SECONDS):
            return await lifecycle.drain()
    except TimeoutError:
        _log.error("the drain took too long, the rest is given up", seconds=DRAIN_SECONDS)
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

    timer = threading.Timer(DRAIN_SECONDS - _MAIN_SECONDS + _WATCHDOG_EXTRA_SECONDS, give_up)
    timer.daemon = True
    timer.start()
