"""Forming bars of one record on their way to those who want all of an interval: in one piece, encoded once and at once."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.hub import bar_kernels as kernels
from gateway.hub.history import IntBlock
from gateway.hub.rows import BarRow
from gateway.hub.series import INTERVAL_NAMES, Group, SeriesKey
from gateway.hub.updates import Update

#: Tables of symbols whose JSON is kept: with much traffic each record of a partition names the same symbols.
_TABLES = 256
_TRACES = 64

Octets = NDArray[np.uint8]


class FormingRows:
    """Rows of one channel and interval, shared by all connections.

    symbols: those named. symbol: index of each row. ints: columns as in BarRow. traceparent: of the record.
    """

    def __init__(self, group: Group, symbols: tuple[str, ...], symbol: NDArray[np.int64], ints: IntBlock, traceparent: str | None) -> None:
        self.group, self.symbols, self.symbol, self.ints, self.traceparent = group, symbols, symbol, ints, traceparent

    def __len__(self) -> int:
        return len(self.ints)

    @cached_property
    def updates(self) -> list[Update]:
        """The rows one by one."""
        keys = [SeriesKey(self.group.channel, symbol, self.group.interval) for symbol in self.symbols]
        rows = zip(self.symbol.tolist(), self.ints.tolist(), strict=True)
        return [Update(keys[number], BarRow._make(values), self.traceparent) for number, values in rows]

    def take(self, rows: NDArray[np.bool_]) -> FormingRows:
        """Some of the rows."""
        return self if rows.all() else FormingRows(self.group, self.symbols, self.symbol[rows], self.ints[rows], self.traceparent)

    def without(self, symbol: str) -> FormingRows:
        """Those of the other symbols."""
        return self.take(self.symbol != self.symbols.index(symbol)) if symbol in self.symbols else self

    def json(self, seq: int) -> bytes:
        """All of them as messages with a comma between two; seq: of the first. There is at least one row."""
        tails, ends = self._tails
        out = _room(len(tails) + len(ends) * kernels.MOST_PREFIX)
        return out[: kernels.splice(tails, ends, seq, out)].tobytes()

    @cached_property
    def _tails(self) -> tuple[Octets, NDArray[np.int64]]:
        head, middle, end = _around(self.group, self.traceparent)
        symbols, places = _as_json(self.symbols)
        places = places[self.symbol]
        given = len(head) + len(middle) + len(end) + kernels.MOST_ROW
        out, ends = _room(len(places) * given + int(np.add.reduce(places[:, 1] - places[:, 0]))), np.empty(len(places), np.int64)
        kernels.write_tails(self.ints, head, symbols, places, middle, end, out, ends)
        return out[: int(ends[-1])].copy(), ends


def _room(size: int) -> Octets:
    """Where to write before it is known how much: always the same, for a new one of this size would come from the kernel, page by page."""
    if size > len(_scratch[0]):
        _scratch[0] = np.empty(2 * size, np.uint8)
    return _scratch[0]


_scratch = [np.empty(1 << 18, np.uint8)]


@lru_cache(_TRACES)
def _around(group: Group, traceparent: str | None) -> tuple[Octets, Octets, Octets]:
    trace = f',"tp":{orjson.dumps(traceparent).decode()}}}' if traceparent else "}"
    return _octets('"T":"live_bar","S":'), _octets(f',"i":"{INTERVAL_NAMES[group.interval]}","t":'), _octets(trace)


def _octets(text: str) -> Octets:
    return np.frombuffer(text.encode(), np.uint8)


@lru_cache(_TABLES)
def _as_json(symbols: tuple[str, ...]) -> tuple[Octets, NDArray[np.int64]]:
    """The symbols as JSON, one after the other; begin and end of each."""
    texts = [orjson.dumps(symbol) for symbol in symbols]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    begins = ends - np.array([len(text) for text in texts], np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), np.stack([begins, ends], axis=1)
