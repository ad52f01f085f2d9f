"""Histories in memory: each series is loaded once, then only its new bars are asked for.

Final bars never change and are added at the end, so that a series is known by its first bar and its last one. Should a producer ever break that, a
reload after some minutes heals it.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from services.analysis.domain import History
from services.analysis.ports import BarSource
from services.runtime.clock import Clock

#: Series are read anew after this long, whatever is known of them.
_RELOAD_NS = 600 * 10**9
_FLOATS = ("open", "high", "low", "close", "volume")

SeriesName = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """A history and what tells it from every other."""

    history: History
    digest: str
    """Hash of all its bars, 32 hex digits; the same however it was put together."""


@dataclass(slots=True)
class _Kept:
    origin_ns: int
    known: Known
    hasher: "hashlib.blake2b"
    loaded_ns: int


@dataclass(slots=True)
class _Lock:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class HistoryBook:
    """Histories by symbol and interval; those that were not used for longest are forgotten first.

    limit: bars kept over all series; each takes 64 bytes.
    """

    def __init__(self, source: BarSource, clock: Clock, limit: int) -> None:
        self._source, self._clock, self._limit = source, clock, limit
        self._kept: OrderedDict[SeriesName, _Kept] = OrderedDict()
        self._locks: dict[SeriesName, _Lock] = {}
        self._bars = 0

    async def load(self, symbol: str, interval_s: int) -> Known:
        """All bars of a series up to now. Raises NotFound, Unavailable. Those who ask for one series at the same time wait for each other."""
        name = (symbol, interval_s)
        entry = self._locks.setdefault(name, _Lock())
        entry.users += 1
        try:
            async with entry.lock:
                return (await self._load(name)).known
        finally:
            entry.users -= 1
            if not entry.users:
                del self._locks[name]

    async def _load(self, name: SeriesName) -> _Kept:
        kept = self._kept.get(name)
        fresh = None
        if kept is not None and self._clock.monotonic_ns() - kept.loaded_ns < _RELOAD_NS:
            fresh = await self._extended(name, kept)
        if fresh is None:
            history, origin_ns = await self._source.bars(*name, None)
            hasher = hashlib.blake2b(_bytes_of(history), digest_size=16)
            fresh = _Kept(origin_ns, Known(history, hasher.hexdigest()), hasher, self._clock.monotonic_ns())
        self._keep(name, fresh)
        return fresh

    async def _extended(self, name: SeriesName, kept: _Kept) -> _Kept | None:
        """With the bars that came since; None when it no longer is the series that we know."""
        old = kept.known.history
        new, origin_ns = await self._source.bars(*name, int(old.ts_open[-1]))
        if origin_ns != kept.origin_ns or not len(new) or _bytes_of(_cut(new, 0, 1)) != _bytes_of(_cut(old, -1, len(old))):
            return None
        if len(new) == 1:
            return kept
        added = _cut(new, 1, len(new))
        hasher = kept.hasher.copy()
        hasher.update(_bytes_of(added))
        history = History(*(np.concatenate((getattr(old, column), getattr(added, column))) for column in History.__slots__))
        return _Kept(origin_ns, Known(history, hasher.hexdigest()), hasher, kept.loaded_ns)

    def _keep(self, name: SeriesName, fresh: _Kept) -> None:
        before = self._kept.pop(name, None)
        self._bars += len(fresh.known.history) - (len(before.known.history) if before else 0)
        self._kept[name] = fresh
        while self._bars > self._limit and len(self._kept) > 1:
            _, forgotten = self._kept.popitem(last=False)
            self._bars -= len(forgotten.known.history)


def _cut(history: History, start: int, stop: int) -> History:
    return History(*(getattr(history, column)[start:stop] for column in History.__slots__))


def _bytes_of(history: History) -> bytes:
    """Row by row, so that the hash of two parts is that of the whole."""
    rows = np.empty((len(history), len(History.__slots__)), np.int64)
    for at, column in enumerate(History.__slots__):
        values = getattr(history, column)
        rows[:, at] = values.view(np.int64) if column in _FLOATS else values
    return rows.tobytes()
