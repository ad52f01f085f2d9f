"""What a scheduler is told by its environment."""

from pydantic import Field

from services.reports.settings import KindsSettings


class SchedulerSettings(KindsSettings):
    """Settings of the scheduler."""

    metrics_port: int = Field(default=9472, ge=0, le=65535, validation_alias="SIGNALBOX_SCHEDULER_METRICS_PORT")
    """/metrics, /healthz, /readyz."""
    scheduler_session_ms: int = Field(default=6_000, ge=1_000, le=60_000, validation_alias="SIGNALBOX_SCHEDULER_SESSION_MS")
    """A scheduler that the broker has not heard of for so long, milliseconds, is replaced by another."""
