"""Every process of the running stack is ended and started again, one after the other, while a client listens and jobs run: nothing is missing afterwards."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
import pytest

from services.runtime.columns import TickColumns, decode_bars, decode_ticks
from services.runtime.testing import eventually
from services.runtime.topics import BARS, LATE, TICKS
from tests.e2e.conftest import Stack, signalbox
from tests.integration.feeds_process import records_of
from tests.integration.whole_chain import Identity, Subscriber
from tests.processes import wait_until
from tests.servers import stack_environment

#: What a process may take to end, seconds; the supervisor kills it after that.
DRAIN_SECONDS = 10.0
MS = 1_000_000
#: The broker has tests of its own, which kill it.
LEFT_OUT = {"kafka"}
#: What a worker of jobs is given right before it has to end. Each takes a second or more.
JOBS: dict[str, list[dict[str, Any]]] = {
    "reports-worker": [{"kind": "report.daily", "request": {"date": f"2011-08-{day:02}", "universe": ["AAPL.XNAS", "IBM.XNYS"]}} for day in (1, 2, 3, 4)],
    "analysis-jobs": [
        {"kind": "analysis.batch", "request": {"symbols": ["ES.XCME", "AAPL.XNAS"], "interval": name}} for name in ("INTERVAL_1M", "INTERVAL_1D")
    ],
    "prices-jobs": [{"kind": "history.collect", "request": {"source": "stocks", "symbols": ["AAPL.XNAS", "IBM.XNYS"], "interval": "INTERVAL_1D"}}],
    "news-worker": [{"kind": "news.crawl", "request": {}}],
}
#: States of a job that is neither waiting nor done.
RUNNING = {"JOB_STATE_RUNNING"}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of its own. The replay is slow enough that a client is never away for more bars than `history` gives."""
    env = stack_environment(tmp_path, prepared=True, SIGNALBOX_REPLAY_SPEED="10")
    started = signalbox(env, "up")
    try:
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"
        yield Stack(env, tmp_path)
    finally:
        stopped = signalbox(env, "down")
        assert stopped.returncode == 0, f"{stopped.stdout}\n{stopped.stderr}"


async def test_no_tick_no_bar_and_no_job_is_lost_by_restarting_everything(own_stack: Stack) -> None:
    subscriber = Subscriber(own_stack.edge)
    listening = asyncio.create_task(subscriber.run())
    await eventually(lambda: len(subscriber.bars) > 20, timeout_s=60)
    names = [name for name in _processes(own_stack) if name not in LEFT_OUT]
    took, jobs, interrupted = dict[str, float](), list[str](), list[str]()
    for name in names:
        asked = [await _ask_for(own_stack, job) for job in JOBS.get(name, [])]
        interrupted += await _one_runs(own_stack, asked)
        took[name] = await asyncio.to_thread(_restart, own_stack, name)
        jobs += asked
    print(f"seconds to end: {took}; connections {subscriber.connections}, warnings {subscriber.warnings}")
    assert max(took.values()) < DRAIN_SECONDS, took
    said = " ".join((own_stack.home / "run" / "stack.log").read_text().split())
    assert {name: f"{name} ended with exit code 0;" in said for name in names} == dict.fromkeys(names, True)
    # It came back by itself after the gateway's end and after Envoy's.
    assert subscriber.connections == 3
    # Bars first: whatever they are made of is among the ticks that are read after them.
    bars, ticks = await asyncio.to_thread(_bars, own_stack.bootstrap), await asyncio.to_thread(_ticks, own_stack.bootstrap)
    await eventually(lambda: listening.done() or bars.keys() - subscriber.bars.keys() <= _before(bars, subscriber.bars), timeout_s=60)
    assert not listening.done(), listening.exception()
    listening.cancel()
    assert {identity: subscriber.bars[identity] for identity in bars.keys() & subscriber.bars.keys()} == {
        identity: volume for identity, volume in bars.items() if identity in subscriber.bars
    }
    _check_bars(ticks, bars)
    assert not await asyncio.to_thread(records_of, own_stack.bootstrap, LATE.name)
    done = [await _done(own_stack, job) for job in jobs]
    assert {job["metadata"]["state"] for job in done} == {"JOB_STATE_SUCCEEDED"}, done
    assert len(interrupted) > 0, "no job ran when its worker had to end"
    print(f"{len(bars)} bars; {len(interrupted)} of {len(jobs)} jobs interrupted; attempts {[job['metadata']['attempt'] for job in done]}")


