"""Which ticks are taken at the gRPC door: every row checked, in columns, and turned into fixed point without loss."""

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from services.prices.instruments import SYMBOL_EXPECTED, MalformedSymbol, instrument_of
from services.runtime.columns import InstrumentRef
from services.runtime.partitions import partition_of
from services.runtime.timestamps import MAX_TIME_NS

IntColumn = NDArray[np.int64]
FloatColumn = NDArray[np.float64]
BoolColumn = NDArray[np.bool_]

#: A tick may be this far ahead of our clock, for clocks differ; further ahead it would close bars that have not happened.
MAX_AHEAD_NS = 5 * 10**9

#: Below this, value * 10**digits is off by less than a half, so rounding finds the integer; above it the exact way is taken.
_EXACT_BELOW = 2.0**51
_POWERS = np.array([10.0**digits for digits in range(10)])
_MAX_FIXED = 2**63 - 1
_NO_SYMBOL = -1


class Reason(IntEnum):
    """Why a tick was not taken; numbers as in RejectReason."""

    NONE = 0
    BAD_SYMBOL = 1
    BAD_PRICE = 2
    BAD_SIZE = 3
    BAD_TIME = 4
    FUTURE = 5
    BAD_SEQ = 6


@dataclass(frozen=True, slots=True, eq=False)
class SentTicks:
    """Ticks as a client sent them; every column has shape (rows,)."""

    symbols: list[str]
    """The distinct symbols."""
    symbol: IntColumn
    """Index into `symbols`."""
    ts_event: IntColumn
    """UTC nanoseconds; -1 when missing or not representable."""
    price: FloatColumn
    size: FloatColumn
    seq: IntColumn
    """0 when absent, -1 when present but not above zero."""

    def __len__(self) -> int:
        return len(self.symbol)


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """Ticks that were taken, in the order sent; columns of shape (rows,)."""

    instrument: IntColumn
    """Number in the SymbolTable."""
    ts_event: IntColumn
    price: IntColumn
    size: IntColumn
    seq: IntColumn

    def __len__(self) -> int:
        return len(self.instrument)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One tick that was not taken. index: within the ticks that were judged together."""

    index: int
    symbol: str
    reason: Reason
    detail: str


class SymbolTable(dict[str, int]):
    """Numbers the symbols of a stream. A malformed symbol has -1 and is not remembered: a client could send any number of them."""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self._partitions = partitions
        self.instruments: list[InstrumentRef] = []
        self.partition = np.empty(0, np.int64)
        self.price_digits = np.empty(0, np.int64)
        self.size_digits = np.empty(0, np.int64)

    def __missing__(self, symbol: str) -> int:
        try:
            instrument = instrument_of(symbol)
        except MalformedSymbol:
            return _NO_SYMBOL
        self.instruments.append(InstrumentRef(symbol, instrument.price_digits, instrument.size_digits))
        self.partition = np.append(self.partition, partition_of(symbol, self._partitions))
        self.price_digits = np.append(self.price_digits, instrument.price_digits)
        self.size_digits = np.append(self.size_digits, instrument.size_digits)
        self[symbol] = number = len(self)
        return number

    def numbers(self, symbols: list[str]) -> IntColumn:
        """The number of each symbol; new ones are added, for a malformed one it is -1."""
        return np.fromiter(map(self.__getitem__, symbols), np.int64, len(symbols))


def admit(ticks: SentTicks, table: SymbolTable, now_ns: int, *, replay: bool) -> tuple[Admitted, list[Rejection]]:
    """Judges each tick by itself: a wrong one costs no other.

    now_ns: our wall clock. replay: recorded trades, whose times may be ahead of it. A tick with several faults has the first in the order of Reason.
    """
    number = table.numbers(ticks.symbols)[ticks.symbol] if len(ticks) else ticks.symbol
    known = number != _NO_SYMBOL
    price, price_fine = _fixed(ticks.price, table.price_digits, number, known)
    size, size_fine = _fixed(ticks.size, table.size_digits, number, known)
    reason = np.zeros(len(ticks), np.int64)
    reason[ticks.seq < 0] = Reason.BAD_SEQ
    if not replay:
        reason[ticks.ts_event > now_ns + MAX_AHEAD_NS] = Reason.FUTURE
    reason[(ticks.ts_event < 0) | (ticks.ts_event >= MAX_TIME_NS)] = Reason.BAD_TIME
    reason[~size_fine] = Reason.BAD_SIZE
    reason[~price_fine] = Reason.BAD_PRICE
    reason[~known] = Reason.BAD_SYMBOL
    taken = reason == Reason.NONE
    if taken.all():
        return Admitted(number, ticks.ts_event, price, size, ticks.seq), []
    rejections = [_rejection(int(row), Reason(reason[row]), ticks, table, now_ns) for row in np.flatnonzero(~taken)]
    return Admitted(number[taken], ticks.ts_event[taken], price[taken], size[taken], ticks.seq[taken]), rejections


def _fixed(values: FloatColumn, digits: IntColumn, number: IntColumn, known: BoolColumn) -> tuple[IntColumn, BoolColumn]:
    if not len(digits):
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.bool_)
    return to_fixed(values, np.where(known, digits[number], 0))


def to_fixed(values: FloatColumn, digits: IntColumn) -> tuple[IntColumn, BoolColumn]:
    """Values as integers, value = integer / 10**digits, and which of them are exact: finite, above zero, and the float nearest to that decimal.

    values, digits: shape (n,), digits 0..9. Both answers have shape (n,); the integer is 0 where it is not exact.
    """
    power = _POWERS[digits]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * power)
        # The division rounds correctly, so it gives the value back if, and only if, the value is the float nearest to the decimal.
        exact = (values > 0) & (scaled < _EXACT_BELOW) & (scaled / power == values)
    fixed = np.where(exact, scaled, 0.0).astype(np.int64)
    for row in np.flatnonzero((scaled >= _EXACT_BELOW) & np.isfinite(values)):
        fixed[row] = _fixed_exactly(float(values[row]), int(digits[row]))
        exact[row] = fixed[row] > 0
    return fixed, exact


def _fixed_exactly(value: float, digits: int) -> int:
    """By the shortest decimal that means this float; 0 when it has too many digits or does not fit."""
    scaled = Decimal(repr(value)).scaleb(digits)
    return int(scaled) if scaled == scaled.to_integral_value() and scaled <= _MAX_FIXED else 0


def _rejection(row: int, reason: Reason, ticks: SentTicks, table: SymbolTable, now_ns: int) -> Rejection:
    symbol = ticks.symbols[ticks.symbol[row]]
    return Rejection(row, symbol[:64], reason, _detail(row, reason, ticks, table, now_ns))


def _detail(row: int, reason: Reason, ticks: SentTicks, table: SymbolTable, now_ns: int) -> str:
    symbol = ticks.symbols[ticks.symbol[row]]
    if reason is Reason.BAD_SYMBOL:
        return f"symbol: expected {SYMBOL_EXPECTED}, was {symbol[:64]!r}"
    instrument = table.instruments[table[symbol]]
    if reason is Reason.BAD_PRICE:
        return f"price: expected a finite number > 0 with at most {instrument.price_digits} digits, was {float(ticks.price[row])!r}"
    if reason is Reason.BAD_SIZE:
        return f"size: expected a finite number > 0 with at most {instrument.size_digits} digits, was {float(ticks.size[row])!r}"
    if reason is Reason.BAD_TIME:
        return "ts_event: expected a time from 1970 to 2199, was " + ("missing or outside" if ticks.ts_event[row] < 0 else f"{ticks.ts_event[row]} ns")
    if reason is Reason.FUTURE:
        ahead_s = (int(ticks.ts_event[row]) - now_ns) / 1e9
        return f"ts_event: expected at most {MAX_AHEAD_NS // 10**9} s ahead of the server's clock, was {ahead_s:.3f} s ahead"
    return "seq: expected > 0 or absent"
