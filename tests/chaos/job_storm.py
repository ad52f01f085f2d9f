"""Many jobs through the edge while whoever carries them is killed, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from signalbox.events.v1 import job_pb2

from services.runtime.kafka import Record, TopicReader
from services.runtime.topics import RESULTS
from tests.chaos.job_kinds import STORM
from tests.chaos.job_worker import Line

#: What an edge says, or does, while something behind it is away or has no room: the same request may be sent again.
_AGAIN = frozenset({429, 502, 503, 504})
_PATIENCE_S = 240.0
#: Jobs that are named when some are left.
_NAMED = 20
_CLIENTS = 16
#: Seconds between two jobs of a client: jobs are still created while things are killed.
_CLIENT_PAUSE_S = 0.5

#: Kills something and has it started again; its name first.
Fault = tuple[str, Callable[[], None]]


@dataclass
class Storm:
    """What happened."""

    accepted: dict[str, set[str]] = field(default_factory=dict)
    """Unique key -> names of the operations that the edge answered with."""
    asked_again: int = 0
    """Creations that had to be sent again."""
    faults: Counter[str] = field(default_factory=Counter)
    """How often each fault was done."""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    """The operations at the end, as the edge lists them."""


async def run_storm(edge: str, count: int, rng: random.Random, faults: Sequence[Fault], *, pause_s: tuple[float, float], step_s: tuple[float, float]) -> Storm:
    """Creates `count` jobs through the edge, does faults at random until nearly all have ended, waits for the rest.

    edge: HOST:PORT. pause_s: between two faults, seconds. step_s: how long a job takes, seconds.
    """
    storm = Storm()
    async with aiohttp.ClientSession(f"http://{edge}", timeout=aiohttp.ClientTimeout(total=20)) as session:
        requests = {f"storm-{rng.getrandbits(64):016x}": {"number": number, "seconds": rng.uniform(*step_s)} for number in range(count)}
        is_over = asyncio.Event()
        destroying = asyncio.create_task(_destroy(storm, rng, faults, pause_s, is_over))
        await _create_all(storm, session, requests)
        await _until_left(session, count // 50)
        is_over.set()
        await destroying
        await _until_left(session, 0)
        storm.jobs = await _list(session, f'kind = "{STORM.name}"')
    return storm


async def _create_all(storm: Storm, session: aiohttp.ClientSession, requests: Mapping[str, dict[str, float]]) -> None:
    left = list(requests.items())

    async def client() -> None:
        while left:
            key, request = left.pop()
            body = {"kind": STORM.name, "request": request, "unique_key": key, "owner": "storm"}
            answer = await _patiently(storm, session, "POST", "/v1/jobs", json=body)
            storm.accepted.setdefault(key, set()).add(answer["name"])
            await asyncio.sleep(_CLIENT_PAUSE_S)

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))


async def _patiently(storm: Storm | None, session: aiohttp.ClientSession, method: str, path: str, **options: Any) -> Any:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                async with session.request(method, path, **options) as answer:
                    if answer.status not in _AGAIN:
                        assert answer.status == 200, f"{method} {path}: {answer.status} {await answer.text()}"
                        return await answer.json()
            except (aiohttp.ClientError, TimeoutError):
                pass
            if storm is not None:
                storm.asked_again += 1
            await asyncio.sleep(0.2)


async def _destroy(storm: Storm, rng: random.Random, faults: Sequence[Fault], pause_s: tuple[float, float], is_over: asyncio.Event) -> None:
    """Each fault once in random order, then again, until it is over. A fault that was begun is ended by its new start."""
    deck: list[Fault] = []
    while True:
        try:
            async with asyncio.timeout(rng.uniform(*pause_s)):
                await is_over.wait()
            return
        except TimeoutError:
            deck = deck or rng.sample(faults, len(faults))
            name, fault = deck.pop()
            await asyncio.to_thread(fault)
            storm.faults[name] += 1


async def _until_left(session: aiohttp.ClientSession, most: int) -> None:
    """Returns when at most so many jobs have not ended. Raises AssertionError that names those that are left after the patience."""
    left: list[dict[str, Any]] | None = None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            # Nobody tells of it, so it is looked at.
            while left is None or len(left) > most:
                left = await _list(session, f'kind = "{STORM.name}" AND done = false')
                await asyncio.sleep(0.5 if len(left) > most else 0)
    except TimeoutError as error:
        raise AssertionError(_left_over(left, most)) from error


def _left_over(left: list[dict[str, Any]] | None, most: int) -> str:
    if left is None:
        return f"in {_PATIENCE_S:.0f} s the edge did not say which jobs have not ended"
    named = "".join(f"\n  {_in_short(job['metadata'])}" for job in left[:_NAMED])
    return f"after {_PATIENCE_S:.0f} s {len(left)} jobs have not ended, at most {most} were expected; the first of them:{named}"


def _in_short(job: dict[str, Any]) -> str:
    return f"{job['id']} {job['state']}, attempt {job['attempt']} of {job['max_attempts']}"


async def _list(session: aiohttp.ClientSession, wanted: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        query = {"filter": wanted, "page_size": "500", "page_token": token}
        page = await _patiently(None, session, "GET", "/v1/operations", params=query)
        found += page.get("operations", [])
        token = page.get("next_page_token", "")
        if not token:
            return found


def check(storm: Storm, count: int, lines: Sequence[Line]) -> int:
    """Raises AssertionError unless every accepted job ended well, once, and its attempts are those that were written down.

    Returns the number of attempts that were killed before their function's first line; such an attempt is recorded and wrote nothing.
    """
    assert len(storm.accepted) == count
    assert all(len(names) == 1 for names in storm.accepted.values()), "a key gave two jobs"
    by_key = {job["metadata"]["unique_key"]: job for job in storm.jobs}
    assert len(by_key) == len(storm.jobs) == count
    assert {key: {job["name"]} for key, job in by_key.items()} == storm.accepted
    starts, ends = _by_job(lines, "start"), _by_job(lines, "end")
    assert starts.keys() == {job["metadata"]["id"] for job in storm.jobs}, "a function ran for a job that nobody was told of, or never ran"
    return sum(_check_job(job, starts[job["metadata"]["id"]], ends.get(job["metadata"]["id"], [])) for job in storm.jobs)


def _by_job(lines: Sequence[Line], what: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for line in lines:
        if line.what == what:
            found.setdefault(line.job_id, []).append(line.attempt)
    return found


def _check_job(job: dict[str, Any], starts: list[int], ends: list[int]) -> int:
    told = job["metadata"]
    attempts = told["attempt"]
    assert (told["state"], job["done"], "error" in job) == ("JOB_STATE_SUCCEEDED", True, False), job
    assert job["response"]["value"] == {"number": told["request"]["number"]}
    assert 1 <= attempts <= 3 == told["max_attempts"], job
    assert len(set(starts)) == len(starts), f"an attempt began twice: {starts}"
    assert set(starts) <= set(range(1, attempts + 1)), f"an attempt that is not recorded: {starts} of {attempts}"
    assert attempts in starts, f"the attempt that succeeded never began: {starts} of {attempts}"
    assert attempts in ends, f"the attempt that succeeded never ended: {ends} of {attempts}"
    return int(attempts) - len(starts)


async def results_on_kafka(bootstrap: str, ids: set[str]) -> dict[str, list[job_pb2.JobResult]]:
    """The records of reports.results.v1 for the jobs."""
    records: list[Record] = []
    reader = TopicReader(bootstrap, [RESULTS.name], records.extend)
    reader.start()
    try:
        await reader.wait_caught_up()
    finally:
        await asyncio.to_thread(reader.stop)
    found: dict[str, list[job_pb2.JobResult]] = {}
    for record in records:
        if (job_id := (record.key or b"").decode()) in ids:
            found.setdefault(job_id, []).append(job_pb2.JobResult.FromString(record.value))
    return found
