"""Settings of the worker that crawls."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.news.feeds.feed import DEFAULT_FEEDS_FILE
from services.news.fetch.limits import FetchLimits
from services.news.links import ALIASES
from services.runtime.job_queue.settings import JobWorkerSettings


class NewsWorkerSettings(JobWorkerSettings):
    """What `python -m services.news.worker` reads from the environment."""

    metrics_port: int = Field(9474, validation_alias="SIGNALBOX_NEWS_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    feeds_file: Path = Field(DEFAULT_FEEDS_FILE, validation_alias="SIGNALBOX_NEWS_FEEDS")
    """The file of feeds."""
    aliases_file: Path = Field(ALIASES, validation_alias="SIGNALBOX_NEWS_ALIASES")
    """The table of what companies are called, by which articles are linked to symbols."""
    contact: str = Field("", validation_alias="SIGNALBOX_NEWS_CONTACT", max_length=200, pattern=r"^[\x20-\x7e]*$")
    """Address in the User-Agent, for those whose servers are asked: `ops@example.com`. The SEC refuses who names none."""
    connect_timeout_s: float = Field(10.0, validation_alias="SIGNALBOX_NEWS_CONNECT_TIMEOUT_S", gt=0, le=60)
    """Seconds to connect to a feed's server."""
    read_timeout_s: float = Field(15.0, validation_alias="SIGNALBOX_NEWS_READ_TIMEOUT_S", gt=0, le=120)
    """Seconds that a feed's server may send nothing."""
    feed_timeout_s: float = Field(45.0, validation_alias="SIGNALBOX_NEWS_FEED_TIMEOUT_S", gt=0, le=90)
    """Seconds for everything about one feed."""
    max_body_bytes: int = Field(5 << 20, validation_alias="SIGNALBOX_NEWS_MAX_BODY_BYTES", ge=1 << 10, le=64 << 20)
    """Bytes of a feed's answer, unpacked; a larger one is refused."""
    host_pause_s: float = Field(1.0, validation_alias="SIGNALBOX_NEWS_HOST_PAUSE_S", ge=0, le=60)
    """Seconds between two requests to one host; robots.txt may ask for more."""

    @field_validator("feeds_file")
    @classmethod
    def _there(cls, value: Path) -> Path:
        # What is in it is told by the worker: reading it takes the adapters, which those who only check settings do not load.
        if not value.is_file():
            raise ValueError("a file that exists")
        return value

    @property
    def limits(self) -> FetchLimits:
        """Bounds of one feed's answer."""
        return FetchLimits(self.connect_timeout_s, self.read_timeout_s, self.feed_timeout_s, self.max_body_bytes, self.host_pause_s)
