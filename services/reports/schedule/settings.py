"""What a scheduler is told by its environment."""

from pathlib import Path

from pydantic import Field

from services.runtime.settings import RuntimeSettings


class SchedulerSettings(RuntimeSettings):
    """Settings of the scheduler."""

    metrics_port: int = Field(default=9472, ge=0, le=65535, validation_alias="SIGNALBOX_SCHEDULER_METRICS_PORT")
    """/metrics, /healthz, /readyz."""
    schedule: Path | None = Field(default=None, validation_alias="SIGNALBOX_SCHEDULE")
    """File of the recurring jobs; the one that comes with Signalbox if not set (services/reports/schedule/schedule.yaml says how it is written)."""
    scheduler_session_ms: int = Field(default=6_000, ge=1_000, le=60_000, validation_alias="SIGNALBOX_SCHEDULER_SESSION_MS")
    """A scheduler that the broker has not heard of for so long, milliseconds, is replaced by another."""
    job_kinds_modules: str = Field("", validation_alias="SIGNALBOX_JOB_KINDS_MODULE", pattern=r"^([A-Za-z_][\w.]*(,[A-Za-z_][\w.]*)*)?$")
    """Python modules with kinds of jobs of your own, as for reports."""

    def kinds_modules(self) -> list[str]:
        """The modules, one by one."""
        return [module for module in self.job_kinds_modules.split(",") if module]
