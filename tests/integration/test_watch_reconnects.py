"""`signalbox watch` over a gateway that stops, and one that is killed: everything once, in order."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from deploy.local import watch
from services.runtime.testing import eventually
from tests.integration.hub_servers import START, new_feed, running_gateway

SYMBOL = "WATCHED.XSIM"


async def test_everything_is_shown_once_over_a_stop_and_a_kill(kafka: str, tmp_path: Path) -> None:
    feed, seen, said = new_feed(kafka), list[int](), list[str]()
    feed.bars(SYMBOL, range(5))

    def all_seen(end: int) -> bool:
        return seen == list(range(5, end))

    async def show(url: str) -> None:
        async for message in watch.messages(url, watch.subscription([SYMBOL], ["bars"], "1m", 0), said.append):
            if message["T"] == "bar":
                seen.append((message["t"] - START // 1_000_000) // 60_000)
            elif message["T"] == "subscriptions":
                subscribed.set()

    with running_gateway(kafka, tmp_path) as gateway:
        subscribed = asyncio.Event()
        watching = asyncio.create_task(show(f"ws{gateway.envoy.url.removeprefix('http')}/v1/stream"))
        await subscribed.wait()
        feed.bars(SYMBOL, range(5, 8))
        await eventually(lambda: seen == [5, 6, 7])
        for number, end in enumerate((gateway.stop, gateway.kill)):
            await asyncio.to_thread(end)
            feed.bars(SYMBOL, range(8 + 4 * number, 11 + 4 * number))
            await asyncio.to_thread(gateway.start)
            feed.bars(SYMBOL, [11 + 4 * number])
            await eventually(partial(all_seen, 12 + 4 * number), timeout_s=40.0)
        assert said
        assert not watching.done()
        watching.cancel()
