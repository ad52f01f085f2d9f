"""The clock of the machine and the one moved by hand keep the same promises."""

import asyncio
from collections.abc import Callable

import pytest

from services.runtime.clock import Clock, SystemClock
from services.runtime.testing import ManualClock, eventually

Advance = Callable[[], object]


def system() -> tuple[Clock, Advance]:
    return SystemClock(), lambda: None


def manual() -> tuple[Clock, Advance]:
    clock = ManualClock()
    return clock, lambda: clock.advance(0.01)


@pytest.mark.parametrize("make", [system, manual])
async def test_sleepers_wake_in_order_and_not_early(make: Callable[[], tuple[Clock, Advance]]) -> None:
    clock, advance = make()
    began, woken = clock.monotonic_ns(), list[float]()

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        assert clock.monotonic_ns() - began >= seconds * 1e9
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (0.06, 0.02, 0.0, 0.04)]

    def all_done() -> bool:
        advance()
        return all(task.done() for task in tasks)

    await eventually(all_done)
    await asyncio.gather(*tasks)
    assert woken == [0.0, 0.02, 0.04, 0.06]


@pytest.mark.parametrize("make", [system, manual])
async def test_wall_and_monotonic_time_go_forward(make: Callable[[], tuple[Clock, Advance]]) -> None:
    clock, advance = make()
    wall, duration = clock.now_ns(), clock.monotonic_ns()
    advance()
    await clock.sleep(0)
    assert clock.now_ns() >= wall > 1_600_000_000 * 10**9
    assert clock.monotonic_ns() >= duration


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    assert clock.sleepers == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.sleepers == 0
    clock.advance(10)
