"""Ticks at the door: each row is judged by itself, and fixed point is exact."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.prices.admission import MAX_AHEAD_NS, Reason, SentTicks, SymbolTable, admit, to_fixed
from services.runtime.timestamps import MAX_TIME_NS

NOW = 1_767_571_200 * 10**9


def ticks(*rows: tuple[str, int, float, float, int]) -> SentTicks:
    symbol, ts_event, price, size, seq = ([row[at] for row in rows] for at in range(5))
    names = sorted({str(item) for item in symbol})
    index = np.array([names.index(str(item)) for item in symbol])
    return SentTicks(names, index, np.array(ts_event), np.array(price, float), np.array(size, float), np.array(seq))


def exact(value: float, digits: int) -> int | None:
    """The plain way: by the shortest decimal that means the float."""
    if not (np.isfinite(value) and value > 0):
        return None
    scaled = Decimal(repr(value)).scaleb(digits)
    return int(scaled) if scaled == scaled.to_integral_value() and scaled < 2**63 else None


decimals = st.decimals(min_value=0, max_value=10**13, allow_nan=False, places=6).map(float)
floats = st.one_of(st.floats(), decimals, st.integers(-5, 10**18).map(float), st.sampled_from([0.1 + 0.2, 1.005, 2.0**51, 2.0**53 + 2, 9.3e18, 1e300]))


@given(st.lists(st.tuples(floats, st.integers(0, 9)), min_size=1, max_size=20))
def test_fixed_point_is_what_the_decimal_says(rows: list[tuple[float, int]]) -> None:
    values, digits = np.array([value for value, _ in rows]), np.array([digit for _, digit in rows])
    fixed, fine = to_fixed(values, digits)
    expected = [exact(value, digit) for value, digit in rows]
    assert fine.tolist() == [value is not None for value in expected]
    assert fixed.tolist() == [value or 0 for value in expected]


@given(st.integers(1, 2**51), st.integers(0, 9))
def test_every_decimal_with_few_digits_is_taken(number: int, digits: int) -> None:
    fixed, fine = to_fixed(np.array([number / 10**digits]), np.array([digits]))
    assert (fixed[0], fine[0]) == (number, True)


def test_good_ticks_are_taken_as_they_are() -> None:
    table = SymbolTable(4)
    taken, rejections = admit(ticks(("ES.XCME", NOW, 1640.25, 3, 7), ("TEST.XSIM", NOW - 1, 100.01, 1, 0)), table, NOW, replay=False)
    assert rejections == []
    assert [table.instruments[number].symbol for number in taken.instrument] == ["ES.XCME", "TEST.XSIM"]
    assert (taken.price.tolist(), taken.size.tolist(), taken.seq.tolist()) == ([164025, 10001], [3, 1], [7, 0])
    assert taken.ts_event.tolist() == [NOW, NOW - 1]


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (("es", NOW, 1.0, 1.0, 1), Reason.BAD_SYMBOL, "was 'es'"),
        (("", NOW, 1.0, 1.0, 1), Reason.BAD_SYMBOL, "was ''"),
        (("A" * 40 + ".XNAS", NOW, 1.0, 1.0, 1), Reason.BAD_SYMBOL, "at most 32 characters"),
        (("ES.XCME", NOW, 0.0, 1.0, 1), Reason.BAD_PRICE, "price: expected a finite number > 0 with at most 2 digits, was 0.0"),
        (("ES.XCME", NOW, -1.0, 1.0, 1), Reason.BAD_PRICE, "was -1.0"),
        (("ES.XCME", NOW, float("nan"), 1.0, 1), Reason.BAD_PRICE, "was nan"),
        (("ES.XCME", NOW, float("inf"), 1.0, 1), Reason.BAD_PRICE, "was inf"),
        (("ES.XCME", NOW, 1.255, 1.0, 1), Reason.BAD_PRICE, "was 1.255"),
        (("ES.XCME", NOW, 1e30, 1.0, 1), Reason.BAD_PRICE, "was 1e+30"),
        (("ES.XCME", NOW, 1.0, 0.0, 1), Reason.BAD_SIZE, "size: expected a finite number > 0 with at most 0 digits, was 0.0"),
        (("ES.XCME", NOW, 1.0, 1.5, 1), Reason.BAD_SIZE, "was 1.5"),
        (("ES.XCME", -1, 1.0, 1.0, 1), Reason.BAD_TIME, "missing"),
        (("ES.XCME", MAX_TIME_NS, 1.0, 1.0, 1), Reason.BAD_TIME, str(MAX_TIME_NS)),
        (("ES.XCME", NOW + MAX_AHEAD_NS + 1, 1.0, 1.0, 1), Reason.FUTURE, "was 5.000 s ahead"),
        (("ES.XCME", NOW, 1.0, 1.0, -1), Reason.BAD_SEQ, "seq: expected > 0 or absent"),
        (("ES.XCME", -1, 0.0, 0.0, -1), Reason.BAD_PRICE, "price"),
    ],
)
def test_a_wrong_tick_is_named_and_costs_no_other(row: tuple[str, int, float, float, int], reason: Reason, detail: str) -> None:
    good = ("ES.XCME", NOW, 1640.25, 3.0, 5)
    taken, rejections = admit(ticks(good, row, good), SymbolTable(4), NOW, replay=False)
    assert taken.price.tolist() == [164025, 164025]
    (rejection,) = rejections
    assert (rejection.index, rejection.reason, rejection.symbol) == (1, reason, row[0][:64])
    assert detail in rejection.detail


def test_the_clock_may_be_off_by_five_seconds_and_a_replay_by_anything() -> None:
    edge, beyond = ("ES.XCME", NOW + MAX_AHEAD_NS, 1.0, 1.0, 1), ("ES.XCME", NOW + 10**18, 1.0, 1.0, 1)
    assert admit(ticks(edge), SymbolTable(4), NOW, replay=False)[1] == []
    assert admit(ticks(beyond), SymbolTable(4), NOW, replay=True)[1] == []


def test_only_wrong_symbols_leave_nothing_behind() -> None:
    table = SymbolTable(4)
    taken, rejections = admit(ticks(*[(f"bad{n}", NOW, 1.0, 1.0, 1) for n in range(9)]), table, NOW, replay=False)
    assert (len(taken), len(rejections), len(table)) == (0, 9, 0)
