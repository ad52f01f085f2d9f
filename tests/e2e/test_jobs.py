"""Jobs through the running stack: asked for at its edge, and a thousand of them while it is killed piece by piece."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.chaos.chain import seed_of
from tests.chaos.job_storm import Fault, check, results_on_kafka, run_storm
from tests.chaos.job_worker import read_log
from tests.e2e.conftest import Stack, signalbox
from tests.ports import free_ports
from tests.processes import Process
from tests.servers import stack_environment

COUNT = 1_000
WORKERS = 3
#: Of the workers' log, told when the storm fails.
LOG_LINES = 60

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def storm_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own, as much of it is killed; it knows the storm's kind of job. Nothing here is about prices: one symbol will do."""
    home = tmp_path_factory.mktemp("storm-home")
    env = stack_environment(home, prepared=True, SIGNALBOX_FEEDS="synthetic", SIGNALBOX_JOB_KINDS_MODULE="tests.chaos.job_kinds")
    started = signalbox(env, "up")
    try:
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"
        yield Stack(env, home)
    finally:
        stopped = signalbox(env, "down")
        assert stopped.returncode == 0, f"{stopped.stdout}\n{stopped.stderr}"


def test_a_job_of_the_product_is_run_from_the_command_line(storm_stack: Stack) -> None:
    done = signalbox(storm_stack.env, "job", "run", "cache.clean", "--json")
    assert done.returncode == 0, done.stderr
    operation = json.loads(done.stdout)
    assert operation["metadata"]["state"] == "JOB_STATE_SUCCEEDED"
    assert int(operation["response"]["freed_bytes"]) >= 0
    assert operation["metadata"]["id"] in signalbox(storm_stack.env, "job", "list").stdout


async def test_the_paths_of_operations(storm_stack: Stack) -> None:
    async with aiohttp.ClientSession(storm_stack.base_url) as session:

        async def ask(method: str, path: str, status: int = 200, **options: Any) -> Any:
            async with session.request(method, path, **options) as answer:
                assert answer.status == status, f"{method} {path}: {answer.status} {await answer.text()}"
                return await answer.json()

        kinds = {kind["name"] for kind in (await ask("GET", "/v1/jobs/kinds"))["kinds"]}
        assert {"report.daily", "history.collect", "analysis.batch", "news.crawl", "cache.clean", "storm.step"} <= kinds
        operation = await ask("POST", "/v1/jobs", json={"kind": "cache.clean", "request": {"reason": "e2e"}, "owner": "e2e"})
        path = f"/v1/{operation['name']}"
        done = await ask("POST", f"{path}:wait", json={"timeout": "20s"})
        assert (done["done"], done["metadata"]["state"], done["metadata"]["request"]) == (True, "JOB_STATE_SUCCEEDED", {"reason": "e2e"})
        assert await ask("GET", path) == done
        listed = await ask("GET", "/v1/operations", params={"filter": 'owner = "e2e" AND done = true'})
        assert [each["name"] for each in listed["operations"]] == [operation["name"]]
        newest = await ask("GET", "/v1/jobs", params={"kind": "cache.clean", "page_size": "1"})  # the schedule makes jobs of other kinds
        assert [job["id"] for job in newest["jobs"]] == [done["metadata"]["id"]]
        assert await ask("POST", f"{path}:cancel", json={}) == {}
        assert await ask("DELETE", path) == {}
        assert (await ask("GET", "/v1/operations", params={"filter": 'owner = "e2e"'}))["operations"] == []
        # What the queue has forgotten is known from the topic of results.
        assert (await ask("GET", path))["response"] == done["response"]
        refused = await ask("POST", "/v1/jobs", 400, json={"kind": "cache.clean", "request": {"prefix": "a"}})
        assert "request.prefix" in refused["message"]
        assert "terms joined by AND" in (await ask("GET", "/v1/operations", 400, params={"filter": "size > 1"}))["message"]
        await ask("GET", "/v1/operations/nothing", 404)


async def test_a_thousand_jobs_are_done_once_each_while_the_stack_is_killed(storm_stack: Stack, tmp_path: Path) -> None:
    log, workers = tmp_path / "storm.log", Workers(storm_stack, tmp_path)
    for _ in range(WORKERS):
        workers.start()
    faults: list[Fault] = [(f"kill -9 worker {number}", partial(workers.restart, number)) for number in range(WORKERS)]
    faults += [(f"kill -9 {name}", partial(kill, storm_stack, name)) for name in ("valkey", "reports", "scheduler")]
    try:
        storm = await run_storm(storm_stack.edge, COUNT, random.Random(seed_of()), faults, pause_s=(1.0, 4.0), step_s=(0.2, 0.4))
    except Exception as error:
        error.add_note(workers.described())
        raise
    finally:
        workers.end()
    results = await results_on_kafka(storm_stack.bootstrap, {job["metadata"]["id"] for job in storm.jobs})
    unseen = check(storm, COUNT, read_log(log))
    worker_kills = sum(number for name, number in storm.faults.items() if "worker" in name)
    again = sum(job["metadata"]["attempt"] - 1 for job in storm.jobs)
    print(f"{dict(storm.faults)}, {storm.asked_again} creations asked again, {again} attempts after the first, {unseen} unseen")
    assert storm.faults.keys() >= {"kill -9 valkey", "kill -9 reports"}
    assert again > 0, "no kill hit a running job"
    # An attempt that was killed between its record and its function's first line wrote nothing: at most some for each kill of a worker.
    assert unseen <= worker_kills
    assert len(results) == COUNT
    assert {result.job.state for each in results.values() for result in each} == {"succeeded"}


class Workers:
    """Workers of the storm beside the stack."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._folder = folder
        self._processes: list[Process] = []
        self._env = {**stack.env, "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap, "REDIS_URL": f"redis://127.0.0.1:{stack.env['SIGNALBOX_VALKEY_PORT']}/0"}
        self._env |= {"TEST_JOB_LOG": str(folder / "storm.log"), "SIGNALBOX_JOB_CONCURRENCY": "2"}

    def start(self) -> None:
        """One more."""
        port = free_ports(1)[0]
        self._processes.append(Process(["tests.chaos.job_worker"], self._folder / "worker.log", port, self._env | {"TEST_METRICS_PORT": str(port)}))

    def restart(self, number: int) -> None:
        """SIGKILL, and another in its place."""
        self._processes[number].kill()
        self.start()
        self._processes[number] = self._processes.pop()

    def described(self) -> str:
        """How each is, and the end of the log that they share."""
        states = [
            f"worker {process.process.pid}: exit code {process.process.poll()}, /healthz {process.ask('/healthz')}, /readyz {process.ask('/readyz')}"
            for process in self._processes
        ]
        return "\n".join([*states, "their log:", *self._processes[0].log.splitlines()[-LOG_LINES:]])

    def end(self) -> None:
        """All of them."""
        for process in self._processes:
            process.end()


def kill(stack: Stack, name: str) -> None:
    """SIGKILL to a process of the stack, which the supervisor starts again."""
    processes = json.loads(signalbox(stack.env, "status", "--json").stdout)["processes"]
    pid = next(each["pid"] for each in processes if each["name"] == name)
    # None while it is being started again after the kill before.
    if pid is not None:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).send_signal(signal.SIGKILL)
