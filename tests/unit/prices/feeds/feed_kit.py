"""What the tests of feeds share: virtual time, small files of trades, steps collected."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import numpy as np

from services.prices.feeds.es_file import LIVE_FROM, EsTrades
from services.prices.feeds.ports import NS, Step
from services.runtime.columns import TickColumns, decode_ticks
from services.runtime.testing.clock import ManualClock
from services.runtime.testing.kafka import MemoryPublisher
from services.runtime.topics import TICKS

LIVE_FROM_NS = round(LIVE_FROM.timestamp()) * NS


class VirtualClock(ManualClock):
    """Sleeping takes no time, but the clock shows that it did."""

    async def sleep(self, seconds: float) -> None:
        """Moves the clock and gives others their turn."""
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)


def es_trades(offsets_s: Sequence[float]) -> EsTrades:
    """Trades so many seconds after the replay's beginning; those below zero are history."""
    n = len(offsets_s)
    ts = np.array([LIVE_FROM_NS + round(offset * NS) for offset in offsets_s], np.int64)
    return EsTrades(ts, np.arange(164_000, 164_000 + n, dtype=np.int64), np.arange(1, n + 1, dtype=np.int64))


async def collect(steps: AsyncGenerator[Step, None], *, rows: int) -> list[Step]:
    """Steps until they hold so many rows in all, or end."""
    found: list[Step] = []
    seen = 0
    async with aclosing(steps):
        async for step in steps:
            found.append(step)
            seen += len(step.rows) if step.rows is not None else 0
            if seen >= rows:
                break
    return found


def sent_rows(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """(seq, event time) of all rows, in order."""
    return [(int(seq), int(ts)) for step in steps if step.rows is not None for seq, ts in zip(step.rows.seq, step.rows.ts_event, strict=True)]


def ticks_of(publisher: MemoryPublisher) -> list[tuple[int, TickColumns]]:
    """(partition, columns) of all tick records, in order."""
    return [(record.partition, decode_ticks(record.value)) for record in publisher.of(TICKS.name)]


def write(path: Path, text: str) -> Path:
    """A text file."""
    path.write_text(text)
    return path
