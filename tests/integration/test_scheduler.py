"""Schedulers on a real broker: one is active, another goes on when it dies, and one that was replaced without knowing it writes nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from signalbox.events.v1 import schedule_run_pb2

from services.reports.schedule.leadership import Deposed, Leadership, Term, generation_of
from services.reports.schedule.runs import Run, RunBook, RunState
from services.runtime.job_queue import open_job_queue
from services.runtime.kafka import Record, TopicReader
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing import eventually
from services.runtime.topics import ALERTS, SCHEDULE
from tests.ports import free_ports
from tests.servers import REPOSITORY, new_broker

SESSION_MS = 2_000
#: Reached only when something is wrong.
PATIENCE_S = 60.0
PLAN = """
- name: beat
  kind: cache.clean
  when: "* * * * *"
  first: at-once
"""


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    """A broker of the test's own: the schedulers' group and topic are the product's."""
    with new_broker(tmp_path / "kafka") as broker:
        ensure_topics(broker.bootstrap, 1, [SCHEDULE, ALERTS])
        yield broker.bootstrap


@asynccontextmanager
async def member(bootstrap: str, name: str) -> AsyncIterator[Leadership]:
    joined = Leadership(bootstrap, name, session_timeout_ms=SESSION_MS)
    joined.start()
    try:
        yield joined
    finally:
        await joined.stop()


async def term_of(leadership: Leadership) -> Term:
    await eventually(lambda: leadership.term is not None, PATIENCE_S)
    assert leadership.term is not None
    return leadership.term


