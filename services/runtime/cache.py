"""A cache on Valkey. A cache that is away is a miss, counted and never an error: losing it loses no data."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.runtime.logging import get_logger
from services.runtime.metrics import CACHE_REQUESTS

_log = get_logger("cache")
#: A cache slower than this is no help.
_TIMEOUT_S = 0.25


class Cache:
    """Bytes under keys, each with a time to live. Keys are prefixed, so that services do not meet."""

    def __init__(self, url: str, prefix: str) -> None:
        self._client = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._prefix = f"{prefix}:".encode()

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none or the cache does not answer."""
        try:
            value = await self._client.get(self._prefix + key.encode())
        except (RedisError, OSError) as error:
            self._failed("get", error)
            return None
        CACHE_REQUESTS.labels("get", "miss" if value is None else "hit").inc()
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for `ttl_s` seconds, > 0; or not, when the cache does not answer."""
        try:
            await self._client.set(self._prefix + key.encode(), value, px=max(1, int(ttl_s * 1000)))
        except (RedisError, OSError) as error:
            self._failed("set", error)
            return
        CACHE_REQUESTS.labels("set", "ok").inc()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def _failed(self, operation: str, error: Exception) -> None:
        CACHE_REQUESTS.labels(operation, "error").inc()
        _log.warning("cache does not answer", operation=operation, error=str(error))
