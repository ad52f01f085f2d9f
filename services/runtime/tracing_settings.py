"""Where traces go and how many are recorded: the standard's variables, the same for our processes and for Envoy."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from services.runtime.environment import EnvironmentSettings
from services.runtime.setting_types import ServerUrl

_ALWAYS = {"always_on": 1.0, "parentbased_always_on": 1.0, "always_off": 0.0, "parentbased_always_off": 0.0}


class TracingSettings(EnvironmentSettings):
    """What both kinds of settings have.

    The exporter reads its variables itself, and more of the standard's (headers, certificates); numbers that it could not read are found here.
    """

    otlp_endpoint: ServerUrl | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Collector of traces, `http://HOST:PORT` or `https://`, OTLP over gRPC. Unset: nothing is traced. See [tracing](tracing.md)."""
    otlp_protocol: Literal["grpc"] = Field(default="grpc", validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL")
    """The only protocol."""
    traces_sampler: Literal["parentbased_traceidratio", "traceidratio", "parentbased_always_on", "always_on", "parentbased_always_off", "always_off"] = Field(
        default="parentbased_traceidratio", validation_alias="OTEL_TRACES_SAMPLER"
    )
    """How a trace is chosen where it begins; what comes with a trace context is always as that says."""
    # One trace in a hundred: at the demonstration's rate a few a second, and about a hundredth of the workers' time.
    traces_sampler_arg: float = Field(default=0.01, ge=0, le=1, validation_alias="OTEL_TRACES_SAMPLER_ARG")
    """The part of traces that is recorded, 0 to 1, for the samplers by ratio."""

    otlp_timeout_s: float = Field(default=10.0, gt=0, le=300, validation_alias="OTEL_EXPORTER_OTLP_TIMEOUT")
    """Seconds that the collector may take for a batch."""
    otlp_traces_timeout_s: float | None = Field(default=None, gt=0, le=300, validation_alias="OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
    """The same, of traces alone."""
    bsp_max_queue_size: int = Field(default=2048, ge=1, le=1_000_000, validation_alias="OTEL_BSP_MAX_QUEUE_SIZE")
    """Spans that may wait to be sent; over it they are dropped."""
    bsp_max_export_batch_size: int = Field(default=512, ge=1, le=1_000_000, validation_alias="OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    """Spans that are sent at once, at most."""
    bsp_schedule_delay_ms: int = Field(default=5_000, ge=1, le=300_000, validation_alias="OTEL_BSP_SCHEDULE_DELAY")
    """Milliseconds between two batches, at most."""
    bsp_export_timeout_ms: int = Field(default=30_000, ge=1, le=300_000, validation_alias="OTEL_BSP_EXPORT_TIMEOUT")
    """Milliseconds that a batch may take."""

    @field_validator("bsp_max_export_batch_size")
    @classmethod
    def _fits_the_queue(cls, value: int, info: ValidationInfo) -> int:
        queue = info.data.get("bsp_max_queue_size", value)
        if value > queue:
            raise ValueError(f"at most OTEL_BSP_MAX_QUEUE_SIZE, which is {queue}")
        return value

    @property
    def sampling_ratio(self) -> float:
        """The part of new traces that is recorded, 0 to 1."""
        return _ALWAYS.get(self.traces_sampler, self.traces_sampler_arg)
