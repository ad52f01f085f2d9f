"""Trying again: named exception types only, with a cap and jitter."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from services.runtime.clock import Clock, SystemClock
from services.runtime.logging import get_logger
from services.runtime.metrics import RETRIES

_log = get_logger("retries")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon. Waits grow twofold from `first_s` to `cap_s`; each is drawn evenly from 0 to that (full jitter)."""

    attempts: int = 5
    first_s: float = 0.1
    cap_s: float = 5.0

    def wait_s(self, attempt: int, uniform: Callable[[float, float], float]) -> float:
        """Seconds to wait after the attempt with this number, from 1. uniform: as random.uniform."""
        return uniform(0.0, min(self.cap_s, self.first_s * 2.0 ** (attempt - 1)))


async def retry(
    what: str,
    call: Callable[[], Awaitable[T]],
    on: tuple[type[Exception], ...],
    policy: RetryPolicy | None = None,
    *,
    clock: Clock | None = None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> T:
    """Awaits `call()` again while it raises one of `on`. Raises what the last attempt raised, and anything else at once."""
    policy, clock = policy or RetryPolicy(), clock or SystemClock()
    for attempt in range(1, policy.attempts):
        try:
            return await call()
        except on as error:
            wait_s = policy.wait_s(attempt, uniform)
            RETRIES.labels(what).inc()
            _log.warning("trying again", what=what, attempt=attempt, wait_s=round(wait_s, 3), error=str(error))
            await clock.sleep(wait_s)
    return await call()
