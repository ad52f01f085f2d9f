"""One request at a time for each host, with a pause between two, and no more requests to a host that was just not reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.news.errors import FeedAway
from services.runtime.clock import Clock

#: A robots.txt that asks for more than this gets this: a crawl must end.
MAX_PAUSE_S = 60.0


@dataclass(slots=True)
class _Host:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    began_ns: int | None = None
    down_until_ns: int = 0
    why_down: str = ""


class HostPace:
    """Turns at hosts. pause_s: least seconds from one request's begin to the next one's; down_s: how long a host that was not reached is left alone."""

    def __init__(self, clock: Clock, pause_s: float, down_s: float = 60.0) -> None:
        self._clock, self._pause_s, self._down_s = clock, pause_s, down_s
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, crawl_delay_s: float = 0.0) -> AsyncIterator[None]:
        """Waits for one's turn; it lasts for the block. Raises FeedAway when the host was not reached a moment ago."""
        state = self._hosts.setdefault(host, _Host())
        async with state.lock:
            self._check(state)
            await self._wait(state, min(MAX_PAUSE_S, max(self._pause_s, crawl_delay_s)))
            state.began_ns = self._clock.monotonic_ns()
            yield

    def report_down(self, host: str, why: str) -> None:
        """Says that the host was not reached: those who wait for it need not try."""
        state = self._hosts.setdefault(host, _Host())
        state.down_until_ns, state.why_down = self._clock.monotonic_ns() + int(self._down_s * 1e9), why

    def report_up(self, host: str) -> None:
        """Says that the host answered."""
        self._hosts.setdefault(host, _Host()).down_until_ns = 0

    def _check(self, state: _Host) -> None:
        if self._clock.monotonic_ns() < state.down_until_ns:
            raise FeedAway("unreachable", state.why_down)

    async def _wait(self, state: _Host, pause_s: float) -> None:
        if state.began_ns is None:
            return
        left_s = pause_s - (self._clock.monotonic_ns() - state.began_ns) / 1e9
        if left_s > 0:
            await self._clock.sleep(left_s)
