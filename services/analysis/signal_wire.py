"""Signals in wire format, as protobuf's deterministic serialisation writes them, row by row from columns.

A SignalRow made by protobuf costs eight microseconds, most of it for the names of its values, which are the same for every signal of a rule. Here the
parts that do not change are remembered and the numbers are packed between them. A row with a number that protobuf would leave out (a zero) is left to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from signalbox.events.v1.analysis_batch_pb2 import SignalBatch, SignalRow

from services.analysis.engine import Bars
from services.analysis.indicators.kernels import IntArray
from services.analysis.signals import RULES, Signal, SignalRule
from services.runtime.columns import BarColumns
from services.runtime.wire import Memory, tag, varint

#: ts_open and ts_close; price, volume and strength; replay_shift: each number after its field's tag.
_TIMES, _DOUBLES, _SHIFT = Struct("<BqBq"), Struct("<BdBdBd"), Struct("<Bq")
_ROW = tag(SignalBatch, "signals")


class _Numbers(NamedTuple):
    """Of a signal's bar, as in SignalRow."""

    interval: int
    ts_open: int
    ts_close: int
    revision: int
    source_kind: int
    replay_shift: int
    price: float
    volume: float


@dataclass(frozen=True, slots=True)
class _Parts:
    """What rows of one rule have in common."""

    type_and_direction: bytes
    names: bytes
    """With the tag and length of the values."""
    values: Struct


def _parts(rule: SignalRule) -> _Parts:
    count = len(rule.value_names)
    return _Parts(
        SignalRow(type=rule.type, direction=rule.direction).SerializeToString(),
        SignalRow(value_names=rule.value_names).SerializeToString() + tag(SignalRow, "values") + varint(8 * count),
        Struct(f"<{count}d"),
    )


def common_parts(rule: SignalRule) -> tuple[bytes, bytes]:
    """What all rows of a rule hold: type and direction; names, with the tag and length of the values that follow."""
    parts = _PARTS[rule.type]
    return parts.type_and_direction, parts.names


_PARTS = {rule.type: _parts(rule) for rule in RULES}
_SERIES: Memory[tuple[str, int], bytes] = Memory(lambda key: SignalRow(symbol=key[0], interval=key[1]).SerializeToString())
_KINDS: Memory[int, bytes] = Memory(lambda kind: SignalRow(source_kind=kind).SerializeToString())  # type: ignore[arg-type]


def encode_signals(signals: tuple[Signal, ...], columns: BarColumns, rows: IntArray, bars: Bars, fed: IntArray) -> bytes:
    """A serialised SignalBatch. A signal's `row` is a position in `rows` (rows of `columns`) and in `fed` (rows of `bars`)."""
    at = [signal.row for signal in signals]
    row, of_bar = rows[at], fed[at]
    instrument = columns.instrument[row].tolist()
    ints = (columns.interval, columns.ts_open, columns.ts_close, columns.revision, columns.source_kind, columns.replay_shift)
    table = zip(*(column[row].tolist() for column in ints), bars.close[of_bar].tolist(), bars.volume[of_bar].tolist(), strict=True)
    parts: list[bytes] = []
    for signal, number, numbers in zip(signals, instrument, map(_Numbers._make, table), strict=True):
        data = b"".join(_row(signal, columns.instruments[number].symbol, numbers))
        parts += (_ROW, varint(len(data)), data)
    return b"".join(parts)


def _row(signal: Signal, symbol: str, of: _Numbers) -> Iterator[bytes]:
    if of.revision or not (of.ts_open and of.ts_close and of.price and of.volume and signal.strength):
        yield _plain_row(signal, symbol, of)
        return
    parts = _PARTS[signal.rule.type]
    yield _SERIES[symbol, of.interval]
    yield _TIMES.pack(0x19, of.ts_open, 0x21, of.ts_close)
    yield parts.type_and_direction
    yield _DOUBLES.pack(0x41, of.price, 0x49, of.volume, 0x51, signal.strength)
    yield parts.names
    yield parts.values.pack(*signal.values)
    yield _KINDS[of.source_kind]
    if of.replay_shift:
        yield _SHIFT.pack(0x71, of.replay_shift)


def _plain_row(signal: Signal, symbol: str, of: _Numbers) -> bytes:
    row = SignalRow(
        symbol=symbol,
        type=signal.rule.type,
        direction=signal.rule.direction,
        strength=signal.strength,
        value_names=signal.rule.value_names,
        values=signal.values,
        **of._asdict(),
    )
    return row.SerializeToString(deterministic=True)
