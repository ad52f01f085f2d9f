"""Settings of the worker that crawls."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.news.feeds.feed import DEFAULT_FEEDS_FILE
from services.news.fetch.limits import FetchLimits
from services.news.links import ALIASES
from services.news.named_files import AliasesFile, FeedsFile
from services.runtime.job_queue.settings import JobWorkerSettings
from services.runtime.setting_types import matching


class NewsWorkerSettings(JobWorkerSettings):
    """What `python -m services.news.worker` reads from the environment."""

    metrics_port: int = Field(9474, validation_alias="SIGNALBOX_NEWS_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    feeds_file: FeedsFile = Field(DEFAULT_FEEDS_FILE, validation_alias="SIGNALBOX_NEWS_FEEDS")
    """The file of feeds."""
    aliases_file: AliasesFile = Field(ALIASES, validation_alias="SIGNALBOX_NEWS_ALIASES")
    """The table of what companies are called, by which articles are linked to symbols."""
    contact: Annotated[str, matching(r"[\x20-\x7e]{0,200}", "at most 200 characters of ASCII")] = Field("", validation_alias="SIGNALBOX_NEWS_CONTACT")
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

    @property
    def limits(self) -> FetchLimits:
        """Bounds of one feed's answer."""
        return FetchLimits(self.connect_timeout_s, self.read_timeout_s, self.feed_timeout_s, self.max_body_bytes, self.host_pause_s)
