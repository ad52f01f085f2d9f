"""A coroutine that was begun by hand goes on as if it had been awaited from the start."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from services.runtime.begun import Begun


def begun(coroutine: Coroutine[Any, Any, Any]) -> Begun[Any]:
    return Begun(coroutine, coroutine.send(None))


async def test_the_rest_runs_through_every_wait_and_gives_the_result() -> None:
    async def work() -> list[int]:
        seen = []
        for turn in range(3):
            await asyncio.sleep(0)
            seen.append(turn)
        return seen

    assert await begun(work()) == [0, 1, 2]


async def test_it_waits_for_a_future_that_is_set_later() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        return await future + "!"

    rest = begun(work())
    asyncio.get_running_loop().call_soon(future.set_result, "done")
    assert await rest == "done!"


async def test_an_error_of_what_it_waits_for_can_be_handled_inside() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            return await future
        except ValueError as error:
            await asyncio.sleep(0)
            return f"handled {error}"

    rest = begun(work())
    future.set_exception(ValueError("bad"))
    assert await rest == "handled bad"


async def test_an_error_comes_out() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await begun(work())


async def test_a_cancelled_task_cancels_the_rest_and_what_it_waits_for() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cleaned = []

    async def work() -> None:
        try:
            await future
        finally:
            cleaned.append(future.cancelled())

    async def call() -> None:
        await begun(work())

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]


async def test_a_limit_around_the_rest_ends_it() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await begun(work())
