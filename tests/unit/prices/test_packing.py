"""Pending rows as octets: what comes back is what went in, whatever the rows are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.prices.engine.layout import NONE, PENDING, SYMBOL, Records, State
from services.prices.engine.packing import pack, pending_slots, unpack

LIMIT = 2**63
WIDE = st.one_of(st.sampled_from([-LIMIT, -1, 0, 1, 127, 128, LIMIT - 1]), st.integers(-LIMIT, LIMIT - 1))
SMALL = st.integers(0, 2**31 - 1)
_WIDE = ("ts", "recv", "price", "size", "seq", "arrival", "shift", "mark")
ROW = st.tuples(*([WIDE] * len(_WIDE)), SMALL, st.integers(0, 3))


def scattered(lists: list[list[tuple[int, ...]]], seed: int) -> State:
    """The rows of each symbol, linked, in slots here and there."""
    rows = sum(map(len, lists))
    symbols, pending = np.zeros(len(lists), SYMBOL), np.zeros(rows + 5, PENDING)
    slots = np.random.default_rng(seed).permutation(len(pending))[:rows].tolist()
    symbols["head"] = symbols["tail"] = NONE
    for number, listed in enumerate(lists):
        mine, slots = slots[: len(listed)], slots[len(listed) :]
        symbols["rows"][number] = len(mine)
        for row, slot, following in zip(listed, mine, [*mine[1:], NONE], strict=False):
            for name, value in zip((*_WIDE, "source", "kind"), row, strict=True):
                pending[name][slot] = value
            pending["symbol"][slot], pending["next"][slot] = number, following
        if mine:
            symbols["head"][number], symbols["tail"][number] = mine[0], mine[-1]
    none = np.zeros(0, SYMBOL)
    return State(symbols, none, none, none, pending, none, np.zeros(0, np.int32), none, none, none)


def packed(state: State) -> tuple[NDArray[np.uint8], Records]:
    """The octets, and the rows they are of."""
    slots = pending_slots(len(state.symbols), state)
    return pack(slots, state.symbols, state.pending), state.pending[slots]


@settings(deadline=None)  # the first run compiles
@given(st.lists(st.lists(ROW, max_size=5), max_size=40), st.integers(0, 9))
def test_every_row_comes_back_in_its_list(lists: list[list[tuple[int, ...]]], seed: int) -> None:
    state = scattered(lists, seed)
    octets, rows = packed(state)
    symbols, back = state.symbols.copy(), np.zeros(len(rows), PENDING)
    symbols["head"] = symbols["tail"] = 77
    assert unpack(octets, symbols, back) == len(octets)
    names = [name for name in PENDING.names or () if name != "next"]
    assert back[names].tolist() == rows[names].tolist()
    again = pending_slots(len(symbols), state._replace(symbols=symbols, pending=back))
    assert again.tolist() == list(range(len(rows)))
    ends = np.cumsum(symbols["rows"])
    assert [row["next"] == NONE for row in back] == [number + 1 in ends for number in range(len(rows))]


@pytest.mark.parametrize("left", [0, 1, 5, -1])
def test_octets_that_were_cut_are_noticed(left: int) -> None:
    state = scattered([[(2**62, 1, 5, 5, 5, 5, 7, 0, 1, 1)] * 3, [(1, 2, 3, 4, 5, 6, 7, 8, 9, 1)]], 1)
    octets, rows = packed(state)
    assert unpack(octets[:left].copy(), state.symbols, np.zeros(len(rows), PENDING)) == -1


def test_rows_in_their_order_take_few_octets() -> None:
    rows: list[tuple[int, ...]] = [
        (10**18 + 5_000_000 * n, 10**18 + 5_000_000 * n + 900, 100_000 + n % 3, 1 + n % 9, 1 + 500 * n, 500 * n, 0, 10**18 - n, 3, 1) for n in range(500)
    ]
    octets, _ = packed(scattered([rows] * 4, 2))
    assert len(octets) < 20 * 2_000
