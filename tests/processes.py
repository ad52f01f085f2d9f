"""Processes of ours under test: started, asked over their ops port, signalled, weighed, slowed, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tests.servers import REPOSITORY

#: Longer than any of the waits needs on two busy cores; reached only when something is wrong.
PATIENCE_SECONDS = 60.0


def wait_until(condition: Callable[[], bool], what: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Returns when `condition` holds; fails the test when it does not in time."""
    end = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < end, f"waited {patience_seconds:g} s for: {what}"
        time.sleep(0.02)


class Process:
    """One process: a module, its log and its ops port.

    arguments: of the command line, the module's name first. env: added to ours. log: its standard error is appended.
    """

    def __init__(self, arguments: list[str], log: Path, metrics_port: int, env: Mapping[str, str]) -> None:
        self.module, self.metrics_port = arguments[0], metrics_port
        self._log_path = log
        with log.open("ab") as sink:
            self.process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=REPOSITORY, stderr=sink, env={**os.environ, **env})

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it wrote to its log, and those before it with the same file."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait_ready(self) -> None:
        """Returns when /readyz says so."""
        wait_until(lambda: self.ask("/readyz")[0] == 200, f"{self.module} is ready")

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body of /readyz, /healthz or /metrics; status 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, label: str = "") -> float:
        """Sum of a metric over its labels, or over those that contain `label`; 0 when it does not answer."""
        lines = [line for line in self.ask("/metrics")[1].splitlines() if line.partition("{")[0].partition(" ")[0] == name and label in line]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it has ended."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Whatever it is doing, it does not run afterwards."""
        if self.running:
            self.process.send_signal(signal.SIGCONT)
            self.kill()


class Scale:
    """Weighs a process while it is entered. pid: of the process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._peak = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._weigh)

    def __enter__(self) -> Scale:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        """Bytes above what it was before, at most."""
        return self._peak - self._before

    def _weigh(self) -> None:
        while not self._stop.wait(0.05):
            self._peak = max(self._peak, self._process.memory_info().rss)


class Slowed:
    """Lets a process run for a part of the time only. Use as a context manager; whatever happens within, it runs on afterwards.

    pid: of the process. stopped_s, running_s: one stop and what lies between two of them, seconds.
    """

    def __init__(self, pid: int, stopped_s: float, running_s: float) -> None:
        self._pid, self._stopped_s, self._running_s = pid, stopped_s, running_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Slowed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._running_s):
            os.kill(self._pid, signal.SIGSTOP)
            self._over.wait(self._stopped_s)
            os.kill(self._pid, signal.SIGCONT)
