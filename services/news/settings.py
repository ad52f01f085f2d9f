"""Settings of the news gRPC service."""

from pydantic import Field

from services.news.feeds.feed import DEFAULT_FEEDS_FILE
from services.news.named_files import FeedsFile
from services.runtime.settings import RuntimeSettings


class NewsSettings(RuntimeSettings):
    """What `python -m services.news` reads from the environment."""

    port: int = Field(default=50053, validation_alias="SIGNALBOX_NEWS_PORT", ge=0, le=65535)
    """Port of the gRPC service; 0 takes any free one."""
    metrics_port: int = Field(default=9473, validation_alias="SIGNALBOX_NEWS_METRICS_PORT", ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz."""
    feeds_file: FeedsFile = Field(default=DEFAULT_FEEDS_FILE, validation_alias="SIGNALBOX_NEWS_FEEDS")
    """The file of feeds, for ListFeeds."""
    articles_kept: int = Field(default=200_000, validation_alias="SIGNALBOX_NEWS_ARTICLES", ge=100, le=10_000_000)
    """Revisions of articles kept in memory, about 2.5 KB each with their part of the index; those received first go first."""
