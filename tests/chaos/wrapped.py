"""Runs a real worker with a fault sewn in from outside: `python -m tests.chaos.wrapped services.prices.worker`.

CHAOS_KILL=step:n    SIGKILL to ourselves in the n-th checkpoint, after that step: snapshot, outputs, chunks, manifest or write.
CHAOS_PAUSE=path     Once that file exists the consumer fetches nothing any more, without any error.
CHAOS_BLOCK=path     While that file exists the processor does not come back from its record.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.runtime.stream.checkpoint import CheckpointWriter, Snapshot

#: What a checkpoint is cut into; a kill comes after one of these.
STEPS = ("snapshot", "outputs", "chunks", "manifest", "write")
_LOOK_SECONDS = 0.05


def kill_in_checkpoint(step_and_count: str) -> None:
    """SIGKILL to this process in a checkpoint. step_and_count: as in CHAOS_KILL; nothing happens when it is empty."""
    step, _, count = step_and_count.partition(":")
    if not step:
        return
    left = int(count)

    def after(original: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(self: CheckpointWriter, *args: object) -> Any:
            nonlocal left
            result = await original(self, *args)
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    async def nothing(self: CheckpointWriter, snapshot: Snapshot) -> None:
        """Before the outputs are known to be there."""

    name = {"snapshot": "wait_for_outputs", "outputs": "wait_for_outputs", "chunks": "write_chunks", "manifest": "write_manifest", "write": "write"}[step]
    setattr(CheckpointWriter, name, after(nothing if step == "snapshot" else getattr(CheckpointWriter, name)))


def _stop_fetching_once(path: Path) -> None:
    from services.runtime.stream.app import CheckpointedConsumer

    fetch = CheckpointedConsumer._wait_next_records

    async def wrapped(self: CheckpointedConsumer, timeout: float) -> Any:
        if path.exists():
            await asyncio.get_running_loop().create_future()
        return await fetch(self, timeout)

    CheckpointedConsumer._wait_next_records = wrapped  # type: ignore[method-assign]


def lose_first_fetch() -> None:
    """What Faust does in some of its states: what was fetched reaches nobody, and the next fetch begins behind it."""
    from services.runtime.stream.app import CheckpointedConsumer

    fetch = CheckpointedConsumer._wait_next_records
    lost = False

    async def wrapped(self: CheckpointedConsumer, timeout: float) -> Any:
        nonlocal lost
        records, active = await fetch(self, timeout)
        if records and not lost:
            lost, records = True, {}
        return records, active

    CheckpointedConsumer._wait_next_records = wrapped  # type: ignore[method-assign]


def _block_processing_while(path: Path) -> None:
    from services.runtime.stream.pipeline import PartitionPipeline

    handle = PartitionPipeline.handle

    def wrapped(self: PartitionPipeline, *args: Any) -> None:
        while path.exists():
            time.sleep(_LOOK_SECONDS)
        handle(self, *args)

    setattr(PartitionPipeline, "handle", wrapped)  # noqa: B010 - a seam of the test, not an assignment


def main(module: str) -> None:
    """Sews in what the environment says, then is that module."""
    kill_in_checkpoint(os.environ.get("CHAOS_KILL", ""))
    if pause := os.environ.get("CHAOS_PAUSE"):
        _stop_fetching_once(Path(pause))
    if block := os.environ.get("CHAOS_BLOCK"):
        _block_processing_while(Path(block))
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
