"""The one registry of Kafka topics.

Topic creation, `docs/topics.md` and `docs/asyncapi.yaml` are made from it.
"""

from dataclasses import dataclass
from enum import StrEnum

#: Partitions of the market topics unless SIGNALBOX_PARTITIONS says otherwise. On one machine one worker has them all, and each costs records, requests
#: and fetches of its own: with four, a tick at 100,000 a second took half as long again to a client (docs/performance/latency.md).
DEFAULT_PARTITIONS = 2

_MIB = 1 << 20
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class Layout(StrEnum):
    """How rows lie in a topic's records."""

    #: Columns of many rows, no key, partition chosen by `partition_of(symbol)`.
    BATCH = "batch"
    #: One row a record under its key, compacted.
    KEYED = "keyed"
    #: One event a record under its key, kept for a time.
    EVENT = "event"
    #: The record that could not be read, unchanged unless it is too long, with the reason in headers.
    DEAD_LETTER = "dead-letter"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: what is in it, how it is kept, and who writes it."""

    name: str
    """Dotted, with the version of its contract at the end."""
    message: str
    """Full name of the protobuf message in each record's value."""
    owner: str
    """The process that writes it."""
    description: str
    """What a consumer finds in it, in one or two sentences."""
    layout: Layout
    """How rows lie in records."""
    key: str = ""
    """What the key is; empty for none."""
    partitions: int | None = None
    """Fixed number of partitions; None means the installation's SIGNALBOX_PARTITIONS."""
    retention_bytes: int = 256 * _MIB
    """Bytes kept in each partition before the oldest segment goes; -1 for no bound. Not used by compacted topics."""
    retention_ms: int = 7 * _DAY_MS
    """Milliseconds a record is kept; -1 for ever."""

    @property
    def compacted(self) -> bool:
        """Whether only the last record of each key is kept."""
        return self.layout is Layout.KEYED

    def config(self) -> dict[str, str]:
        """The topic's configuration as Kafka's admin API takes it."""
        common = {"max.message.bytes": str(8 * _MIB), "compression.type": "producer", "message.timestamp.type": "CreateTime"}
        if self.compacted:
            return common | {
                "cleanup.policy": "compact",
                "segment.bytes": str(16 * _MIB),
                "min.cleanable.dirty.ratio": "0.2",
                "max.compaction.lag.ms": str(10 * 60_000),
                "delete.retention.ms": str(10 * 60_000),
            }
        return common | {
            "cleanup.policy": "delete",
            "retention.bytes": str(self.retention_bytes),
            "retention.ms": str(self.retention_ms),
            # A topic is cut by whole segments, so a segment must be small beside the bytes kept.
            "segment.bytes": str(max(_MIB, min(64 * _MIB, self.retention_bytes // 4)) if self.retention_bytes > 0 else 64 * _MIB),
        }

    def dead_letters(self) -> "Topic":
        """The topic for records of this one that cannot be read."""
        return Topic(
            name=f"{self.name}.dlq",
            message=self.message,
            owner="whoever could not read it",
            description=f"What was meant for {self.name} and could not be used, with the reason and the position in headers `dlq_*`: records, their bytes "
            "unchanged, of a value that does not fit the first MiB with its length in `dlq_original_bytes`; and rows of a file, or of a client's stream, "
            "that were not taken.",
            layout=Layout.DEAD_LETTER,
            partitions=1,
            retention_bytes=32 * _MIB,
            retention_ms=14 * _DAY_MS,
        )


TICKS = Topic(
    name="market.ticks.v1",
    message="signalbox.events.v1.TickBatch",
    owner="feeds, prices",
    description="Normalised trades. Each record holds rows of one partition and one source; a record without rows carries a watermark.",
    layout=Layout.BATCH,
)
BARS = Topic(
    name="market.bars.v1",
    message="signalbox.events.v1.BarBatch",
    owner="prices-worker, feeds (daily bars from files)",
    description="Final bars of 1s, 1m, 5m, 15m, 1h and 1d. A row is published once and never changes; consumers drop identities they have seen.",
    layout=Layout.BATCH,
    retention_ms=-1,
    retention_bytes=1024 * _MIB,
)
LIVE_BARS = Topic(
    name="market.bars.live.v1",
    message="signalbox.events.v1.BarBatch",
    owner="prices-worker",
    description="Forming bars as they change. A later row of the same identity replaces the one before; the final bar comes on market.bars.v1 only.",
    layout=Layout.BATCH,
    retention_bytes=64 * _MIB,
    retention_ms=_HOUR_MS,
)
SNAPSHOTS = Topic(
    name="market.snapshots.v1",
    message="signalbox.events.v1.Snapshot",
    owner="prices-worker",
    description="The last trade and the watermark of each symbol.",
    layout=Layout.KEYED,
    key="symbol",
)
LATE = Topic(
    name="market.late.v1",
    message="signalbox.events.v1.LateTicks",
    owner="prices-worker",
    description="Ticks that changed no bar, each with its reason: their bar was final, or they cannot be computed with.",
    layout=Layout.BATCH,
    retention_bytes=32 * _MIB,
)
INDICATORS = Topic(
    name="analysis.indicators.v1",
    message="signalbox.events.v1.IndicatorBatch",
    owner="analysis-worker",
    description="Indicator values at each final bar of 1s, 1m and 1d.",
    layout=Layout.BATCH,
)
SIGNALS = Topic(
    name="analysis.signals.v1",
    message="signalbox.events.v1.SignalBatch",
    owner="analysis-worker",
    description="Signals, each known at the close of a final bar.",
    layout=Layout.BATCH,
    retention_ms=-1,
)
OPEN_SOURCES = Topic(
    name="prices.sources.v1",
    message="signalbox.events.v1.TickBatch",
    owner="prices",
    description="Sources that have a stream of ticks open, each with the record that ends it, for the next start after a kill. Internal.",
    layout=Layout.KEYED,
    key="<replica>/<source>/<partition of market.ticks.v1>",
    partitions=1,
)
PRICES_CHECKPOINTS = Topic(
    name="prices.checkpoints.v1",
    message="signalbox.events.v1.CheckpointManifest",
    owner="prices-worker",
    description="State of the bar engine by partition: chunks under `chunk/...`, manifests under `manifest/...`. Internal.",
    layout=Layout.KEYED,
    key="manifest/<partition>/<slot> or chunk/<partition>/<slot>/<index>",
)
ANALYSIS_CHECKPOINTS = Topic(
    name="analysis.checkpoints.v1",
    message="signalbox.events.v1.CheckpointManifest",
    owner="analysis-worker",
    description="State of the analysis engine by partition: chunks under `chunk/...`, manifests under `manifest/...`. Internal.",
    layout=Layout.KEYED,
    key="manifest/<partition>/<slot> or chunk/<partition>/<slot>/<index>",
)
ARTICLES = Topic(
    name="news.articles.v1",
    message="signalbox.events.v1.Article",
    owner="news-worker",
    description="Articles of the news feeds, every revision of each. What was known at a time follows from ts_recv.",
    layout=Layout.KEYED,
    key="<article id>@<revision>",
    partitions=1,
)
NEWS_FEEDS = Topic(
    name="news.feeds.v1",
    message="signalbox.events.v1.FeedState",
    owner="news-worker",
    description="The state of each news feed after its last attempt.",
    layout=Layout.KEYED,
    key="feed",
    partitions=1,
)
JOBS = Topic(
    name="reports.jobs.v1",
    message="signalbox.events.v1.JobEvent",
    owner="reports and every worker of jobs",
    description="Jobs as they change: accepted, begun, progress (at most a few a second for each job), ended.",
    layout=Layout.EVENT,
    key="job id",
    partitions=1,
    retention_bytes=64 * _MIB,
    retention_ms=_DAY_MS,
)
RESULTS = Topic(
    name="reports.results.v1",
    message="signalbox.events.v1.JobResult",
    owner="every worker of jobs",
    description="Finished jobs with request and result, for good. The same job may come twice after a crash: the key tells.",
    layout=Layout.EVENT,
    key="job id",
    partitions=1,
    retention_bytes=-1,
    retention_ms=-1,
)
SCHEDULE = Topic(
    name="ops.schedule.v1",
    message="signalbox.events.v1.ScheduleRun",
    owner="the active scheduler",
    description="Runs of the recurring jobs. Whoever owns its one partition in the group signalbox-scheduler is the active scheduler.",
    layout=Layout.KEYED,
    key="<schedule>@<planned, UTC seconds>",
    partitions=1,
)
ALERTS = Topic(
    name="ops.alerts.v1",
    message="signalbox.events.v1.Alert",
    owner="whoever notices",
    description="What a person should know. A later record of a key replaces the one before; `is_resolved` ends it.",
    layout=Layout.EVENT,
    key="what it is about",
    partitions=1,
    retention_ms=30 * _DAY_MS,
)

#: Every topic that is not a dead-letter topic, in the order of the way of a tick.
TOPICS: tuple[Topic, ...] = (
    TICKS,
    BARS,
    LIVE_BARS,
    SNAPSHOTS,
    LATE,
    INDICATORS,
    SIGNALS,
    OPEN_SOURCES,
    PRICES_CHECKPOINTS,
    ANALYSIS_CHECKPOINTS,
    ARTICLES,
    NEWS_FEEDS,
    JOBS,
    RESULTS,
    SCHEDULE,
    ALERTS,
)

#: Topics whose records come from outside or cross a service boundary, and so may be unreadable.
WITH_DEAD_LETTERS: tuple[Topic, ...] = (TICKS, BARS)

ALL_TOPICS: tuple[Topic, ...] = TOPICS + tuple(topic.dead_letters() for topic in WITH_DEAD_LETTERS)
