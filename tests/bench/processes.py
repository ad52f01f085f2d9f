"""Product processes under measurement: started, waited for until ready, weighed, stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from tests.servers import REPOSITORY

#: Reached only when something is wrong.
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it started."""

    cpu_seconds: float
    peak_bytes: int


class Process:
    """One process of the product, ready when entered and stopped when left."""

    def __init__(self, module: str, env: dict[str, str], metrics_port: int, log: Path) -> None:
        self._command = [sys.executable, "-m", module]
        self._env, self._port, self._log = env, metrics_port, log
        self._peak = 0
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._weigh, daemon=True)

    def __enter__(self) -> Process:
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(self._command, cwd=REPOSITORY, env=os.environ | self._env, stderr=sink, stdout=sink)
        self._watch.start()
        end = time.monotonic() + PATIENCE_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                raise RuntimeError(f"{self._command[-1]} did not become ready:\n{self._log.read_text(encoding='utf-8')[-3000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._watch.join()
        self.let_go()
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def hold(self) -> None:
        """Stops it where it is, for less than the session of its group."""
        psutil.Process(self._process.pid).suspend()

    def let_go(self) -> None:
        """It goes on."""
        psutil.Process(self._process.pid).resume()

    def usage(self) -> Usage:
        """CPU since the start, and the highest resident memory seen."""
        times = psutil.Process(self._process.pid).cpu_times()
        return Usage(times.user + times.system, self._peak)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    def _weigh(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self._peak = max(self._peak, psutil.Process(self._process.pid).memory_info().rss)
            except psutil.NoSuchProcess:
                return
