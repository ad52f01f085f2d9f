"""Settings of a stream worker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.runtime.setting_types import matching
from services.runtime.settings import RuntimeSettings

AppName = Annotated[str, matching(r"[a-z][a-z0-9-]*", "lower-case letters, digits and dashes, beginning with a letter")]
"""Of a worker: it is part of the name of its consumer group."""


class StreamWorkerSettings(RuntimeSettings):
    """What the harness needs to know. A worker sets `app` in its subclass."""

    app: AppName
    """Name of the worker: the consumer group is `signalbox-<app>`, and checkpoints carry it."""
    replica: Annotated[str, matching(r"[A-Za-z0-9_.-]+", "letters, digits, and the signs _ . -")] = Field("0", validation_alias="SIGNALBOX_REPLICA")
    """Name of this process among those of its app. Unique, and the same after a restart: then a restart moves no partition."""
    checkpoint_interval_ms: int = Field(1000, validation_alias="SIGNALBOX_CHECKPOINT_INTERVAL_MS", ge=10, le=600_000)
    """Milliseconds between checkpoints of a partition while it has input. What is processed twice after a crash, at most."""
    live_interval_ms: int = Field(8, validation_alias="SIGNALBOX_LIVE_INTERVAL_MS", ge=1, le=60_000)
    """Least milliseconds between two times that a partition shows what is not final; the first after a pause follows its records."""
    gather_ms: int = Field(4, validation_alias="SIGNALBOX_GATHER_MS", ge=0, le=1000)
    """Milliseconds that a fetch waits at the broker for more, in all partitions, while records come all the time; the first after a pause waits for nothing."""
    stall_seconds: float = Field(30.0, validation_alias="SIGNALBOX_STALL_SECONDS", gt=0, le=3_600)
    """Seconds without progress while there is input, after which the process counts as dead."""
    session_timeout_seconds: float = Field(6.0, validation_alias="SIGNALBOX_SESSION_TIMEOUT_SECONDS", ge=1, le=1_800)
    """Seconds after which the group gives a silent worker's partitions away. The broker's own minimum is 6 unless it was told otherwise."""
    max_outstanding_outputs: int = Field(20_000, validation_alias="SIGNALBOX_MAX_OUTSTANDING_OUTPUTS", ge=1, le=10_000_000)
    """Outputs that may wait for the broker before reading waits."""
    max_unacknowledged_bytes: int = Field(64 << 20, validation_alias="SIGNALBOX_MAX_UNACKNOWLEDGED_BYTES", ge=1 << 20, le=64 << 30)
    """Input bytes of a partition since its last checkpoint; at half of it a checkpoint is taken early, at all of it reading waits."""
    dead_letters_per_minute: int = Field(100, validation_alias="SIGNALBOX_DEAD_LETTERS_PER_MINUTE", ge=0, le=1_000_000_000)
    """Records a minute that may go to the dead letters before the process ends."""

    @property
    def group(self) -> str:
        """Name of the consumer group."""
        return f"signalbox-{self.app}"

    @property
    def instance(self) -> str:
        """Static member id in the group."""
        return f"{self.group}-{self.replica}"
