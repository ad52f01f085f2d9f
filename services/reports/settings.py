"""Settings of the gRPC service and of the worker of reports."""

from pathlib import Path

from pydantic import Field

from services.runtime.job_queue import JobWorkerSettings
from services.runtime.settings import RuntimeSettings


class KindsSettings(RuntimeSettings):
    """What the service and the scheduler must both know."""

    job_kinds_modules: str = Field("", validation_alias="SIGNALBOX_JOB_KINDS_MODULE", pattern=r"^([A-Za-z_][\w.]*(,[A-Za-z_][\w.]*)*)?$")
    """Python modules with kinds of jobs of your own, separated by commas: each holds JOB_KINDS, a sequence of JobKind. Their workers name the same kinds."""
    schedule: Path | None = Field(None, validation_alias="SIGNALBOX_SCHEDULE")
    """File of the recurring jobs; the one that comes with Signalbox if not set (services/reports/schedule/schedule.yaml says how it is written)."""

    def kinds_modules(self) -> list[str]:
        """The modules, one by one."""
        return [module for module in self.job_kinds_modules.split(",") if module]


class ReportsSettings(KindsSettings):
    """What `python -m services.reports` reads from the environment."""

    port: int = Field(50054, validation_alias="SIGNALBOX_REPORTS_PORT", ge=0, le=65535)
    """Port of the gRPC service; 0 takes any free one."""
    metrics_port: int = Field(9470, validation_alias="SIGNALBOX_REPORTS_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    results_indexed: int = Field(100_000, validation_alias="SIGNALBOX_REPORTS_RESULTS_INDEXED", ge=1_000, le=10_000_000)
    """Finished jobs that can be asked for after the queue has forgotten them, the newest; about 200 bytes of memory each."""


class ReportsWorkerSettings(JobWorkerSettings):
    """What `python -m services.reports.worker` reads from the environment."""

    metrics_port: int = Field(9471, validation_alias="SIGNALBOX_REPORTS_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
