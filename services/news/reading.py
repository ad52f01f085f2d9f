"""One attempt at one feed: ask, check, parse, adapt. From a server or from a recorded file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.news import metrics
from services.news.adapters.recorded import played
from services.news.adapters.registry import ADAPTERS
from services.news.domain import FeedState
from services.news.errors import FeedRefused
from services.news.feeds.feed import Feed
from services.news.fetch.fetcher import Answer, Unchanged
from services.news.parsing import FeedItem, ParsedFeed, parse_feed


class FeedSource(Protocol):
    """Where answers come from; services.news.fetch.fetcher.Fetcher is one."""

    async def fetch(self, url: str, etag: str = "", last_modified: str = "") -> Answer | Unchanged:
        """As Fetcher.fetch."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What an attempt gave."""

    items: tuple[FeedItem, ...]
    """All items, adapted, in the feed's order."""
    count: int
    """For the feed's state: items in the answer, or items played so far."""
    etag: str = ""
    last_modified: str = ""
    refused: Mapping[str, int] | None = None


async def read_feed(feed: Feed, state: FeedState, source: FeedSource) -> Reading | None:
    """Reads a feed; None when nothing is new. Raises FeedProblem."""
    if feed.file is not None:
        return await asyncio.to_thread(_play, feed, state)
    answer = await source.fetch(feed.url, state.etag, state.last_modified)
    if isinstance(answer, Unchanged):
        return None
    # Parsing and cleaning take milliseconds for each hundred items: not on the loop.
    parsed = await asyncio.to_thread(_parse, answer, feed)
    is_whole = not (answer.is_cut or parsed.is_truncated)
    refused = dict(parsed.refused) | ({"truncated": 1} if not is_whole else {})
    # What is missing of a cut answer comes next time only if the whole of it is asked for.
    return Reading(_adapted(parsed, feed), len(parsed.items), answer.etag if is_whole else "", answer.last_modified if is_whole else "", refused)


def _parse(answer: Answer, feed: Feed) -> ParsedFeed:
    try:
        parsed = parse_feed(answer.body, url=answer.url, charset=answer.charset, assumed=feed.assumed_zone)
    except FeedRefused as problem:
        if problem.reason in ("html", "not-a-feed") and not _may_be_feed(answer.media_type):
            raise FeedRefused("content-type", f"expected a feed, was {answer.media_type}: {problem.detail}") from problem
        if answer.is_cut:
            raise FeedRefused("truncated", f"ended within its first {len(answer.body)} bytes") from problem
        raise
    if answer.is_cut and not parsed.items:
        raise FeedRefused("truncated", "ended before its first item was whole")
    _count(parsed)
    return parsed


def _may_be_feed(media_type: str) -> bool:
    return not media_type or any(word in media_type for word in ("xml", "rss", "atom"))


def _count(parsed: ParsedFeed) -> None:
    metrics.ITEMS.inc(len(parsed.items))
    metrics.REENCODED.inc(parsed.is_reencoded)
    for mark, count in parsed.marked.items():
        metrics.MARKED.labels(mark).inc(count)


def _adapted(parsed: ParsedFeed, feed: Feed) -> tuple[FeedItem, ...]:
    adapter = ADAPTERS[feed.adapter]
    return tuple(adapter.adapt(item, feed) for item in parsed.items)


def _play(feed: Feed, state: FeedState) -> Reading | None:
    assert feed.file is not None
    parsed = parse_feed(feed.file.read_bytes(), assumed=feed.assumed_zone)
    items = played(_adapted(parsed, feed), state.items, feed.items_each)
    return None if len(items) == min(state.items, len(parsed.items)) else Reading(tuple(items), len(items), refused=parsed.refused)
