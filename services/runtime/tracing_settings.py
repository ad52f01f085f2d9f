"""Where traces go and how many are recorded: the standard's variables, the same for our processes and for Envoy."""

from typing import Literal

from pydantic import Field

from services.runtime.environment import EnvironmentSettings

_ALWAYS = {"always_on": 1.0, "parentbased_always_on": 1.0, "always_off": 0.0, "parentbased_always_off": 0.0}


class TracingSettings(EnvironmentSettings):
    """What both kinds of settings have. The exporter itself reads more of the standard's variables (headers, certificates, batch sizes)."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/\s]+/?$", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
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

    @property
    def sampling_ratio(self) -> float:
        """The part of new traces that is recorded, 0 to 1."""
        return _ALWAYS.get(self.traces_sampler, self.traces_sampler_arg)
