"""robots.txt of each host, RFC 9309: read with protego, kept for an hour; a host whose file cannot be had is not asked for anything else."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protego import Protego

from services.news.errors import FeedAway, FeedProblem, FeedRefused, FeedStumbled
from services.runtime.clock import Clock

#: Seconds that rules are kept, and that it is remembered that they could not be had.
KEPT_S, FAILURE_KEPT_S = 3_600.0, 300.0
#: RFC 9309 asks for at least 500 KiB.
MAX_BYTES = 512 << 10
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_OK = range(200, 300)

#: Asks for a robots.txt; gives status and body. Raises FeedProblem.
AskRobots = Callable[[str], Awaitable[tuple[int, bytes]]]


@dataclass(frozen=True, slots=True)
class _Known:
    rules: Protego | None
    problem: str
    until_ns: int


class Robots:
    """The rules of hosts. agent: our name as it stands in robots.txt."""

    def __init__(self, ask: AskRobots, agent: str, clock: Clock) -> None:
        self._ask, self._agent, self._clock = ask, agent, clock
        self._known: dict[str, _Known] = {}
        self._learning: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def check(self, origin: str, url: str) -> float:
        """Raises FeedRefused (`robots`, `robots-unavailable`) when the URL may not be asked for. Returns the crawl delay, seconds.

        origin: scheme, host and port of the URL.
        """
        async with self._learning[origin]:
            known = self._known.get(origin)
            if known is None or known.until_ns <= self._clock.monotonic_ns():
                known = self._known[origin] = await self._learn(origin, known)
        if known.rules is None:
            raise FeedRefused("robots-unavailable", f"{origin}/robots.txt: {known.problem}; without it nothing may be asked for")
        if not known.rules.can_fetch(url, self._agent):
            raise FeedRefused("robots", f"{origin}/robots.txt does not allow {url} for {self._agent}")
        return known.rules.crawl_delay(self._agent) or 0.0

    async def _learn(self, origin: str, before: _Known | None) -> _Known:
        try:
            status, body = await self._ask(f"{origin}/robots.txt")
        except (FeedAway, FeedStumbled):
            # Nothing is known of the host, not even that it forbids; the next attempt may find it.
            raise
        except FeedProblem as problem:
            return self._unavailable(str(problem), before)
        if status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
            return self._unavailable(f"answered {status}", before)
        text = body.decode("utf-8", "replace") if status in _OK else ""
        return _Known(Protego.parse(text), "", self._until(KEPT_S))

    def _unavailable(self, problem: str, before: _Known | None) -> _Known:
        return _Known(before.rules if before else None, problem, self._until(FAILURE_KEPT_S))

    def _until(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + int(seconds * 1e9)
