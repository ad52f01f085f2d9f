"""Values of the news service: an article as it is known, its links, how it sounds. Mirrors signalbox.events.v1.Article."""

from __future__ import annotations

from dataclasses import dataclass

#: Longest summary that is kept, characters.
MAX_SUMMARY_CHARS = 2_000
#: Longest title that is kept, characters.
MAX_TITLE_CHARS = 500
#: Most of a feed's item that is kept as it was, bytes.
MAX_RAW_BYTES = 64 << 10

#: The rule of links that the feed itself states: it is a feed of one symbol.
RULE_FEED = "feed"


@dataclass(frozen=True, slots=True)
class SymbolLink:
    """A symbol that an article is about."""

    symbol: str
    """Ticker dot MIC."""
    mention: str
    """The words it was recognised by; the symbol as the feed writes it for the rule `feed`."""
    rule: str
    """The published rule that recognised it: `feed`, `cashtag`, `ticker`, `name`."""


@dataclass(frozen=True, slots=True)
class Article:
    """One revision of an article. The fields from `story_id` to `scorer` are added by `services.news.enrichment`."""

    id: str
    """From the canonical URL, or from feed and content where there is none."""
    revision: int
    """0 for the first version."""
    feed: str
    """The feed it came from first, by name."""
    publisher: str
    """As the feed tells it; may be empty."""
    url: str
    """Canonical; empty when the item had no link."""
    title: str
    """Clean text, one line, at most MAX_TITLE_CHARS."""
    summary: str
    """Clean text, one line, at most MAX_SUMMARY_CHARS; may be empty."""
    received_ns: int
    """UTC nanoseconds, when this revision reached us."""
    published_ns: int = 0
    """UTC nanoseconds by the publisher; 0: no date that can be read."""
    published_utc_offset_minutes: int | None = None
    """As the publisher wrote it; None when the date had no zone (and none is configured for the feed)."""
    story_id: str = ""
    """The story it belongs to."""
    links: tuple[SymbolLink, ...] = ()
    """Symbols it is about; those of the rule `feed` are there before enrichment."""
    sentiment: float = 0.0
    """-1 to 1."""
    sentiment_label: str = ""
    """`negative`, `neutral`, `positive`; empty before it is scored."""
    scorer: str = ""
    """Name and version of the scorer."""
    language: str = ""
    """ISO 639-1 as the feed tells it; may be empty."""
    is_recorded: bool = False
    """Whether it was recorded earlier and is shown as a demonstration."""
    raw: bytes = b""
    """The item as the feed held it, at most MAX_RAW_BYTES."""
    raw_type: str = ""
    """Media type of `raw`: `application/rss+xml` or `application/atom+xml`."""

    @property
    def key(self) -> str:
        """Key of its record on news.articles.v1."""
        return f"{self.id}@{self.revision}"


@dataclass(frozen=True, slots=True)
class FeedState:
    """How a feed is after an attempt. Times are UTC nanoseconds, 0 where there is none."""

    name: str
    attempt_ns: int = 0
    """Last attempt."""
    success_ns: int = 0
    """Last good answer; `nothing new` counts."""
    error: str = ""
    """Why the last attempt failed; empty when it did not."""
    failing_since_ns: int = 0
    """Since when it fails without a success in between."""
    items: int = 0
    """Items in its last answer; items played so far of a recorded feed."""
    next_ns: int = 0
    """Not tried before this time."""
    failures: int = 0
    """In a row."""
    etag: str = ""
    last_modified: str = ""
    refused: tuple[tuple[str, int], ...] = ()
    """How often something was refused so far, by reason; in order of the reasons."""
    hold_ns: int = 0
    """Not tried before this time even when forced: the server asked for it."""
