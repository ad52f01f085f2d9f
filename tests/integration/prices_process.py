"""The prices service as a process of its own, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from services.runtime.testing import eventually
from tests.ports import free_ports


class PricesProcess:
    """`python -m services.prices` on free ports. log: where its standard error goes."""

    def __init__(self, bootstrap: str, log: Path, **settings: str) -> None:
        self.port, self.metrics_port = free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")},
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "SIGNALBOX_PARTITIONS": "4",
            "SIGNALBOX_PRICES_PORT": str(self.port),
            "SIGNALBOX_PRICES_METRICS_PORT": str(self.metrics_port),
            **settings,
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts it without waiting."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "services.prices"], env=self._environment, stderr=log)
        return self._process

    async def start(self) -> None:
        """Starts it and waits until it is ready."""
        process = self.launch()

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode}: {self.log()[-3000:]}")
            return self.readiness()[0] == 200

        await eventually(ready, timeout_s=60.0)

    def readiness(self) -> tuple[int, dict[str, str]]:
        """Status and failed checks of /readyz; status 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5) as answer:
                return answer.status, {}
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["checks"]
        except OSError:
            return 0, {}

    def metrics(self) -> str:
        """The text of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def log(self) -> str:
        """Everything that it wrote to standard error."""
        return self._log.read_text()

    def terminate(self) -> None:
        """Sends SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Waits for its end. Returns the exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """Ends it if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
