"""The crawl: reads the feeds that are due, publishes what is new in them, and says how each feed is."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from signalbox.news.v1 import news_service_pb2 as pb

from services.news import metrics
from services.news.article_wire import encode_article, encode_feed_state
from services.news.domain import Article, FeedState
from services.news.errors import FeedProblem
from services.news.feeds.feed import Feed
from services.news.feeds.state import Uniform, after_answer, after_failure, is_due
from services.news.newsroom import Newsroom
from services.news.reading import FeedSource, Reading, read_feed
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument
from services.runtime.headers import record_headers
from services.runtime.jobs import JobContext
from services.runtime.kafka import Publisher
from services.runtime.logging import get_logger
from services.runtime.metrics import UNEXPECTED_ERRORS
from services.runtime.telemetry import current_traceparent
from services.runtime.topics import ARTICLES, NEWS_FEEDS

_log = get_logger("news")

#: Hosts that are asked at the same time.
_HOSTS_AT_ONCE = 8
#: After this many seconds no further feed is begun: what is left is due at the next crawl, and the job ends in its time.
_BEGIN_WITHIN_S = 200.0
_NS = 10**9


@dataclass(slots=True)
class _Sums:
    read: int = 0
    failed: int = 0
    unchanged: int = 0
    left: int = 0
    items: int = 0
    articles: int = 0

    @property
    def done(self) -> int:
        return self.read + self.failed + self.unchanged + self.left


async def _nothing_to_wait_for() -> None:
    """For a room that is alone."""


class Crawl:
    """Reads feeds into the topics. One crawl runs at a time; the next one waits."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        room: Newsroom,
        *,
        source: FeedSource,
        publisher: Publisher,
        clock: Clock,
        catch_up: Callable[[], Awaitable[None]] = _nothing_to_wait_for,
        uniform: Uniform = random.uniform,
    ) -> None:
        """feeds: those of the file. room: what is known. catch_up: returns when the room knows all that other workers have published."""
        self._feeds, self._room, self._source, self._publisher = feeds, room, source, publisher
        self._clock, self._catch_up, self._uniform = clock, catch_up, uniform
        self._crawling, self._publishing = asyncio.Lock(), asyncio.Lock()
        self._hosts = asyncio.Semaphore(_HOSTS_AT_ONCE)

    async def run(self, request: pb.CrawlRequest, context: JobContext) -> pb.CrawlResult:
        """The function of news.crawl. Raises InvalidArgument (no such feed), Unavailable (Kafka)."""
        async with self._crawling:
            await self._catch_up()
            due = self._due(request)
            context.progress(0, len(due), "feeds")
            sums = await self._read_all(due, context)
        _log.info("crawled", feeds=len(due), read=sums.read, unchanged=sums.unchanged, failed=sums.failed, left=sums.left, articles=sums.articles)
        return pb.CrawlResult(feeds_read=sums.read, feeds_failed=sums.failed, feeds_unchanged=sums.unchanged, items=sums.items, articles=sums.articles)

    async def _read_all(self, due: Sequence[Feed], context: JobContext) -> _Sums:
        sums, by_host = _Sums(), defaultdict[str, list[Feed]](list)
        for feed in due:
            by_host[urlsplit(feed.url).netloc.lower() or feed.name].append(feed)
        end_ns = self._clock.monotonic_ns() + int(_BEGIN_WITHIN_S * _NS)
        try:
            async with asyncio.TaskGroup() as tasks:
                for feeds in by_host.values():
                    tasks.create_task(self._read_host(feeds, sums, len(due), end_ns, context))
        except ExceptionGroup as group:
            # The job is tried again for the error itself, not for a group of it.
            raise group.exceptions[0] from group
        return sums

    def _due(self, request: pb.CrawlRequest) -> list[Feed]:
        now_ns = self._clock.now_ns()
        return [feed for feed in self._asked_for(request.feeds) if is_due(self._room.state(feed.name), now_ns, force=request.force)]

    def _asked_for(self, names: Sequence[str]) -> Sequence[Feed]:
        """Feeds by name; a feed by symbol also by the name it has in the file, which means all its symbols."""
        if not names:
            return self._feeds
        known = {name for feed in self._feeds for name in (feed.name, feed.name.partition("/")[0])}
        if unknown := sorted(set(names) - known):
            raise InvalidArgument("feeds", unknown[0], f"names of feeds out of {', '.join(sorted(known))}")
        return [feed for feed in self._feeds if feed.name in names or feed.name.partition("/")[0] in names]

    async def _read_host(self, feeds: Sequence[Feed], sums: _Sums, total: int, end_ns: int, context: JobContext) -> None:
        """The feeds of one host, one after the other: a slow one delays nobody else's."""
        async with self._hosts:
            for feed in feeds:
                if self._clock.monotonic_ns() >= end_ns:
                    sums.left += 1
                else:
                    await self._read(feed, sums)
                context.progress(sums.done, total, "feeds", feed.name)

    async def _read(self, feed: Feed, sums: _Sums) -> None:
        state = self._room.state(feed.name)
        try:
            with metrics.FETCH_SECONDS.time():
                reading = await read_feed(feed, state, self._source)
        except FeedProblem as problem:
            await self._failed(feed, state, problem, sums)
        except Exception as error:  # noqa: BLE001 - the edge of a feed: counted, logged, shown in its state; the others go on
            UNEXPECTED_ERRORS.labels("news-feed").inc()
            _log.error("feed failed unexpectedly", feed=feed.name, error=str(error), exc_info=error)
            await self._failed(feed, state, FeedProblem("unexpected", f"{type(error).__name__}: {error}"), sums)
        else:
            await self._take(feed, state, reading, sums)

    async def _take(self, feed: Feed, state: FeedState, reading: Reading | None, sums: _Sums) -> None:
        now_ns = self._clock.now_ns()
        if reading is None:
            sums.unchanged += 1
            metrics.ATTEMPTS.labels(feed.name, "unchanged").inc()
            await self._publish_state(after_answer(state, feed, now_ns, items=None))
            return
        # In this order: after a crash in between the same items come again, with the same identities, and are known.
        published = await self._publish_news(feed, reading, now_ns)
        sums.articles += published
        sums.items += len(reading.items)
        sums.read += 1
        metrics.ATTEMPTS.labels(feed.name, "read").inc()
        for reason, count in (reading.refused or {}).items():
            metrics.REFUSED.labels(reason).inc(count)
        await self._publish_state(
            after_answer(state, feed, now_ns, items=reading.count, etag=reading.etag, last_modified=reading.last_modified, refused=reading.refused)
        )

    async def _failed(self, feed: Feed, state: FeedState, problem: FeedProblem, sums: _Sums) -> None:
        sums.failed += 1
        metrics.ATTEMPTS.labels(feed.name, "failed").inc()
        metrics.REFUSED.labels(problem.reason).inc()
        _log.warning("feed not read", feed=feed.name, reason=problem.reason, detail=problem.detail, failures=state.failures + 1)
        await self._publish_state(after_failure(state, self._clock.now_ns(), problem, self._uniform))

    async def _publish_news(self, feed: Feed, reading: Reading, now_ns: int) -> int:
        """Publishes what is new; returns how much. One feed at a time, so that each knows what the others brought."""
        async with self._publishing:
            articles = await asyncio.to_thread(self._room.news_of, feed, reading.items, now_ns)
            taken = [await self._publish(article) for article in articles]
            await asyncio.gather(*taken)
            for article in articles:
                self._room.remember(article)
                metrics.ARTICLES.labels("revised" if article.revision else "new").inc()
            return len(articles)

    async def _publish(self, article: Article) -> asyncio.Future[int]:
        headers = record_headers("Article", article.key, current_traceparent(), feed=article.feed)
        return await self._publisher.publish(ARTICLES.name, 0, encode_article(article), headers, article.key.encode())

    async def _publish_state(self, state: FeedState) -> None:
        headers = record_headers("FeedState", f"{state.name}@{state.attempt_ns}", current_traceparent(), feed=state.name)
        await (await self._publisher.publish(NEWS_FEEDS.name, 0, encode_feed_state(state), headers, state.name.encode()))
        self._room.set_state(state)
