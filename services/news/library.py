"""The views in use and the reader that fills them; both can be made anew from the topics while the old ones go on answering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.news.views import NewsViews
from services.runtime.clock import Clock
from services.runtime.errors import ResourceExhausted
from services.runtime.kafka import TopicReader
from services.runtime.logging import get_logger
from services.runtime.topics import ARTICLES, NEWS_FEEDS

_log = get_logger("news")
#: A rebuild of the most articles that are kept takes less.
_RETRY_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild made."""

    articles: int
    indexed: int
    feeds: int
    seconds: float


class Library:
    """Used from one event loop; the checks from any thread.

    limit: revisions of articles kept. on_failure: told when the reader in use ends by an error.
    """

    def __init__(self, bootstrap: str, limit: int, clock: Clock, on_failure: Callable[[BaseException], None]) -> None:
        self._bootstrap, self._limit, self._clock, self._on_failure = bootstrap, limit, clock, on_failure
        self._rebuilding = False
        self.views, self._reader = self._make(on_failure)

    def start(self) -> None:
        """Begins to read."""
        self._reader.start()

    async def stop(self) -> None:
        """Ends reading."""
        await asyncio.to_thread(self._reader.stop)

    def check_ready(self) -> str | None:
        """For OpsServer."""
        return self._reader.check_ready()

    def check_alive(self) -> str | None:
        """For OpsServer."""
        return self._reader.check_alive()

    async def rebuild(self) -> Rebuilt:
        """Reads the topics from their first record into new views and takes those into use. Meanwhile both are in memory.

        Raises ResourceExhausted while another is under way, ReaderFailed when the topics cannot be read; then nothing changes.
        """
        if self._rebuilding:
            raise ResourceExhausted("rebuild", "one is under way", _RETRY_AFTER_S)
        self._rebuilding = True
        try:
            return await self._rebuild()
        finally:
            self._rebuilding = False

    async def _rebuild(self) -> Rebuilt:
        began = self._clock.monotonic_ns()
        views, reader = self._make(self._failed_if_in_use)
        reader.start()
        try:
            await reader.wait_caught_up()
        except BaseException:
            await asyncio.to_thread(reader.stop)
            raise
        old, self.views, self._reader = self._reader, views, reader
        await asyncio.to_thread(old.stop)
        indexed = await asyncio.to_thread(views.index.documents)
        rebuilt = Rebuilt(len(views.book), indexed, len(views.feed_states()), (self._clock.monotonic_ns() - began) / 1e9)
        _log.info("views rebuilt", articles=rebuilt.articles, indexed=rebuilt.indexed, feeds=rebuilt.feeds, seconds=round(rebuilt.seconds, 3))
        return rebuilt

    def _make(self, on_failure: Callable[[BaseException], None]) -> tuple[NewsViews, TopicReader]:
        views = NewsViews(self._limit)
        return views, TopicReader(self._bootstrap, [ARTICLES.name, NEWS_FEEDS.name], views, on_failure=on_failure)

    def _failed_if_in_use(self, error: BaseException) -> None:
        """A reader that fails before its views are in use fails its rebuild only."""
        if self._reader.failure is error:
            self._on_failure(error)
