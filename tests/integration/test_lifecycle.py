"""How a process starts, drains and ends, seen from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.child import STOP_SECONDS
from services.runtime.lifecycle import DRAIN_SECONDS
from services.runtime.testing import eventually
from tests.ports import free_ports

_PROLOGUE = """
import asyncio, threading
from services.runtime import lifecycle as module
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.settings import RuntimeSettings, load_settings

def say(text):
    print(text, flush=True)
"""
_EPILOGUE = """
run("demo", load_settings(RuntimeSettings).model_copy(update={"metrics_port": PORT}), main)
"""


class Child:
    """A process with the given `main`."""

    def __init__(self, folder: Path, main: str, port: int | None = None) -> None:
        self.port = port or free_ports(1)[0]
        self._script, self._out, self._err = folder / "child.py", folder / "out", folder / "err"
        self._script.write_text(_PROLOGUE + main + _EPILOGUE.replace("PORT", str(self.port)))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen([sys.executable, str(self._script)], stdout=out, stderr=err, env={**os.environ, "PYTHONPATH": os.getcwd()})

    def out(self) -> list[str]:
        return self._out.read_text().splitlines()

    def err(self) -> str:
        return self._err.read_text()

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.err().splitlines()]

    async def said(self, text: str) -> None:
        await eventually(lambda: text in self.out())

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(15)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture
def children() -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for child in children:
        child.process.kill()
        child.process.wait()


ORDERLY = """
async def main(lifecycle):
    async def stop(name):
        say(f"stopped {name}")
    for name in ("first", "second"):
        lifecycle.on_stop(lambda name=name: stop(name))
    lifecycle.ops.add_ready_check("demo", lambda: None)
    say("running")
    await lifecycle.stopping.wait()
    say("main returned")
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_in_reverse_order_and_ends_with_0(children: list[Child], tmp_path: Path, signum: signal.Signals) -> None:
    children.append(child := Child(tmp_path, ORDERLY))
    await child.said("running")
    assert child.get("/readyz") == (200, '{"ready": true, "checks": {}}\n')
    assert child.get("/healthz")[0] == 200
    assert child.get("/nothing")[0] == 404
    assert "process_cpu_seconds_total" in child.get("/metrics")[1]
    assert child.end(signum) == 0
    assert child.out() == ["running", "main returned", "stopped second", "stopped first"]
    assert [line["event"] for line in child.log()] == ["starting", "stopping", "stopped"]
    assert {line["process"] for line in child.log()} == {"demo"}


async def test_a_main_that_returns_ends_the_process(children: list[Child], tmp_path: Path) -> None:
    children.append(child := Child(tmp_path, "async def main(lifecycle):\n    say('done')\n"))
    assert child.process.wait(15) == 0


async def test_a_crash_is_logged_with_its_traceback_and_ends_with_1(children: list[Child], tmp_path: Path) -> None:
    main = """
async def main(lifecycle):
    async def stop():
        say("stopped")
    lifecycle.on_stop(stop)
    raise RuntimeError("boom")
"""
    children.append(child := Child(tmp_path, main))
    assert child.process.wait(15) == 1
    (crash,) = [line for line in child.log() if line["event"] == "crashed"]
    assert crash["error"] == "boom"
    assert "Traceback" in str(crash["exception"])
    assert child.out() == ["stopped"]


@pytest.mark.parametrize("fail", ["lifecycle.spawn(broken(), 'broken')", "threading.Thread(target=lambda: lifecycle.fail(OSError('thread died'))).start()"])
async def test_a_failure_in_the_background_ends_the_process_with_1(children: list[Child], tmp_path: Path, fail: str) -> None:
    main = f"""
async def broken():
    raise OSError("task died")

async def main(lifecycle):
    {fail}
    await lifecycle.stopping.wait()
    say("main returned")
"""
    children.append(child := Child(tmp_path, main))
    assert child.process.wait(15) == 1
    assert child.out() == ["main returned"]
    assert [line["event"] for line in child.log()][1] == "background work failed"


async def test_a_main_that_does_not_listen_is_cancelled(children: list[Child], tmp_path: Path) -> None:
    main = """
module._MAIN_SECONDS = 0.2

async def main(lifecycle):
    say("running")
    await asyncio.Event().wait()
"""
    children.append(child := Child(tmp_path, main))
    await child.said("running")
    assert child.end() == 0


@pytest.mark.parametrize("hang", ["await asyncio.Event().wait()", "import time; time.sleep(60)"])
async def test_a_drain_that_hangs_ends_with_1(children: list[Child], tmp_path: Path, hang: str) -> None:
    main = f"""
module._CALLBACKS_SECONDS, module._WATCHDOG_SECONDS = 0.5, 1.0

async def main(lifecycle):
    async def stop():
        {hang}
    lifecycle.on_stop(stop)
    say("running")
    await lifecycle.stopping.wait()
"""
    children.append(child := Child(tmp_path, main))
    await child.said("running")
    assert child.end() == 1


@pytest.mark.parametrize(
    ("hang", "last"),
    [("await asyncio.Event().wait()", "stopped"), ("import time; time.sleep(60)", "main goes on although it was cancelled")],
)
async def test_whatever_hangs_the_process_ends_before_the_supervisor_kills_it(children: list[Child], tmp_path: Path, hang: str, last: str) -> None:
    """With the real times, which add up: a main that ignores its cancellation, and a callback that hangs."""
    main = f"""
async def main(lifecycle):
    async def stop():
        {hang}
    lifecycle.on_stop(stop)
    say("running")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("cancelled")
"""
    children.append(child := Child(tmp_path, main))
    await child.said("running")
    began = time.monotonic()
    assert child.end() == 1, "it ended by itself"
    assert time.monotonic() - began < DRAIN_SECONDS < STOP_SECONDS
    *lines, spoken_last = child.err().splitlines()
    assert spoken_last == "demo: the drain hangs, ending the process"
    assert json.loads(lines[-1])["event"] == last


async def test_a_callback_that_fails_does_not_keep_the_others_from_stopping(children: list[Child], tmp_path: Path) -> None:
    main = """
async def main(lifecycle):
    async def fine():
        say("stopped")
    async def bad():
        raise ValueError("cannot stop")
    lifecycle.on_stop(fine)
    lifecycle.on_stop(bad)
"""
    children.append(child := Child(tmp_path, main))
    assert child.process.wait(15) == 1
    assert child.out() == ["stopped"]


async def test_a_metrics_port_in_use_is_said_plainly(children: list[Child], tmp_path: Path) -> None:
    children.append(first := Child(tmp_path, ORDERLY))
    await first.said("running")
    (tmp_path / "second").mkdir()
    children.append(second := Child(tmp_path / "second", ORDERLY, port=first.port))
    assert second.process.wait(15) == 1
    (crash,) = [line for line in second.log() if line["event"] == "crashed"]
    assert crash["error"] == f"metrics and health: cannot listen on 127.0.0.1:{first.port} (Address already in use)"
