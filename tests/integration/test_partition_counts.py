"""The same trades through the real chain with 1, 2 and 4 partitions, in other orders and other batches each time: the same rows, byte for byte.

And the right ones: bars are the oracle's, indicators and signals those of a textbook.
"""

from __future__ import annotations

from pathlib import Path

from tests.chaos.chain import KINDS, Chain, seed_of
from tests.chaos.rows import Rows
from tests.integration.textbook import check_by_textbook
from tests.oracle import Row


def test_partitions_order_and_batches_change_no_row(tmp_path: Path) -> None:
    seed = seed_of()
    (first, sent), *others = [_rows(tmp_path / str(partitions), seed, partitions) for partitions in (1, 2, 4)]
    assert len(first) > 5000
    assert {identity[0] for identity in first} == {"market.bars.v1", "analysis.indicators.v1", "analysis.signals.v1"}
    assert all(other == first for other, _ in others)
    checked = check_by_textbook(first, sent)
    assert len(checked.signals) > 100
    assert checked.undecided < len(checked.indicators) / 10


def _rows(home: Path, seed: int, partitions: int) -> tuple[Rows, list[Row]]:
    """What came out and what went in."""
    with Chain(home, seed, partitions=partitions, rows=40, steps=60, cuts=partitions) as chain:
        for kind in KINDS:
            chain.start(kind)
        verdict = chain.settle()
        assert verdict.repeats == 0
        return chain.observer.seen.rows, list(chain.market.sent.values())
