"""A crawl without servers and broker: what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.news.article_wire import decode_article, decode_feed_state
from services.news.crawl import Crawl
from services.news.domain import Article, FeedState
from services.news.errors import FeedProblem
from services.news.feeds.feed import Feed
from services.news.fetch.fetcher import Answer, Unchanged
from services.news.newsroom import Newsroom
from services.runtime.jobs import Job, JobState, Priority
from services.runtime.kafka import Record
from services.runtime.testing.clock import ManualClock
from services.runtime.testing.kafka import MemoryPublisher
from services.runtime.topics import ARTICLES, NEWS_FEEDS


def make_feed(name: str = "test", **changes: object) -> Feed:
    """A feed of a server of its own."""
    base = Feed(name=name, adapter="rss", url=f"https://{name.replace('/', '.').lower()}.example/rss", interval_s=900.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def answer(body: bytes, **changes: object) -> Answer:
    """A good answer with this body."""
    return replace(Answer(body, "https://test.example/rss", "application/rss+xml", "", '"tag"', "", False), **changes)  # type: ignore[arg-type]


class PlainEnricher:
    """Adds a story of its own to each article; keeps what it was told to remember."""

    def __init__(self) -> None:
        self.remembered: list[Article] = []

    def remember(self, article: Article) -> None:
        """As Enricher."""
        self.remembered.append(article)

    def enrich(self, articles: Sequence[Article]) -> list[Article]:
        """As Enricher."""
        return [replace(article, story_id=article.id) for article in articles]


@dataclass
class ScriptedSource:
    """FeedSource that gives the answers of a script by URL; the last one again and again."""

    script: dict[str, list[Answer | Unchanged | Exception]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    async def fetch(self, url: str, etag: str = "", last_modified: str = "") -> Answer | Unchanged:
        """As FeedSource."""
        self.asked.append((url, etag, last_modified))
        answers = self.script.get(url) or [FeedProblem("unreachable", "nobody there")]
        step = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(step, Exception):
            raise step
        return step


@dataclass
class NoJob:
    """JobContext that keeps what progress was told."""

    told: list[tuple[float, float]] = field(default_factory=list)
    cancelled: bool = False

    @property
    def job(self) -> Job:
        """Some job."""
        return Job("1", "news.crawl", JobState.RUNNING, Priority.NORMAL, b"", 0)

    def progress(self, done: float, total: float = 0.0, unit: str = "", message: str = "") -> None:
        """As JobContext."""
        self.told.append((done, total))


class Desk:
    """A crawl over feeds, with a broker in memory."""

    def __init__(self, *feeds: Feed, broker: MemoryPublisher | None = None, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.broker = broker or MemoryPublisher()
        self.enricher = PlainEnricher()
        self.room = Newsroom(self.enricher, {feed.name for feed in feeds})
        self.source = ScriptedSource()
        self.room.take([Record(each.topic, 0, each.offset, each.key, each.value, [], 0) for each in self.broker.records])
        self.crawl = Crawl(feeds, self.room, source=self.source, publisher=self.broker, clock=self.clock, uniform=lambda low, high: high)

    def plays(self, feed: Feed, *answers: Answer | Unchanged | Exception) -> None:
        """What a feed answers from now on."""
        self.source.script[feed.url] = list(answers)

    @property
    def articles(self) -> list[Article]:
        """What was published, in order."""
        return [decode_article(record.value) for record in self.broker.of(ARTICLES.name)]

    def state(self, feed: Feed) -> FeedState:
        """The last published state of a feed."""
        states = [decode_feed_state(record.value) for record in self.broker.of(NEWS_FEEDS.name) if record.key == feed.name.encode()]
        return states[-1]
