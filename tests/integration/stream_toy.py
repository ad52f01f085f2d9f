"""A stream worker for tests: running sums by key. Run as a process by the tests, which kill, stop and starve it.

Each input record is `KEY AMOUNT` rows; each output record holds the sums after it, one row a key: `key count sum`, identity (key, count).
"""

from __future__ import annotations

import os
import sys

import numpy as np
from pydantic import Field

from services.runtime.errors import BadRecord
from services.runtime.lifecycle import Lifecycle, run
from services.runtime.settings import load_settings
from services.runtime.stream.records import InputRecord, Output, derived_headers
from services.runtime.stream.settings import StreamWorkerSettings
from services.runtime.stream.state import Frozen, pack_state, unpack_state
from services.runtime.stream.worker import run_worker
from services.runtime.topics import Layout, Topic
from tests.chaos.wrapped import kill_in_checkpoint, lose_first_fetch

KEYS = 16
#: A state of several chunks.
_BALLAST = np.arange(100_000, dtype=np.int64)


def topics(prefix: str) -> tuple[Topic, Topic, Topic]:
    """Input, output and checkpoint topic of one test."""
    return (
        Topic(f"{prefix}.in", "", "test", "", Layout.BATCH),
        Topic(f"{prefix}.out", "", "test", "", Layout.BATCH),
        Topic(f"{prefix}.checkpoints", "", "test", "", Layout.KEYED, key="x"),
    )


def parse(value: bytes) -> list[tuple[int, int]]:
    """Rows of an input record. Raises BadRecord."""
    try:
        rows = [(int(key), int(amount)) for key, amount in (line.split() for line in value.decode().splitlines())]
    except ValueError as error:
        raise BadRecord(f"expected rows of two numbers: {error}") from error
    return rows


class ToySettings(StreamWorkerSettings):
    """Settings of the toy worker."""

    app: str = Field("toy", validation_alias="TOY_APP")
    metrics_port: int = Field(0, validation_alias="TOY_METRICS_PORT")


class RunningSums:
    """The toy processor."""

    state_version = 1

    def __init__(self, out: str, partition: int) -> None:
        self._out = out
        self._partition = partition
        self._sums = np.zeros(KEYS, np.int64)
        self._counts = np.zeros(KEYS, np.int64)

    def restore(self, state: bytes) -> None:
        arrays, _ = unpack_state(state)
        self._sums, self._counts = arrays["sums"], arrays["counts"]

    def begin_behind_cut(self, end: int) -> None:
        pass

    def freeze(self) -> Frozen:
        arrays = {"sums": self._sums.copy(), "counts": self._counts.copy(), "ballast": _BALLAST}
        return Frozen(_BALLAST.nbytes, lambda: pack_state(arrays, {"partition": self._partition}))

    def process(self, record: InputRecord) -> list[Output]:
        if record.value == b"explode":
            raise RuntimeError("told to")
        lines = []
        for key, amount in parse(record.value):
            self._sums[key] += amount
            self._counts[key] += 1
            lines.append(f"{key} {self._counts[key]} {self._sums[key]}")
        return [Output(self._out, self._partition, None, "\n".join(lines).encode(), derived_headers(record, "signalbox.test.Sums"))]

    def live(self, now_ns: int) -> list[Output]:
        return []


def main(prefix: str) -> None:
    """The worker of the topics that begin with `prefix`."""
    kill_in_checkpoint(os.environ.get("CHAOS_KILL", ""))
    if os.environ.get("CHAOS_LOSE"):
        lose_first_fetch()
    source, out, checkpoints = topics(prefix)
    settings = load_settings(ToySettings)

    async def work(lifecycle: Lifecycle) -> None:
        await run_worker(settings, source, checkpoints, lambda partition: RunningSums(out.name, partition), lifecycle)

    run("toy", settings, work)


if __name__ == "__main__":
    main(sys.argv[1])
