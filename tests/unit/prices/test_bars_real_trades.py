"""Half a million real trades through the engine equal pandas' bars, to vwap's last digit."""

from __future__ import annotations

import numpy as np
import pytest

from services.prices.bars import BarEngine
from services.prices.sessions import SessionTable
from tests import es_trades
from tests.unit.prices.bar_inputs import final_bars


@pytest.fixture(scope="module")
def sessions() -> SessionTable:
    """The two sessions of CME that the trades touch, as exchange_calendars has them (see test_sessions.py)."""
    opens, closes = (np.array([np.datetime64(pair[end], "ns").astype(np.int64) for pair in es_trades.SESSIONS]) for end in (0, 1))
    return SessionTable({"CMES": 0}, np.array([0, 2]), opens, closes, np.array([15950, 15951]))


@pytest.mark.parametrize("size", [511, 8192, 500_000])
def test_real_trades_equal_pandas(sessions: SessionTable, size: int) -> None:
    bars = final_bars(BarEngine(sessions, 2_000_000_000), es_trades.batches(es_trades.trades(), size))
    assert len(bars) == len(es_trades.expected_bars())
    assert bars == es_trades.expected_bars()


def test_real_trades_in_another_order_equal_pandas(sessions: SessionTable) -> None:
    """Each trade comes up to the lateness bound later than it should, at random."""
    rows = es_trades.trades()
    delay = np.random.default_rng(20130903).integers(0, 2_000_000_000, len(rows))
    shuffled = rows.iloc[np.argsort(rows["ts"].to_numpy() + delay, kind="stable")]
    bars = final_bars(BarEngine(sessions, 2_000_000_000), es_trades.batches(shuffled, 4096))
    assert bars == es_trades.expected_bars()
