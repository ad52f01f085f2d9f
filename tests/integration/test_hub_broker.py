"""The broker goes away and comes back while clients are connected."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp

from services.runtime.testing import eventually
from tests.integration.hub_servers import new_feed, running_gateway
from tests.servers import new_broker


async def test_the_hub_survives_a_broker_that_is_killed(tmp_path: Path) -> None:
    broker = new_broker(tmp_path / "kafka")
    broker.start()
    try:
        feed = new_feed(broker.bootstrap)
        with running_gateway(broker.bootstrap, tmp_path) as gateway:
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{gateway.envoy.url}/v1/stream") as socket:
                await socket.send_str('{"action":"subscribe","bars":["ES.XCME"],"history":10}')
                feed.bars("ES.XCME", [0])
                seen = await _bars(socket, 1)
                broker.kill()
                await eventually(lambda: "kafka" in (gateway.why_not_ready() or ""))
                broker.start()
                await eventually(lambda: gateway.why_not_ready() is None, timeout_s=60)
                feed.bars("ES.XCME", [1, 2])
                seen += await _bars(socket, 2)
    finally:
        broker.stop()
    assert seen == [100.0, 101.0, 102.0]


async def _bars(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[float]:
    closes: list[float] = []
    while len(closes) < count:
        closes += [message["c"] for message in json.loads(await socket.receive_str(timeout=30)) if message["T"] == "bar"]
    return closes
