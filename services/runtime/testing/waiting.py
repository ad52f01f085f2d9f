"""Waiting in tests for something that other threads or processes do."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(check: Callable[[], Awaitable[T]], timeout_s: float = ..., interval_s: float = ...) -> T: ...
@overload
async def eventually(check: Callable[[], T], timeout_s: float = ..., interval_s: float = ...) -> T: ...
async def eventually(check: Callable[[], Any], timeout_s: float = 20.0, interval_s: float = 0.02) -> Any:
    """Calls `check` until it returns something true, and returns that.

    While it raises AssertionError or returns something false it is called again; after `timeout_s` the last AssertionError is raised.
    """
    end = time.monotonic() + timeout_s
    while True:
        try:
            outcome = check()
            value = await outcome if inspect.isawaitable(outcome) else outcome
            if value:
                return value
            problem = AssertionError(f"not true within {timeout_s:g} s, the last value was {value!r}")
        except AssertionError as error:
            problem = error
        if time.monotonic() > end:
            raise problem
        await asyncio.sleep(interval_s)
