"""Runs a process of the product with a note of the time at each stage of a tick's way: `python -m tests.bench.staged FOLDER MODULE`.

The product itself knows nothing of it: methods are wrapped before its main is called. What was noted is written to FOLDER/MODULE.npz at the end.
"""

from __future__ import annotations

import functools
import gc
import runpy
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from services.runtime import lifecycle

Note = Callable[..., None]

#: Rows of integers by the name of the stage; each ends with the thread's CPU time and the times of its begin and its end, UTC nanoseconds.
_notes: dict[str, list[tuple[int, ...]]] = defaultdict(list)


def _around(owner: Any, name: str, stage: str, about: Callable[..., tuple[int, ...]] = lambda *_: ()) -> None:
    """Notes each call of a method. about: what else is noted, from the call's arguments, after it."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def timed(*arguments: Any, **named: Any) -> Any:
        begin, cpu = time.time_ns(), time.thread_time_ns()
        result = inner(*arguments, **named)
        end, cpu = time.time_ns(), time.thread_time_ns() - cpu
        _notes[stage].append((*about(*arguments), cpu, begin, end))
        return result

    setattr(owner, name, timed)


def _worker() -> None:
    from services.runtime.stream import app
    from services.runtime.stream.pipeline import PartitionPipeline
    from services.runtime.stream.worker import StreamWorker
    from services.runtime.topics import LIVE_BARS

    sent: dict[int, int] = defaultdict(int)
    send = PartitionPipeline._send

    def counted(self: Any, output: Any, **named: Any) -> None:
        sent[self.partition] += output.topic == LIVE_BARS.name
        send(self, output, **named)

    PartitionPipeline._send = counted  # type: ignore[method-assign]
    bundles = app.bundles

    def noted(records: Any) -> Any:
        now = time.time_ns()
        records = list(records)
        _notes["fetched"] += [(record.partition, record.offset, record.timestamp, now, now) for record in records]
        return bundles(records)

    app.bundles = noted
    _around(PartitionPipeline, "handle", "handled", lambda _self, record, _event: (record.partition, record.offset))
    _around(PartitionPipeline, "live", "live", lambda self, _now: (self.partition, self.position, sent[self.partition]))
    _around(PartitionPipeline, "_snapshot", "snapshot", lambda self: (self.partition,))
    _around(StreamWorker, "_live", "pass")


def _gateway() -> None:
    from gateway.hub.handover import Handover
    from gateway.hub.hub import Hub
    from gateway.hub.intake import Intake
    from gateway.hub.source import Source
    from services.runtime.topics import BARS, LIVE_BARS

    def first_live(_self: Any, records: Any) -> tuple[int, ...]:
        live = [record for record in records if record.topic == LIVE_BARS.name]
        _notes["got"] += [(record.partition, record.offset, time.time_ns()) for record in live]
        _notes["got_final"] += [(record.partition, record.offset, record.timestamp_ms, time.time_ns()) for record in records if record.topic == BARS.name]
        return (len(live), len(records))

    _around(Source, "_on_records", "decoded", first_live)
    _around(Handover, "put", "put")
    _around(Intake, "_take_live_bars", "taken", lambda _self, table: (len(table.ints),))
    _around(Intake, "_take_ticks", "ticks", lambda _self, table: (len(table.ints),))
    _around(Intake, "_take_bars", "bars")
    _around(Intake, "_take_indicators", "indicators")
    _around(Handover, "_drain", "drain")
    _around(Hub, "flush", "flushed")


def _collector() -> None:
    begun = [0]

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            begun[0] = time.time_ns()
        else:
            _notes["gc"].append((info["generation"], 0, begun[0], time.time_ns()))

    gc.callbacks.append(note)


def _save(path: Path) -> tuple[int, ...]:
    arrays: dict[str, Any] = {name: np.array(rows, np.int64) for name, rows in _notes.items()}
    np.savez(path, **arrays)
    return ()


def main(folder: str, module: str) -> None:
    """As the module says, with notes."""
    (_gateway if module == "gateway" else _worker)()
    _collector()
    # The last that a process calls before it ends without Python's own end.
    _around(lifecycle, "end_tracing", "end", lambda: _save(Path(folder) / f"{module}.npz"))
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
