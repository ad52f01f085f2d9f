"""What the processes of the running stack have loaded after work, not only after their start."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pandas as pd
import pytest

from tests.e2e.conftest import Stack, signalbox
from tests.e2e.test_work import until

#: Those that must start fast and stay small. (The scheduler asks the calendars themselves.)
LEAN = ("prices-worker", "analysis-worker", "feeds", "gateway", "news-worker")
#: Of compiled libraries the path is in the process's map. The calendars have none of their own, but they cannot be imported without pandas.
HEAVY = ("pandas/_libs", "scipy/", "matplotlib/")


def loaded(pid: int) -> set[str]:
    """Which of the heavy libraries a process has in memory."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in HEAVY if name in maps}


def test_a_library_in_use_is_seen() -> None:
    assert pd.DataFrame({"a": [1]}).sum().a == 1
    assert "pandas/_libs" in Path("/proc/self/maps").read_text()


@pytest.mark.timeout(300)
async def test_processes_at_work_have_loaded_nothing_heavy(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://{stack.edge}/v1/stream") as socket:
        await socket.send_json({"action": "subscribe", "ticks": ["*"], "bars": ["*"], "indicators": ["*"], "signals": ["*"], "interval": "1s", "history": 5})
        for kind in ("tick", "bar", "indicators"):
            await until(socket, lambda message, kind=kind: message["T"] == kind and not message.get("hist"))
    status = signalbox(stack.env, "status", "--json")
    assert status.returncode == 0, status.stdout + status.stderr
    pids = {each["name"]: each["pid"] for each in json.loads(status.stdout)["processes"]}
    assert {name: loaded(pids[name]) for name in LEAN} == {name: set() for name in LEAN}
