"""What analysis needs from outside."""

from typing import Protocol

from services.analysis.domain import History


class BarSource(Protocol):
    """Where final bars come from."""

    async def bars(self, symbol: str, interval_s: int, start_ns: int | None) -> tuple[History, int]:
        """The bars that open at or after `start_ns` (None: all that are kept), and the open time of the first bar kept, UTC ns.

        Raises NotFound when the series does not exist, Unavailable when the source does not answer.
        """
        ...


class ResultCache(Protocol):
    """Where answers are kept; losing them loses nothing, and failing is a miss."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for `ttl_s` seconds, if it can."""
        ...
