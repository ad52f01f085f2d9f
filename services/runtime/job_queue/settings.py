"""Settings of a worker of jobs."""

from pydantic import Field, ValidationInfo, field_validator

from services.runtime.settings import RuntimeSettings

#: Signs of life that may be late or missing before a worker counts as lost.
_HEARTBEATS = 3


class JobWorkerSettings(RuntimeSettings):
    """What every worker of jobs reads from the environment. A worker gives `metrics_port` a variable of its own in a subclass."""

    light_concurrency: int = Field(8, validation_alias="SIGNALBOX_JOB_CONCURRENCY", ge=1, le=256)
    """Light jobs that one worker runs at once, on its event loop."""
    heavy_processes: int = Field(1, validation_alias="SIGNALBOX_JOB_PROCESSES", ge=1, le=64)
    """Heavy jobs that one worker runs at once, each in a process of its own."""
    heartbeat_s: float = Field(1.0, validation_alias="SIGNALBOX_JOB_HEARTBEAT_S", gt=0, le=30)
    """Seconds between two signs of life that a worker gives for its running jobs."""
    lost_after_s: float = Field(6.0, validation_alias="SIGNALBOX_JOB_LOST_AFTER_S", ge=1, le=300)
    """Seconds without a sign of life after which a job is taken from its worker and run again, at least three heartbeats."""
    drain_s: float = Field(2.0, validation_alias="SIGNALBOX_JOB_DRAIN_S", ge=0, le=3)
    """Seconds that running jobs have to end after SIGTERM, before they are handed back to the queue."""
    cancel_grace_s: float = Field(2.0, validation_alias="SIGNALBOX_JOB_CANCEL_GRACE_S", ge=0, le=60)
    """Seconds that a cancelled job has to end by itself before it is ended."""
    progress_interval_s: float = Field(0.25, validation_alias="SIGNALBOX_JOB_PROGRESS_INTERVAL_S", ge=0.05, le=60)
    """Seconds between two stored progresses of one job, at least."""
    memory_interval_s: float = Field(0.1, validation_alias="SIGNALBOX_JOB_MEMORY_INTERVAL_S", ge=0.01, le=10)
    """Seconds between two looks at the memory of a heavy job's process."""

    @field_validator("lost_after_s")
    @classmethod
    def _lives_between_heartbeats(cls, value: float, info: ValidationInfo) -> float:
        # Not there when it is wrong itself.
        heartbeat_s = info.data.get("heartbeat_s", 0.0)
        if value < _HEARTBEATS * heartbeat_s:
            raise ValueError(f"at least {_HEARTBEATS} times SIGNALBOX_JOB_HEARTBEAT_S, which is {heartbeat_s:g}")
        return value
