"""Rows of a file as normalised trades, and what is wrong with the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from services.prices.feeds.arrow_columns import BoolArray, cast_rows, fixed_point, present_rows
from services.prices.feeds.file_columns import ColumnMap
from services.prices.feeds.file_source import Chunk
from services.prices.feeds.file_times import TimeReader
from services.prices.feeds.ports import NS
from services.prices.instruments import Instrument, MalformedSymbol
from services.prices.sequencer import Int64Array, TickRows, UInt32Array

#: How far a row may lie before one already sent: the lateness bound of stream.md.
DISORDER_NS = 2 * NS


class BadRow(NamedTuple):
    """A row that cannot be used. line: in the file, from 1; raw: its bytes."""

    line: int
    why: str
    raw: bytes


@dataclass(slots=True)
class _Verdict:
    """The first thing that is wrong with each row."""

    chunk: Chunk
    code: Int64Array
    reasons: list[Callable[[int], str]] = field(default_factory=list)

    def reject(self, rows: BoolArray, reason: Callable[[int], str]) -> None:
        self.reasons.append(reason)
        self.code[rows & (self.code == 0)] = len(self.reasons)

    @property
    def good(self) -> BoolArray:
        good: BoolArray = self.code == 0
        return good

    def bad_rows(self) -> list[BadRow]:
        rows = np.flatnonzero(self.code > 0)
        found = [BadRow(int(self.chunk.lines[row]), self.reasons[self.code[row] - 1](int(row)), self.chunk.raw(int(row))) for row in rows]
        return sorted(found + [BadRow(*row) for row in self.chunk.broken])


class RowReader:
    """Turns chunks of a file into rows, one chunk after the other.

    symbol: of all rows; None = the file has a column of symbols. instruments: digits by symbol; raises MalformedSymbol.
    say: takes a sentence for the user.
    """

    def __init__(
        self,
        columns: ColumnMap,
        symbol: str | None,
        instruments: Callable[[str], Instrument],
        times: TimeReader,
        say: Callable[[str], None],
    ) -> None:
        self._map, self._instruments, self._times, self._say = columns, instruments, times, say
        self._fixed_symbol = symbol is not None
        self._symbols: dict[str, int] = {symbol: 0} if symbol else {}
        self._digits: list[Instrument] = [instruments(symbol)] if symbol else []
        self._only: str | None = None
        self._seq = columns.seq
        self._first = True
        self._latest = 0

    @property
    def wanted(self) -> list[int]:
        """Positions of the columns that `read` expects in a chunk, in this order."""
        return [place for place in (self._map.ts, self._map.price, self._map.size, self._map.symbol, self._map.seq) if place is not None]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols seen so far."""
        return tuple(self._symbols)

    def read(self, chunk: Chunk, shift: Callable[[TickRows], int], floors: Mapping[str, int]) -> tuple[TickRows, list[BadRow]]:
        """The usable rows, moved by `shift(rows)`, and the others with their reasons.

        floors: by symbol the event time below which bars are final already. Raises NoTimes on the first chunk.
        """
        columns = dict(zip(self.wanted, chunk.columns, strict=True))
        verdict = _Verdict(chunk, np.zeros(len(chunk.lines), np.int64))
        blank = _blank([columns[place] for place in (self._map.ts, self._map.price, self._map.size)])
        verdict.code[blank] = -1
        ts, fine = self._times.read(columns[self._map.ts])
        verdict.reject(~fine, _reason("ts", "a time after 1970 and before 2200", columns[self._map.ts]))
        symbol = self._symbol(columns, verdict)
        price = self._numbers("price", columns[self._map.price], symbol, [each.price_digits for each in self._digits], verdict)
        size = self._numbers("size", columns[self._map.size], symbol, [each.size_digits for each in self._digits], verdict)
        seq = self._sequence(columns, chunk, verdict)
        rows = TickRows(self.symbols, symbol, ts, price, size, seq)
        moved = self._move(rows, verdict, shift, floors)
        self._first = False
        return moved.take(np.flatnonzero(verdict.good)), verdict.bad_rows()

    def _symbol(self, columns: Mapping[int, pa.Array], verdict: _Verdict) -> UInt32Array:
        if self._map.symbol is None:
            return np.zeros(len(verdict.code), np.uint32)
        _, filled = present_rows(columns[self._map.symbol])
        texts, fine = cast_rows(filled, pa.string())
        encoded = texts.dictionary_encode()
        table = np.array([self._index(value.as_py() or "") for value in encoded.dictionary], np.int64)
        index = np.full(len(verdict.code), -1, np.int64)
        if len(table):
            codes = np.frombuffer(encoded.indices.buffers()[1], np.int32, len(encoded), encoded.indices.offset * 4)
            index[fine] = table[codes]
        expected = f"{self._only!r} as in the first row, since one symbol is given for all" if self._fixed_symbol else "ticker dot MIC as in AAPL.XNAS"
        verdict.reject(index < 0, _reason("symbol", expected, columns[self._map.symbol]))
        return np.maximum(index, 0).astype(np.uint32)

    def _index(self, text: str) -> int:
        """Index of a symbol of the file, -1 when it cannot be used."""
        if self._fixed_symbol:
            self._only = self._only or text
            return 0 if text == self._only else -1
        if text not in self._symbols:
            try:
                self._digits.append(self._instruments(text))
            except MalformedSymbol:
                return -1
            self._symbols[text] = len(self._symbols)
        return self._symbols[text]

    def _numbers(self, name: str, column: pa.Array, symbol: UInt32Array, digits: Sequence[int], verdict: _Verdict) -> Int64Array:
        of_row = np.array(digits or [0], np.int64)[symbol]
        values = np.zeros(len(symbol), np.int64)
        for each in np.unique(of_row):
            found, fine = fixed_point(column, int(each))
            values = np.where((of_row == each) & fine, found, values)
        verdict.reject(values <= 0, lambda row: _reason(name, f"a number above zero with at most {of_row[row]} decimal digits", column)(row))
        return values

    def _sequence(self, columns: Mapping[int, pa.Array], chunk: Chunk, verdict: _Verdict) -> Int64Array:
        if self._seq is None:
            return chunk.lines
        values, fine = fixed_point(columns[self._seq], 0)
        fine &= values > 0
        if self._first and "seq" not in self._map.named and not fine[verdict.good].all():
            self._say("the column that may be a sequence is not one of numbers above zero; the line in the file is used")
            self._seq = None
            return chunk.lines
        verdict.reject(~fine, _reason("seq", "a whole number above zero", columns[self._seq]))
        return values

    def _move(self, rows: TickRows, verdict: _Verdict, shift: Callable[[TickRows], int], floors: Mapping[str, int]) -> TickRows:
        good = np.flatnonzero(verdict.good)
        if len(good) == 0:
            return rows
        moved = TickRows(rows.symbols, rows.symbol, rows.ts_event + shift(rows.take(good)), rows.price, rows.size, rows.seq)
        floor = np.array([floors.get(symbol, 0) for symbol in rows.symbols], np.int64)[rows.symbol]
        verdict.reject(moved.ts_event < floor, lambda _: "its bar is final already: the symbol holds later data")
        good = np.flatnonzero(verdict.good)
        latest = np.zeros(len(rows), np.int64)
        latest[good] = np.maximum.accumulate(np.maximum(moved.ts_event[good], self._latest))
        behind = latest - moved.ts_event
        verdict.reject(
            behind > DISORDER_NS, lambda row: f"ts: {behind[row] / NS:.3f} s before a row above; the file must be in order within {DISORDER_NS / NS:g} s"
        )
        self._latest = int(latest.max())
        return moved


def _blank(columns: Sequence[pa.Array]) -> BoolArray:
    """Rows of text in which none of the columns holds anything: empty lines."""
    if not all(pa.types.is_binary(column.type) for column in columns):
        return np.zeros(len(columns[0]), np.bool_)
    offsets = (np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4) for column in columns)
    blank: BoolArray = np.logical_and.reduce([np.diff(each) == 0 for each in offsets])
    return blank


def _reason(name: str, expected: str, column: pa.Array) -> Callable[[int], str]:
    def reason(row: int) -> str:
        value = column[row].as_py()
        shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return f"{name}: expected {expected}, was {str(shown)[:60]!r}" if shown not in {"", None} else f"{name}: is missing"

    return reason
