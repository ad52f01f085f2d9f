"""The stack in the background: up, status, logs, down, reset."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.local import lock
from deploy.local.child import tail
from deploy.local.errors import AlreadyRunning, NotReady, StackError
from deploy.local.processes import stack_phases
from deploy.local.progress import Progress
from deploy.local.settings import REPOSITORY, StackSettings

#: First start on a slow line: jars, kernels and tables, each with a limit of its own, come before.
UP_SECONDS = 600.0

#: Every process may take ten seconds to drain, one after the other.
DOWN_SECONDS = 120.0

#: What `reset` removes from the data folder. By name: the folder is a setting, and a mistyped
#: setting must not empty somebody's home. Kafka's jars stay, they are no data.
DATA_FOLDERS = ("kafka", "valkey", "envoy", "logs", "run", "tables", "reports", "faust", "history")


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """How one process is, asked just now."""

    name: str
    pid: int | None
    ready: bool
    reason: str
    """Why it is not ready, and how it ended last if it has not been ready since; empty when it is."""
    restarts: int
    rss_bytes: int
    """Resident memory, 0 when it does not run."""
    uptime_seconds: float


@dataclass(frozen=True, slots=True)
class StackStatus:
    """How the stack on this data folder is. pid: its supervisor; None: nothing runs."""

    pid: int | None
    processes: list[ProcessStatus]

    @property
    def ready(self) -> bool:
        """Every process does its work."""
        return self.pid is not None and bool(self.processes) and all(each.ready for each in self.processes)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "ready": self.ready, "running": self.pid is not None}


def up(settings: StackSettings, progress: Progress) -> int:
    """Start the stack in the background and wait until all of it is ready. Returns the supervisor's pid.

    Raises AlreadyRunning, NotReady, or StackError with what the stack itself said.
    """
    pid = lock.holder(settings.run)
    if pid is not None:
        raise AlreadyRunning(pid, f"Signalbox already runs (pid {pid})", "see `make status`, stop it with `make down`")
    settings.run.mkdir(parents=True, exist_ok=True)
    log = settings.run / "stack.log"
    with log.open("wb") as out:
        stack = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.run"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env={name: value for name, value in os.environ.items() if name != "RUN_SECONDS"},
            start_new_session=True,
        )
    with progress.step("Starting the stack in the background", done="The stack is ready"):
        _wait_up(settings, progress, stack, log)
    return stack.pid


def _wait_up(settings: StackSettings, progress: Progress, stack: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while not (state := read_state(settings)).get("ready"):
        waiting = [each["name"] for each in state.get("processes", []) if each["condition"] == "starting"]
        if waiting:
            progress.update(f"Waiting for {', '.join(waiting)}")
        try:
            stack.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                stack.send_signal(signal.SIGTERM)
                raise NotReady(f"the stack was not ready after {UP_SECONDS:.0f} s", f"what it said is in {log}") from None
        else:
            raise StackError(f"the stack did not start:\n{tail(log, 40)}")


def down(settings: StackSettings, progress: Progress) -> bool:
    """Stop the stack in order, however it was started. False when none runs. Raises NotReady when it does not end."""
    pid = lock.holder(settings.run)
    if not pid:
        return False
    with progress.step("Stopping the stack", done="The stack has stopped"):
        os.kill(pid, signal.SIGTERM)
        try:
            with suppress(psutil.NoSuchProcess):  # it was quicker than us
                psutil.Process(pid).wait(timeout=DOWN_SECONDS)
        except psutil.TimeoutExpired as error:
            raise NotReady(f"the stack (pid {pid}) did not end within {DOWN_SECONDS:.0f} s", f"kill -9 {pid} ends all of it") from error
    return True


def status(settings: StackSettings) -> StackStatus:
    """Ask every process how it is."""
    pid = lock.holder(settings.run)
    if pid is None:
        return StackStatus(None, [])
    known = {each["name"]: each for each in read_state(settings).get("processes", [])}
    processes = [process for phase in stack_phases(settings) for process in phase.processes]
    with ThreadPoolExecutor(len(processes)) as pool:
        reasons = list(pool.map(lambda process: process.why_not_ready(), processes))
    return StackStatus(pid, [_process_status(known.get(p.name, {"name": p.name}), reason) for p, reason in zip(processes, reasons, strict=True)])


def _process_status(known: dict[str, Any], reason: str | None) -> ProcessStatus:
    pid, rss, uptime = known.get("pid"), 0, 0.0
    if pid is not None:
        try:
            process = psutil.Process(pid)
            rss, uptime = process.memory_info().rss, time.time() - process.create_time()
        except psutil.NoSuchProcess:
            pid = None
    reasons = "" if reason is None else "; ".join(filter(None, (reason, known.get("why"))))
    return ProcessStatus(known["name"], pid, reason is None, reasons, known.get("restarts", 0), rss, round(uptime, 1))


def read_state(settings: StackSettings) -> dict[str, Any]:
    """What the supervisor last published; empty when there is none."""
    try:
        state: dict[str, Any] = json.loads(settings.state_path.read_text())
    except FileNotFoundError:
        return {}
    return state


def log_files(settings: StackSettings, names: list[str]) -> list[Path]:
    """The logs with these names, or all. Raises StackError for a name without a log."""
    if not names:
        return sorted(settings.logs.glob("*.log"))
    paths = [settings.logs / f"{name}.log" for name in names]
    for path in paths:
        if not path.exists():
            known = ", ".join(sorted(each.stem for each in settings.logs.glob("*.log"))) or "none yet"
            raise StackError(f"there is no log of {path.stem!r}", f"there are: {known}")
    return paths


def follow(paths: list[Path], pause: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """New lines of the logs as they come, (name, line), for ever. pause: called between two looks."""
    offsets = {path: path.stat().st_size for path in paths}
    while True:
        for path in paths:
            size = path.stat().st_size
            # Shorter than before: it was cut or begun anew.
            start = offsets[path] if size >= offsets[path] else 0
            with path.open("rb") as file:
                file.seek(start)
                text = file.read()
            complete = text.rpartition(b"\n")[0]
            offsets[path] = start + (len(complete) + 1 if complete else 0)
            for line in complete.decode("utf-8", errors="replace").splitlines():
                yield path.stem, line
        pause()


def reset(settings: StackSettings) -> list[Path]:
    """Remove all data of this stack. Returns what was removed. Raises AlreadyRunning while it runs."""
    pid = lock.holder(settings.run)
    if pid is not None:
        raise AlreadyRunning(pid, f"Signalbox runs (pid {pid}) on {settings.home}", "stop it first with `make down`")
    present = [settings.home / name for name in DATA_FOLDERS if (settings.home / name).exists()]
    for folder in present:
        shutil.rmtree(folder)
    return present
