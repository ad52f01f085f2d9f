"""Retries: named errors only, with a cap and jitter, on a clock that is moved by hand."""

import asyncio

import pytest

from services.runtime.retries import RetryPolicy, retry
from services.runtime.testing import ManualClock, eventually


class Flaky:
    def __init__(self, failures: int, error: type[Exception] = ConnectionError) -> None:
        self.calls, self._failures, self._error = 0, failures, error

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error("not now")
        return "done"


async def run(call: Flaky, attempts: int) -> str:
    clock = ManualClock()
    task = asyncio.create_task(retry("demo", call, (ConnectionError,), RetryPolicy(attempts, 1.0, 4.0), clock=clock, uniform=lambda low, high: high))

    def finished() -> bool:
        clock.advance(4.0)
        return task.done()

    await eventually(finished, interval_s=0)
    return task.result()


async def test_it_tries_until_it_works() -> None:
    call = Flaky(3)
    assert await run(call, 5) == "done"
    assert call.calls == 4


async def test_the_last_error_is_raised() -> None:
    call = Flaky(9)
    with pytest.raises(ConnectionError):
        await run(call, 3)
    assert call.calls == 3


async def test_other_errors_are_raised_at_once() -> None:
    call = Flaky(1, ValueError)
    with pytest.raises(ValueError, match="not now"):
        await run(call, 5)
    assert call.calls == 1


def test_waits_double_up_to_the_cap() -> None:
    policy = RetryPolicy(attempts=9, first_s=0.5, cap_s=3.0)
    assert [policy.wait_s(attempt, lambda low, high: high) for attempt in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert policy.wait_s(3, lambda low, high: low) == 0.0
