"""One process of the stack that cannot live any more: the others go on, and whoever asks is told which one and why."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from services.news.feeds.feed import DEFAULT_FEEDS_FILE
from tests.e2e.conftest import Stack, signalbox
from tests.servers import stack_environment

WORKER = "news-worker"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    feeds = tmp_path / "feeds.yaml"
    shutil.copy(DEFAULT_FEEDS_FILE, feeds)
    # The feeds name recorded files beside them.
    shutil.copytree(DEFAULT_FEEDS_FILE.parent / "recorded", tmp_path / "recorded")
    env = stack_environment(tmp_path / "home", prepared=True, SIGNALBOX_FEEDS="synthetic", SIGNALBOX_NEWS_FEEDS=str(feeds))
    started = signalbox(env, "up")
    try:
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"
        yield Stack(env, tmp_path / "home")
    finally:
        stopped = signalbox(env, "down")
        assert stopped.returncode == 0, f"{stopped.stdout}\n{stopped.stderr}"


def status_of(stack: Stack) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(signalbox(stack.env, "status", "--json").stdout)["processes"]}


async def system(stack: Stack) -> dict[str, dict[str, Any]]:
    async with aiohttp.ClientSession(stack.base_url) as session, session.get("/v1/system") as answer:
        return {each["name"]: each for each in (await answer.json())["processes"]}


async def test_a_file_that_went_wrong_keeps_one_process_from_starting_and_no_other(stack: Stack, tmp_path: Path) -> None:
    before = await asyncio.to_thread(status_of, stack)
    assert len(before) == 16
    (tmp_path / "feeds.yaml").write_text("feeds: [{name: nothing else}]\n")
    psutil.Process(before[WORKER]["pid"]).send_signal(signal.SIGTERM)
    for _ in range(60):
        await asyncio.sleep(1)
        now = await asyncio.to_thread(status_of, stack)
        if now[WORKER]["restarts"] >= 3:
            break
    told = await system(stack)
    for detail in (now[WORKER]["reason"], told[WORKER]["detail"]):
        assert "exit code 2" in detail
        assert "times in a row" in detail
        assert "expected: a file of feeds without mistakes" in detail
    assert told[WORKER]["health"] == "PROCESS_HEALTH_DOWN"
    others = [name for name in before if name != WORKER]
    assert {name: (now[name]["pid"], now[name]["ready"], now[name]["restarts"]) for name in others} == {name: (before[name]["pid"], True, 0) for name in others}
    assert {told[name]["health"] for name in others} == {"PROCESS_HEALTH_READY"}
    # Put right, it comes back by itself.
    shutil.copy(DEFAULT_FEEDS_FILE, tmp_path / "feeds.yaml")
    for _ in range(60):
        await asyncio.sleep(1)
        if (now := await asyncio.to_thread(status_of, stack))[WORKER]["ready"]:
            break
    assert (now[WORKER]["ready"], now[WORKER]["reason"]) == (True, "")
