"""The kind `cache.clean`: empties caches in Valkey. What it may touch is an allow list, so that a queue can never be part of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from google.protobuf.message import Message
from redis.asyncio import Redis
from redis.exceptions import RedisError
from signalbox.reports.v1 import jobs_service_pb2 as pb

from services.reports.metrics import CACHE_KEYS_REMOVED
from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.job_kinds import CACHE_CLEAN
from services.runtime.jobs import JobContext, JobHandler
from services.runtime.logging import get_logger

_log = get_logger("cache-clean")

#: The caches of the product, as their services name them to `services.runtime.cache.Cache`. A test compares this with the code.
CACHES = ("analysis",)

#: Keys looked at, and removed, in one step: some milliseconds of the store's time.
_STEP_KEYS = 500
_TIMEOUT_S = 5.0
#: UNLINK gives memory back in a thread of the store; so often, and this long apart, it is asked whether that is over.
_FREEING_POLLS, _FREEING_PAUSE_S = 50, 0.1


class CacheCleaner:
    """Removes the keys of caches, step by step, while the store serves others."""

    def __init__(self, redis_url: str, clock: Clock | None = None) -> None:
        self._url = redis_url
        self._clock = clock or SystemClock()

    async def run(self, request: Message, context: JobContext) -> pb.CleanCacheResult:
        """The function of the kind. Raises InvalidArgument (a prefix that is not of a cache), Unavailable (the store does not answer)."""
        wanted = cast("pb.CleanCacheRequest", request)
        prefixes = cache_prefixes(wanted.prefixes)
        _log.info("cleaning caches", prefixes=prefixes, reason=wanted.reason)
        client = Redis.from_url(self._url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        try:
            return await self._clean(client, prefixes, context)
        except (RedisError, OSError) as error:
            raise Unavailable("Valkey", str(error)) from error
        finally:
            await client.aclose()

    async def _clean(self, client: Redis, prefixes: Sequence[str], context: JobContext) -> pb.CleanCacheResult:
        before = await _used_bytes(client)
        removed = 0
        for prefix in prefixes:
            async with aclosing(_keys(client, prefix)) as steps:
                async for keys in steps:
                    removed += await _unlink(client, prefix, keys)
                    # How many there are is not known before all were seen.
                    context.progress(removed, 0, "keys", f"emptying {prefix}")
        await self._until_freed(client)
        freed = max(0, before - await _used_bytes(client))
        context.progress(removed, removed, "keys", "done")
        return pb.CleanCacheResult(removed_keys=removed, freed_bytes=freed)

    async def _until_freed(self, client: Redis) -> None:
        for _ in range(_FREEING_POLLS):
            if not (await client.info("memory")).get("lazyfree_pending_objects"):
                return
            await self._clock.sleep(_FREEING_PAUSE_S)


def cache_clean_handler(redis_url: str) -> JobHandler:
    """For the worker."""
    return JobHandler(CACHE_CLEAN, CacheCleaner(redis_url).run, retry_on=(Unavailable,))


def cache_prefixes(asked: Sequence[str]) -> list[str]:
    """Beginnings of the keys to remove; empty means all caches. Raises InvalidArgument when one is not within a cache."""
    within = tuple(f"{cache}:" for cache in CACHES)
    prefixes = [f"{prefix}:" if prefix in CACHES else prefix for prefix in asked] or list(within)
    for prefix in prefixes:
        if not prefix.startswith(within):
            raise InvalidArgument("prefixes", prefix, f"one that begins with {' or '.join(within)}")
    return list(dict.fromkeys(prefixes))


async def _keys(client: Redis, prefix: str) -> AsyncGenerator[list[bytes], None]:
    cursor = 0
    while True:
        cursor, found = await client.scan(cursor, match=_literal(prefix) + b"*", count=_STEP_KEYS)
        keys = [key for key in found if isinstance(key, bytes)]
        if keys:
            yield keys
        if cursor == 0:
            return


async def _unlink(client: Redis, prefix: str, keys: Sequence[bytes]) -> int:
    removed = int(await client.unlink(*keys))
    CACHE_KEYS_REMOVED.labels(prefix.partition(":")[0]).inc(removed)
    return removed


async def _used_bytes(client: Redis) -> int:
    return int((await client.info("memory"))["used_memory"])


def _literal(prefix: str) -> bytes:
    """The prefix as a pattern that matches only itself."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in prefix).encode()
