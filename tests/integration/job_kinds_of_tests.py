"""Kinds of jobs for tests: each job says in a file of the test's own that it has begun and ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.jobs import JobContext, JobHandler, JobKind, Priority
from services.runtime.retries import RetryPolicy

_MIB = 1 << 20
_SOON = RetryPolicy(attempts=3, first_s=0.05, cap_s=0.2)


def _kind(name: str, *, is_heavy: bool = False, attempt_limit_s: float = 60.0, keep_s: float = 600.0, max_waiting: int = 10_000) -> JobKind:
    return JobKind(
        name=name,
        service="test",
        request=Struct,
        result=Struct,
        description="A job of the tests.",
        attempt_limit_s=attempt_limit_s,
        memory_limit_bytes=300 * _MIB,
        retry=_SOON,
        is_heavy=is_heavy,
        keep_s=keep_s,
        max_waiting=max_waiting,
    )


LIGHT = _kind("test.light")
HEAVY = _kind("test.heavy", is_heavy=True)
BRIEF = _kind("test.brief", attempt_limit_s=0.3, keep_s=1.0)
BRIEF_HEAVY = _kind("test.brief-heavy", is_heavy=True, attempt_limit_s=0.5)
SCARCE = _kind("test.scarce", max_waiting=3)
KINDS = {kind.name: kind for kind in (LIGHT, HEAVY, BRIEF, BRIEF_HEAVY, SCARCE)}


def request(**wishes: object) -> Struct:
    """What a job shall do: `log` a path, `seconds`, `steps`, `fail` a word, `until` an attempt, `memory` in MiB, `stubborn`."""
    message = Struct()
    message.update(cast(Any, wishes))
    return message


def _note(context: JobContext, path: str, what: str) -> None:
    if path:
        line = json.dumps({"id": context.job.id, "attempt": context.job.attempt, "what": what, "t": time.time(), "pid": os.getpid()}) + "\n"
        # One write of a short line to a file opened for appending is whole, whoever else writes.
        descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def notes(path: Path) -> list[dict[str, object]]:
    """What the jobs have said, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _fail(word: str) -> None:
    if word == "unavailable":
        raise Unavailable("a test's source", "asked to")
    if word == "invalid":
        raise InvalidArgument("symbol", "?", "a symbol")
    if word == "strange":
        raise ZeroDivisionError("strange")
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "kill-worker":
        os.kill(os.getppid(), signal.SIGKILL)


def _answer(context: JobContext, request: Struct) -> Struct:
    answer = Struct()
    answer.update({"attempt": context.job.attempt, "name": str(dict(request).get("name", ""))})
    return answer


async def light(message: Message, context: JobContext) -> Message:
    """Does what the request asks for, on the loop."""
    assert isinstance(message, Struct)
    wishes: dict[str, Any] = dict(message)
    path = str(wishes.get("log", ""))
    _note(context, path, "start")
    if context.job.attempt < float(wishes.get("until", 1e9)):
        _fail(str(wishes.get("fail", "")))
    steps = int(wishes.get("steps", 1))
    for step in range(steps):
        await _pause(float(wishes.get("seconds", 0.0)) / steps, stubborn=bool(wishes.get("stubborn")))
        context.progress(step + 1, steps, "steps", f"step {step + 1}")
    _note(context, path, "end")
    return _answer(context, message)


async def _pause(seconds: float, *, stubborn: bool) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            if not stubborn:
                raise


def heavy(message: Message, context: JobContext) -> Message:
    """Does what the request asks for, and computes meanwhile."""
    assert isinstance(message, Struct)
    wishes: dict[str, Any] = dict(message)
    path = str(wishes.get("log", ""))
    _note(context, path, "start")
    if context.job.attempt < float(wishes.get("until", 1e9)):
        _fail(str(wishes.get("fail", "")))
    ballast = bytearray(b"x") * (int(wishes.get("memory", 0)) * _MIB)
    steps = int(wishes.get("steps", 1))
    for step in range(steps):
        end = time.monotonic() + float(wishes.get("seconds", 0.0)) / steps
        while time.monotonic() < end:
            if context.cancelled and not wishes.get("stubborn"):
                raise InterruptedError("asked to end")
        context.progress(step + 1, steps, "steps", f"step {step + 1} of {len(ballast)}")
    _note(context, path, "end")
    return _answer(context, message)


HANDLERS = [JobHandler(kind, heavy if kind.is_heavy else light, (Unavailable,)) for kind in KINDS.values()]
HIGH, LOW = Priority.HIGH, Priority.LOW
