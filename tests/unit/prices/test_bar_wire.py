"""Bars as the engine has them into records: compiled or not, the bytes are those of the columns."""

from __future__ import annotations

import numpy as np
import pytest

from services.prices import bar_wire
from services.prices.bar_wire import BarWriter
from services.prices.bars import BarEngine
from services.prices.engine import output
from services.prices.sessions import SessionTable
from services.prices.stream import warm_up
from services.prices.worker_metrics import TICKS
from services.runtime.columns import INTERVALS, TickColumns, encode_bars
from tests.unit.engine_digest import batches


def closed_and_forming(engine: BarEngine, ticks: TickColumns, writer: BarWriter) -> list[tuple[list[bytes], list[bytes], list[int]]]:
    """For final and forming bars: as written, as encode_bars writes the columns, and how many there are by interval."""
    found = []
    for live, bars in ((False, engine.take(ticks).closed), (True, engine.form())):
        if len(bars):
            # Copied: the engine's rows are good until it is used again, and laying them out twice must not matter.
            values, by_interval = writer.write(bars, live=live)
            columns = engine.columns(bars, live=live)
            assert columns is not None
            assert by_interval == [int((columns.interval == interval).sum()) for interval in INTERVALS]
            found.append((values, [encode_bars(columns)], by_interval))
    return found


def test_the_bytes_are_those_of_the_columns() -> None:
    engine = BarEngine(SessionTable.utc_only(), 2_000_000_000)
    writer = BarWriter(engine)
    found = [each for ticks in batches(3000, 100) for each in closed_and_forming(engine, ticks, writer)]
    assert len(found) > 40
    assert all(values == expected for values, expected, _ in found)
    assert np.sum([counts for _, _, counts in found], axis=0).all()


def test_the_plain_way_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for plain in (False, True):
        monkeypatch.setattr(bar_wire, "PLAIN", plain)
        engine = BarEngine(SessionTable.utc_only(), 2_000_000_000)
        writer = BarWriter(engine)
        written.append([values for ticks in batches(1000, 100) for values, _, _ in closed_and_forming(engine, ticks, writer)])
    assert written[0] == written[1]


def test_warming_up_compiles_once_and_counts_nothing() -> None:
    before = TICKS._value.get()
    warm_up()
    engine = BarEngine(SessionTable.utc_only(), 0)
    closed_and_forming(engine, batches(1000, 1000)[0], BarWriter(engine))
    assert len(output._lay_out.signatures) == 1, "a worker would compile in the middle of a record"
    assert TICKS._value.get() == before
