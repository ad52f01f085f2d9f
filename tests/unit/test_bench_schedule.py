"""The bench's sender: what it encodes beforehand is the schedule, whole and in order, and nothing is sent before it is due."""

from __future__ import annotations

import numpy as np
import pytest

from services.runtime.columns import decode_ticks
from services.runtime.partitions import partition_of
from tests.bench.schedule import FLUSH_S, Schedule, batches

START_NS = 1_790_000_000 * 10**9


@pytest.mark.parametrize(("rate", "turn_s"), [(2_000, FLUSH_S), (100_000, 2 * FLUSH_S)])
def test_batches_are_the_schedule(rate: int, turn_s: float) -> None:
    schedule, partitions = Schedule(rate, 0.1, 20, 7, START_NS), 2
    records = batches(schedule, partitions)
    seen = []
    for record in records:
        ticks = decode_ticks(record.value)
        assert {partition_of(ref.symbol, partitions) for ref in ticks.instruments} == {record.partition}
        assert record.at_ns >= int(ticks.ts_recv.max())
        assert record.at_ns - int(ticks.ts_recv.min()) < turn_s * 1e9
        assert bool((np.diff(ticks.seq) > 0).all())
        seen += ticks.seq.tolist()
    assert sorted(seen) == list(range(1, schedule.count + 1))
    assert [record.at_ns for record in records] == sorted(record.at_ns for record in records)
