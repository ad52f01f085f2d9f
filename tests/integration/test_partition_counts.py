"""The same trades through the real chain with 1, 2 and 4 partitions, in other orders and other batches each time: the same rows, byte for byte."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.chain import KINDS, Chain, seed_of
from tests.chaos.rows import Rows


def test_partitions_order_and_batches_change_no_row(tmp_path: Path) -> None:
    seed = seed_of()
    first, *others = [_rows(tmp_path / str(partitions), seed, partitions) for partitions in (1, 2, 4)]
    assert len(first) > 5000
    assert {identity[0] for identity in first} == {"market.bars.v1", "analysis.indicators.v1", "analysis.signals.v1"}
    assert all(other == first for other in others)


def _rows(home: Path, seed: int, partitions: int) -> Rows:
    with Chain(home, seed, partitions=partitions, rows=40, steps=60, cuts=partitions) as chain:
        for kind in KINDS:
            chain.start(kind)
        verdict = chain.settle()
        assert verdict.repeats == 0
        return chain.observer.seen.rows
