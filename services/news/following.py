"""Keeps the newsroom as the topics are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.news.newsroom import Newsroom
from services.runtime.clock import Clock
from services.runtime.errors import Unavailable
from services.runtime.kafka import Place, TopicReader, tail_start
from services.runtime.topics import ARTICLES, NEWS_FEEDS

_TOPICS = (ARTICLES.name, NEWS_FEEDS.name)
_CATCH_UP_S = 30.0
_LOOK_S = 0.02


class TopicFollower:
    """Reads news.articles.v1 and news.feeds.v1 from their beginning and goes on. on_failure: as TopicReader's."""

    def __init__(self, bootstrap: str, room: Newsroom, clock: Clock, on_failure: Callable[[BaseException], None]) -> None:
        self._bootstrap, self._clock = bootstrap, clock
        self.reader = TopicReader(bootstrap, _TOPICS, room.take, on_failure=on_failure, clock=clock)

    async def start(self) -> None:
        """Returns when everything that was there is taken. Raises ReaderFailed."""
        self.reader.start()
        await self.reader.wait_caught_up()

    async def stop(self) -> None:
        """Ends the reading."""
        await asyncio.to_thread(self.reader.stop)

    async def catch_up(self) -> None:
        """Returns when everything is taken that is in the topics now: another worker may have published it. Raises Unavailable."""
        ends = await asyncio.to_thread(self._ends)
        until_ns = self._clock.monotonic_ns() + int(_CATCH_UP_S * 1e9)
        while any(self.reader.positions().get(place, 0) < end for place, end in ends.items()):
            if self._clock.monotonic_ns() > until_ns or self.reader.failure is not None:
                raise Unavailable("Kafka", f"{', '.join(_TOPICS)} were not read to their end within {_CATCH_UP_S:g} s")
            await self._clock.sleep(_LOOK_S)

    def _ends(self) -> dict[Place, int]:
        return {place: end for topic in _TOPICS for place, end in tail_start(self._bootstrap, topic, 0).items()}
