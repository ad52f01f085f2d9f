"""cache.clean on a real Valkey: empties caches, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from signalbox.analysis.v1.batch_job_pb2 import AnalyzeManyRequest
from signalbox.reports.v1 import jobs_service_pb2 as pb

from deploy.local.valkey import EmbeddedValkey
from services.reports.cache_clean import CacheCleaner
from services.runtime.cache import Cache
from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.job_queue import open_job_queue
from services.runtime.jobs import Job, JobState, NewJob, Priority
from services.runtime.testing.job_queue import MemoryContext
from tests.ports import free_ports


def context() -> MemoryContext:
    return MemoryContext(None, Job("a", "cache.clean", JobState.RUNNING, Priority.NORMAL, b"", 1))


@pytest.fixture
async def client(valkey: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey) as connection:
        yield connection


async def fill(url: str, count: int, size: int = 2000) -> None:
    cache = Cache(url, "analysis")
    for number in range(count):
        await cache.set(f"{number % 2}/{number}", b"x" * size, 600.0)
    await cache.close()


async def test_caches_are_emptied_and_jobs_stay(valkey: str, client: Redis) -> None:
    await fill(valkey, 1300)
    neighbour = f"analysis2:{uuid.uuid4().hex}"
    await client.set(neighbour, "1")
    async with open_job_queue(valkey) as queue:
        job = await queue.create(NewJob("analysis.batch", AnalyzeManyRequest()))
        said = context()
        result = await CacheCleaner(valkey).run(pb.CleanCacheRequest(reason="test"), said)
        assert result.removed_keys == 1300
        assert result.freed_bytes > 1300 * 2000 * 0.5
        assert [key async for key in client.scan_iter("analysis:*")] == []
        assert await client.get(neighbour) == b"1"
        assert await queue.get(job.id) == job
        await queue.cancel(job.id)
    done = [each.done for each in said.said]
    assert done == sorted(done)
    assert done[-1] == 1300
    assert len(done) > 3


async def test_only_the_part_that_was_named_goes(valkey: str, client: Redis) -> None:
    await fill(valkey, 10, size=10)
    await client.set("analysis:*/1", "1")
    result = await CacheCleaner(valkey).run(pb.CleanCacheRequest(prefixes=["analysis:0/", "analysis:*/"]), context())
    assert result.removed_keys == 6
    assert await client.exists(*[f"analysis:1/{number}" for number in range(1, 10, 2)]) == 5
    assert (await CacheCleaner(valkey).run(pb.CleanCacheRequest(), context())).removed_keys == 5


async def test_an_empty_cache_frees_nothing_and_never_less(valkey: str) -> None:
    result = await CacheCleaner(valkey).run(pb.CleanCacheRequest(), context())
    assert result.removed_keys == 0
    assert result.freed_bytes >= 0


async def test_what_is_no_cache_is_refused_before_anything_is_removed(valkey: str, client: Redis) -> None:
    await fill(valkey, 2, size=10)
    for prefix in ("signalbox:", "streaq:", ""):
        with pytest.raises(InvalidArgument):
            await CacheCleaner(valkey).run(pb.CleanCacheRequest(prefixes=["analysis:", prefix]), context())
    assert await client.exists("analysis:0/0", "analysis:1/1") == 2


async def test_a_store_that_is_away_is_tried_again_by_the_queue(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path, free_ports(1)[0]) as server:
        url = server.url
    with pytest.raises(Unavailable, match="Valkey is not available"):
        await CacheCleaner(url).run(pb.CleanCacheRequest(), context())
