"""As much of the stack as jobs need: Kafka, Valkey, the reports service with a test's own kinds, and Envoy before it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.valkey import EmbeddedValkey
from services.runtime.kafka_admin import ensure_topics
from services.runtime.topics import JOBS, RESULTS
from tests.integration.edge_servers import edge_settings, running_envoy
from tests.ports import free_ports
from tests.processes import Process, wait_until
from tests.servers import new_broker


@dataclass
class JobsStack:
    """What runs."""

    home: Path
    env: dict[str, str]
    """For every process, and for the command line."""
    edge: str
    """HOST:PORT."""
    bootstrap: str
    valkey: EmbeddedValkey
    service: Process
    workers: list[Process] = field(default_factory=list)

    def start_worker(self, module: str, **env: str) -> Process:
        """A worker that runs until the end of the stack, unless it is killed."""
        port = free_ports(1)[0]
        ports = {"SIGNALBOX_REPORTS_WORKER_METRICS_PORT": str(port), "TEST_METRICS_PORT": str(port)}
        worker = Process([module], self.home / "worker.log", port, self.env | ports | env)
        self.workers.append(worker)
        return worker

    def restart_service(self) -> None:
        """SIGKILL, and a new start."""
        self.service.kill()
        self.service = Process(["services.reports"], self.home / "reports.log", self.service.metrics_port, self.env)

    def kill_valkey(self) -> None:
        """SIGKILL, in the middle of whatever it does, and a new start on the same folder."""
        # Valkey writes its title over its command line, but works in its folder.
        folder = str(self.home / "valkey-home" / "valkey")
        victims = [process for process in psutil.Process().children() if process.cwd() == folder]
        assert len(victims) == 1, victims
        victims[0].send_signal(signal.SIGKILL)
        victims[0].wait(20)
        self.valkey.stop()
        self.valkey.start()


@contextmanager
def jobs_stack(home: Path, kinds_module: str) -> Iterator[JobsStack]:
    """Starts all of it and ends it, workers included."""
    edge = edge_settings()
    valkey_port, metrics_port = free_ports(2)
    with new_broker(home / "kafka-home") as broker, EmbeddedValkey(home / "valkey-home", valkey_port) as valkey, running_envoy(home / "envoy", edge) as envoy:
        ensure_topics(broker.bootstrap, 1, (JOBS, RESULTS))
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "REDIS_URL": valkey.url,
            "SIGNALBOX_EDGE_PORT": str(edge.edge_port),
            "SIGNALBOX_REPORTS_PORT": str(edge.reports_port),
            "SIGNALBOX_REPORTS_METRICS_PORT": str(metrics_port),
            "SIGNALBOX_JOB_KINDS_MODULE": kinds_module,
            "SIGNALBOX_HOME": str(home),
        }
        service = Process(["services.reports"], home / "reports.log", metrics_port, env)
        stack = JobsStack(home, {**os.environ, **env}, envoy.address, broker.bootstrap, valkey, service)
        try:
            service.wait_ready()
            yield stack
        except BaseException:
            print(*(line for line in stack.service.log.splitlines() if '"level": "error"' in line), sep="\n")
            raise
        finally:
            for process in (*stack.workers, stack.service):
                process.end()


def wait_workers(stack: JobsStack) -> None:
    """Returns when every worker that was started and lives is ready."""
    for worker in stack.workers:
        wait_until(lambda worker=worker: not worker.running or worker.ask("/readyz")[0] == 200, f"{worker.module} is ready")  # type: ignore[misc]