def _before(bars: Counter[Identity], seen: dict[Identity, int]) -> set[Identity]:
    """Bars from before the client's first one of their symbol: it had asked for the last thousand only."""
    first: dict[str, int] = {}
    for symbol, opens in seen:
        first[symbol] = min(first.get(symbol, opens), opens)
    return {(symbol, opens) for symbol, opens in bars if opens < first.get(symbol, 0)}


def _processes(stack: Stack) -> dict[str, dict[str, Any]]:
    state = json.loads((stack.home / "run" / "state.json").read_text())
    return {each["name"]: each for each in state["processes"]}


def _restart(stack: Stack, name: str) -> float:
    """SIGTERM; the supervisor starts it again. Returns when it is ready; the seconds it took to end."""
    before = _processes(stack)[name]
    process = psutil.Process(before["pid"])
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, f"{name} ends")
    seconds = time.monotonic() - began
    wait_until(lambda: _processes(stack)[name]["restarts"] > before["restarts"], f"{name} is started again")
    wait_until(lambda: _processes(stack)[name]["condition"] == "ready", f"{name} is ready again")
    return round(seconds, 2)


async def _ask_for(stack: Stack, job: dict[str, Any]) -> str:
    async with aiohttp.ClientSession(stack.base_url) as session, session.post("/v1/jobs", json=job) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["name"])


async def _one_runs(stack: Stack, names: list[str]) -> list[str]:
    """Waits until one of the jobs runs, or all of them are done. Returns those that run."""
    async with aiohttp.ClientSession(stack.base_url) as session:
        while names:
            states = {name: await _operation(session, name) for name in names}
            running = [name for name, each in states.items() if each["metadata"]["state"] in RUNNING]
            if running or all(each.get("done") for each in states.values()):
                return running
    return []


async def _operation(session: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    async with session.get(f"/v1/{name}") as answer:
        found: dict[str, Any] = await answer.json()
    return found


async def _done(stack: Stack, name: str) -> dict[str, Any]:
    async with aiohttp.ClientSession(stack.base_url) as session:
        for _ in range(30):
            async with session.post(f"/v1/{name}:wait", json={"timeout": "5s"}) as answer:
                operation: dict[str, Any] = await answer.json()
            if operation.get("done"):
                return operation
    pytest.fail(f"{name} was not done: {operation}")


def _ticks(bootstrap: str) -> list[TickColumns]:
    return [decode_ticks(record.value) for record in records_of(bootstrap, TICKS.name)]


def _bars(bootstrap: str) -> Counter[Identity]:
    """Volume of each final bar of a second; a bar that is there twice counts once."""
    found: Counter[Identity] = Counter()
    for record in records_of(bootstrap, BARS.name):
        bars = decode_bars(record.value)
        for at in np.flatnonzero(bars.interval == 1).tolist():
            identity, volume = (bars.instruments[bars.instrument[at]].symbol, int(bars.ts_open[at]) // MS), int(bars.volume[at])
            assert found.setdefault(identity, volume) == volume, identity
    return found


def _check_bars(batches: list[TickColumns], bars: Counter[Identity]) -> None:
    """The feeds have left out no tick, and each one counts in its bar, up to the last bar that is final."""
    expected, numbers = Counter[Identity](), defaultdict[tuple[str, int], set[int]](set)
    for ticks in batches:
        for instrument, ts, size, seq in zip(ticks.instrument.tolist(), ticks.ts_event.tolist(), ticks.size.tolist(), ticks.seq.tolist(), strict=True):
            run = numbers[ticks.source, ticks.replay_shift]
            if seq not in run:
                run.add(seq)
                expected[ticks.instruments[instrument].symbol, ts // (1000 * MS) * 1000] += size
    last = {symbol: max(opens for of, opens in bars if of == symbol) for symbol in {symbol for symbol, _ in bars}}
    assert {each: volume for each, volume in expected.items() if each[1] <= last.get(each[0], 0)} == bars
    for (source, shift), run in numbers.items():
        # The synthetic feed leaves out the seconds in which it did not run, and says so.
        assert source.startswith("synthetic") or len(run) == max(run) - min(run) + 1, (source, shift)
