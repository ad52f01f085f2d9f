"""Processes of ours under test: started, asked over their ops port, signalled, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

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
        """Sum of a metric over its labels, or over those that contain `label`."""
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
