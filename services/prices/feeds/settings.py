"""Settings of the feeds process."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from services.prices.instrument_settings import InstrumentSettings
from services.runtime.settings import RuntimeSettings

#: Feeds that exist, in the order they are started.
KNOWN_FEEDS = ("replay-es", "replay-stocks", "synthetic")


class FeedsSettings(InstrumentSettings, RuntimeSettings):
    """Settings of `python -m services.prices.feeds`."""

    metrics_port: int = Field(9469, validation_alias="SIGNALBOX_FEEDS_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz; 0 takes any free port."""
    feeds: Annotated[tuple[str, ...], NoDecode] = Field(KNOWN_FEEDS, validation_alias="SIGNALBOX_FEEDS")
    """Names of the feeds to run, separated by commas."""
    replay_speed: float = Field(60.0, validation_alias="SIGNALBOX_REPLAY_SPEED", gt=0, le=100_000)
    """Event seconds of the ES replay for each second of wall time."""
    session_interval_s: float = Field(1.0, validation_alias="SIGNALBOX_SESSION_INTERVAL", gt=0, le=3600)
    """Seconds of wall time for each session of the daily replay."""

    @field_validator("feeds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("feeds")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value) or not set(value) <= set(KNOWN_FEEDS):
            raise ValueError(f"names out of {', '.join(KNOWN_FEEDS)}, separated by commas, each once")
        return value

    @property
    def sessions_path(self) -> Path:
        """The table of sessions that set-up has built."""
        return self.home / "tables" / "sessions.npz"
