"""A worker of jobs of the kinds of `job_kinds_of_tests`: `python -m tests.integration.job_worker_process`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.runtime.job_queue import JobWorkerSettings, run_job_worker
from services.runtime.lifecycle import run
from services.runtime.settings import load_settings
from tests.integration.job_kinds_of_tests import HANDLERS
from tests.ports import free_ports
from tests.processes import Process


class _Settings(JobWorkerSettings):
    metrics_port: int = Field(0, validation_alias="SIGNALBOX_TEST_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""


def start_worker(kafka: str, valkey: str, log: Path, **settings: str) -> Process:
    """Starts one, signs of life every 0.3 s, lost after 2 s unless `settings` say otherwise. Ready when `wait_ready` returns."""
    (port,) = free_ports(1)
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "REDIS_URL": valkey, "SIGNALBOX_TEST_WORKER_METRICS_PORT": str(port)}
    quick = {"SIGNALBOX_JOB_HEARTBEAT_S": "0.3", "SIGNALBOX_JOB_LOST_AFTER_S": "2", "SIGNALBOX_JOB_CANCEL_GRACE_S": "0.5"}
    return Process(["tests.integration.job_worker_process"], log, port, {**environment, **quick, **settings})


def main() -> None:
    """Runs the worker."""
    settings = load_settings(_Settings)
    run("test-worker", settings, lambda lifecycle: run_job_worker(settings, "test", HANDLERS, lifecycle))


if __name__ == "__main__":
    main()
