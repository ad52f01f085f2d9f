"""The measuring client and `watch` against a real WebSocket server with scripted frames."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.local import watch
from deploy.local.errors import StackError, Unreachable
from deploy.local.meter import SUBSCRIBE, MeterError, Tally, measure
from tests.ports import free_ports
from tests.servers import REPOSITORY


class Edge:
    """A WebSocket door that says what the test wants and keeps what it was asked."""

    def __init__(self) -> None:
        self.frames: list[list[dict[str, Any]]] = []
        self.asked: list[dict[str, Any]] = []
        self.closes_at_end = False
        self.url = ""

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.asked.append(await socket.receive_json())
        for frame in self.frames:
            await socket.send_json(frame)
        if not self.closes_at_end:
            await socket.receive()
        return socket


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    edge, app = Edge(), web.Application()
    app.router.add_get("/v1/stream", edge.stream)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_ports(1)[0]
    await web.TCPSite(runner, "127.0.0.1", port).start()
    edge.url = f"ws://127.0.0.1:{port}/v1/stream"
    yield edge
    await runner.cleanup()


def message(kind: str, **fields: Any) -> dict[str, Any]:
    return {"T": kind, "S": "ES.XCME", "source": "replay", "t": 0, **fields}


async def test_measures_from_the_first_delivery_that_counts(edge: Edge) -> None:
    now_us = time.time_ns() // 1000
    edge.frames = [[{"T": "welcome"}], [message("tick", ts_recv=now_us), message("bar")], [message("tick", source="synthetic")]]
    tally = Tally()
    seconds = await measure(edge.url, 0.3, tally)
    assert edge.asked == [SUBSCRIBE]
    assert (tally.kinds["tick"], tally.kinds["bar"]) == (1, 1)
    assert seconds >= 0.3
    assert all(each >= 0 for each in tally.latencies_us)


async def test_an_edge_that_closes_is_an_error(edge: Edge) -> None:
    edge.closes_at_end = True
    with pytest.raises(MeterError, match="closed the connection"):
        await measure(edge.url, 5, Tally())


def test_an_edge_that_is_not_there_leaves_a_summary_that_says_so(tmp_path: Path) -> None:
    out = tmp_path / "build" / "summary.json"
    command = [sys.executable, "-m", "deploy.local.meter", "--url", f"ws://127.0.0.1:{free_ports(1)[0]}/v1/stream", "--seconds", "1", "--out", str(out)]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).returncode == 1
    summary = json.loads(out.read_text())
    assert summary["ok"] is False
    assert "ClientConnectorError" in summary["problem"]


async def test_watch_passes_messages_on_and_says_when_it_is_refused(edge: Edge) -> None:
    edge.frames = [[message("signal", i="1m")], [{"T": "error", "code": 400, "msg": "expected interval in {1s, ...}, was '7x'"}]]
    seen = []

    async def follow() -> None:
        async for each in watch.messages(edge.url, watch.subscription(["*"], ["signals"], "7x", 0), print):
            seen.append(each["T"])  # noqa: PERF401 - what came before the error is kept

    with pytest.raises(StackError, match="was '7x'"):
        await follow()
    assert seen == ["signal"]


async def test_watch_says_when_nothing_runs() -> None:
    with pytest.raises(Unreachable, match="nothing answers at"):
        await anext(watch.messages(f"ws://127.0.0.1:{free_ports(1)[0]}/v1/stream", {}, print))