@contextmanager
def scheduler(bootstrap: str, valkey: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A scheduler's process with its metrics port."""
    (folder / "schedule.yaml").write_text(PLAN)
    (port,) = free_ports(1)
    env = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "REDIS_URL": valkey,
        "SIGNALBOX_HOME": str(folder),
        "SIGNALBOX_SCHEDULE": str(folder / "schedule.yaml"),
        "SIGNALBOX_SCHEDULER_METRICS_PORT": str(port),
        "SIGNALBOX_SCHEDULER_SESSION_MS": str(SESSION_MS),
    }
    with (folder / f"scheduler-{port}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "services.reports.scheduler"], cwd=REPOSITORY, env=env, stderr=log)
        try:
            yield process, port
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def is_active(port: int) -> bool | None:
    """What its metrics say; None while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            found = re.search(r"^signalbox_schedule_is_active (\S+)", answer.read().decode(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else float(found[1]) == 1.0


async def written(bootstrap: str) -> list[schedule_run_pb2.ScheduleRun]:
    """Every record of the schedule that readers get."""
    found: list[Record] = []
    reader = TopicReader(bootstrap, [SCHEDULE.name], found.extend)
    reader.start()
    await reader.wait_caught_up()
    reader.stop()
    return [schedule_run_pb2.ScheduleRun.FromString(record.value) for record in found]


async def test_the_next_one_knows_all_that_the_one_before_has_written(bootstrap: str) -> None:
    async with member(bootstrap, "one") as one:
        term = await term_of(one)
        for number in range(5):
            await one.write(term, Run("x", number * 10**9, RunState.STARTED, job_id=f"job-{number}"))
        async with member(bootstrap, "two") as two:
            await one.stop()
            after = await term_of(two)
    assert after.generation > term.generation
    assert [run.job_id for run in after.book.open("x")] == [f"job-{number}" for number in range(5)]


async def test_only_one_of_three_is_active(bootstrap: str) -> None:
    async with member(bootstrap, "one") as one, member(bootstrap, "two") as two, member(bootstrap, "three") as three:
        all_of = (one, two, three)
        await eventually(lambda: sum(each.term is not None for each in all_of) == 1, PATIENCE_S)
        await asyncio.sleep(2 * SESSION_MS / 1000)
        assert sum(each.term is not None for each in all_of) == 1


async def test_a_term_that_is_over_writes_nothing(bootstrap: str) -> None:
    async with member(bootstrap, "one") as one:
        old = await term_of(one)
        async with member(bootstrap, "two") as two:
            # A member that joins moves the generation on, whoever has the partition then.
            await eventually(lambda: old.is_over, PATIENCE_S)
            await eventually(lambda: one.term is not None or two.term is not None, PATIENCE_S)
            # As one that has not heard of it would go on.
            stale = Term(old.metadata, RunBook(), old.producer)
            with pytest.raises(Deposed):
                await one.write(stale, Run("x", 10**9, RunState.STARTED))
    assert await written(bootstrap) == []


async def test_a_killed_scheduler_is_followed_by_another_and_its_run_is_not_doubled(bootstrap: str, valkey: str, tmp_path: Path) -> None:
    with scheduler(bootstrap, valkey, tmp_path) as (first, first_port):
        await eventually(lambda: is_active(first_port) is True, PATIENCE_S)
        await eventually_written(bootstrap, 2)
        with scheduler(bootstrap, valkey, tmp_path) as (_second, second_port):
            await eventually(lambda: is_active(second_port) is not None, PATIENCE_S)
            first.kill()
            await eventually(lambda: is_active(second_port) is True, PATIENCE_S)
            runs = await written(bootstrap)
    (begun,) = {run.ts_planned for run in runs if run.state == "started"} - {run.ts_planned for run in runs if run.ts_planned > runs[0].ts_planned}
    assert [run.state for run in runs if run.ts_planned == begun][:2] == ["planned", "started"]
    async with open_job_queue(valkey) as queue:
        jobs, _ = await queue.list(kinds=["cache.clean"])
    keys = [job.unique_key for job in jobs if job.owner == "schedule:beat"]
    assert len(keys) == len(set(keys))


async def test_a_scheduler_that_was_stopped_and_wakes_up_does_not_go_on(bootstrap: str, valkey: str, tmp_path: Path) -> None:
    with scheduler(bootstrap, valkey, tmp_path) as (process, port):
        await eventually(lambda: is_active(port) is True, PATIENCE_S)
        await eventually_written(bootstrap, 2)
        process.send_signal(signal.SIGSTOP)
        async with member(bootstrap, "next") as follower:
            term = await term_of(follower)
            await follower.write(term, Run("mark", 10**9, RunState.REGISTERED))
            process.send_signal(signal.SIGCONT)
            await eventually(lambda: is_active(port) is False or follower.term is None or follower.term.generation > term.generation, PATIENCE_S)
        await eventually(lambda: is_active(port) is True, PATIENCE_S)
        runs = await written(bootstrap)
    generations = [run.generation for run in runs]
    assert generations == sorted(generations), "a record of an older generation came after one of a newer"


async def test_sigterm_leaves_the_group_at_once_and_ends_with_0(bootstrap: str, valkey: str, tmp_path: Path) -> None:
    with scheduler(bootstrap, valkey, tmp_path) as (process, port):
        await eventually(lambda: is_active(port) is True, PATIENCE_S)
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0


def test_a_wrong_schedule_ends_the_process_with_2_and_says_all(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("- {name: x, kind: nothing, when: never}")
    env = os.environ | {"SIGNALBOX_SCHEDULE": str(tmp_path / "wrong.yaml")}
    done = subprocess.run([sys.executable, "-m", "services.reports.scheduler"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "x: kind: expected one of" in done.stderr
    assert "x: when: expected a cron expression" in done.stderr


def test_a_generation_is_read_from_the_groups_metadata() -> None:
    assert generation_of(b"CGMDv2:" + (7).to_bytes(4, sys.byteorder, signed=True) + b"group\0member\0") == 7
    with pytest.raises(ValueError, match="CGMDv2"):
        generation_of(b"CGMDv9:....")


async def eventually_written(bootstrap: str, count: int) -> None:
    for _ in range(60):
        if len(await written(bootstrap)) >= count:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"{count} records of the schedule were expected")
