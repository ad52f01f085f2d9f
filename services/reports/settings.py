"""Settings of the gRPC service and of the worker of reports."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from services.runtime.job_queue import JobWorkerSettings
from services.runtime.setting_types import matching
from services.runtime.settings import RuntimeSettings

_MODULES = r"([A-Za-z_][\w.]*(,[A-Za-z_][\w.]*)*)?"


def _modules(text: str) -> list[str]:
    return [module for module in text.split(",") if module]


class KindsSettings(RuntimeSettings):
    """What the service and the scheduler must both know."""

    job_kinds_modules: Annotated[str, matching(_MODULES, "names of Python modules, separated by commas")] = Field(
        "", validation_alias="SIGNALBOX_JOB_KINDS_MODULE"
    )
    """Python modules with kinds of jobs of your own, separated by commas: each holds JOB_KINDS, a sequence of JobKind. Their workers name the same kinds."""
    schedule: Path | None = Field(None, validation_alias="SIGNALBOX_SCHEDULE")
    """File of the recurring jobs; the one that comes with Signalbox if not set (services/reports/schedule/schedule.yaml says how it is written)."""

    @field_validator("job_kinds_modules")
    @classmethod
    def _have_kinds(cls, value: str) -> str:
        # Loads generated stubs, which those who only list settings do without; so does the next.
        from services.reports.errors import WrongKinds
        from services.reports.kinds import known_kinds

        try:
            known_kinds(_modules(value))
        except WrongKinds as error:
            raise ValueError(f"modules with kinds of jobs; {'; '.join(error.problems)}") from error
        return value

    @field_validator("schedule")
    @classmethod
    def _without_mistakes(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        from services.reports.kinds import known_kinds
        from services.reports.schedule.plans import WrongSchedule, load_plans

        modules = info.data.get("job_kinds_modules")
        try:
            load_plans(value, known_kinds(_modules(modules or "")))
        except WrongSchedule as error:
            # Where the modules are wrong, the kinds that an entry names may be right.
            problems = [" ".join(line.split()) for line in error.problems if modules is not None or ": kind: " not in line]
            if problems:
                raise ValueError(f"a schedule without mistakes: {'; '.join(problems)}") from error
        return value

    def kinds_modules(self) -> list[str]:
        """The modules, one by one."""
        return _modules(self.job_kinds_modules)


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
