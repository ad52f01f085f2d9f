"""One record of bars through the engine with a handful of compiled calls: the same bytes as intake.py, columns.py and signal_wire.py make.

A record of 512 ticks leads to some fifty bars; whatever is a numpy call of a microsecond for each column would be most of its time.
"""

from typing import NamedTuple

import numpy as np
from signalbox.events.v1.analysis_batch_pb2 import IndicatorBatch, SignalRow

from services.analysis import record_kernels as kernels
from services.analysis.engine import Bars, Engine, Step
from services.analysis.indicators.kernels import FloatArray, IntArray
from services.analysis.indicators.registry import NAMES
from services.analysis.intake import INTERVALS
from services.analysis.signal_wire import common_parts
from services.analysis.signals import ATR_COLUMN, RSI_TOP, RULES, compiled_rules
from services.runtime.columns import INTERVALS as LENGTHS
from services.runtime.columns import read_instrument
from services.runtime.engine_choice import PLAIN
from services.runtime.wire_codec import INDICATORS, BarReader, BarRecord, ColumnWriter

#: Rows in one output record: about 3 MiB of values, where a record may have 8 MiB. Fixed, because the cut must be the same in every run.
#: Larger records are cut by the plain code.
MAX_ROWS = 16_384
_NAMES = IndicatorBatch(names=NAMES).SerializeToString()
_POWERS = np.array([10.0**digits for digits in range(10)])
_FIRST_NUMBERS = 64


def _signal_parts() -> kernels.SignalParts:
    most = max(len(rule.places) for rule in RULES)
    texts: list[bytes] = []
    places: list[tuple[int, int, int, int]] = []
    at = 0
    for rule in RULES:
        both = common_parts(rule)
        middle, end = at + len(both[0]), at + len(both[0]) + len(both[1])
        texts += both
        places.append((at, middle, middle, end))
        at = end
    return kernels.SignalParts(
        on_rsi_scale=np.array([rule.on_rsi_scale for rule in RULES]),
        pick=np.array([rule.places + (-1,) * (most - len(rule.places)) for rule in RULES], np.int64),
        octets=np.frombuffer(b"".join(texts), np.uint8).copy(),
        places=np.array(places, np.int64),
        atr=ATR_COLUMN,
        rsi_top=RSI_TOP,
    )


_RULES, _PARTS = compiled_rules(), _signal_parts()
#: Of a signal's row, at most, beside its symbol: the parts, its values, and eight numbers with their tags.
_ROW_OCTETS = int((_PARTS.places[:, 3] - _PARTS.places[:, 0]).max()) + 8 * _PARTS.pick.shape[1] + 80


class Passed(NamedTuple):
    """What a record led to."""

    fed: int
    """Bars of analysed intervals."""
    step: Step | None
    """What the engine made of them; None when there were none."""
    symbols: int
    """Instruments of the record."""
    rows: IntArray
    """The bars that it took, as rows of the record."""
    bars: Bars
    """The bars of analysed intervals."""
    indicators: bytes
    """Serialised IndicatorBatch; empty when no bar was taken."""
    signals: bytes | None
    """Serialised SignalBatch, empty when there are none; None when the plain code has to write it."""
    by_interval: list[int]
    """Bars that were taken of each of INTERVALS."""
    by_rule: list[int]
    """Signals of each of RULES."""


class _Instruments:
    """Numbers of instruments as they are written in records, and what is known of each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.numbers = _Numbers(self)
        self.names: list[str] = []
        self.fields: list[bytes] = []
        self.digits = np.zeros((_FIRST_NUMBERS, 2), np.int64)
        self.series = np.full((_FIRST_NUMBERS, len(INTERVALS)), -1, np.int64)
        self.places = np.zeros((_FIRST_NUMBERS, 2), np.int64)
        self.octets = np.zeros(_FIRST_NUMBERS * 16, np.uint8)

    def learn(self, entry: bytes) -> int:
        """The number of an instrument that was not known. Raises BadRecord when it is none."""
        ref = read_instrument(entry)
        number, field = len(self.names), SignalRow(symbol=ref.symbol).SerializeToString()
        begin = int(self.places[number - 1, 1]) if number else 0
        self._make_room(number + 1, begin + len(field))
        self.digits[number] = ref.price_digits, ref.size_digits
        self.places[number] = begin, begin + len(field)
        self.octets[begin : begin + len(field)] = np.frombuffer(field, np.uint8)
        self.names.append(ref.symbol)
        self.fields.append(field)
        self.look_up(number)
        return number

    def look_up(self, number: int) -> None:
        """Which of its series the engine knows by now."""
        self.series[number] = self._engine.known_series(self.names[number], INTERVALS)

    def _make_room(self, numbers: int, octets: int) -> None:
        if numbers > len(self.digits):
            self.digits, self.places = (np.concatenate((array, np.zeros_like(array))) for array in (self.digits, self.places))
            self.series = np.concatenate((self.series, np.full_like(self.series, -1)))
        while octets > len(self.octets):
            self.octets = np.concatenate((self.octets, np.zeros_like(self.octets)))


class _Numbers(dict[bytes, int]):
    def __init__(self, instruments: _Instruments) -> None:
        super().__init__()
        self._instruments = instruments

    def __missing__(self, entry: bytes) -> int:
        number = self[entry] = self._instruments.learn(entry)
        return number


class RecordPass:
    """Records of one partition through its engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._instruments = _Instruments(engine)
        self._reader = BarReader()
        self._writer = ColumnWriter()
        self._out = np.empty(1 << 16, np.uint8)
        lengths = [(length, INTERVALS.index(length) if length in INTERVALS else -1, 0) for length in LENGTHS]
        self._intervals = np.array(lengths, np.int64)
        self._analysed = [LENGTHS.index(length) for length in INTERVALS]

    def run(self, value: bytes) -> Passed | None:
        """Takes the bars of a record. None, with nothing changed, for one that the plain code has to take. Raises BadRecord, with nothing changed."""
        record = None if PLAIN else self._reader.read(value)
        if record is None or not 0 < record.rows <= MAX_ROWS:
            return None
        numbers = [self._instruments.numbers[entry] for entry in record.entries]
        names = self._instruments.names
        if len({names[number] for number in numbers}) < len(numbers):
            return None
        of_table = np.array(numbers, np.int64)
        at, floats = np.empty((3, record.rows), np.int64), np.empty((5, record.rows), np.float64)
        known = self._instruments
        count, unknown = kernels.take_in(record.rows, record.wide, record.small, of_table, known.digits, known.series, self._intervals, _POWERS, at, floats)
        if count == kernels.UNUSUAL:
            return None
        if unknown:
            self._make_series(record, numbers, at, count)
        open_, high, low, close, volume = floats[:, :count]
        bars = Bars(at[1, :count], at[2, :count], open_, high, low, close, volume)
        if not count:
            return Passed(0, None, len(numbers), at[0, :0], bars, b"", b"", [], [])
        return self._written(record, of_table, at, floats, bars)

    def _make_series(self, record: BarRecord, numbers: list[int], at: IntArray, count: int) -> None:
        # By first appearance: a new series' number is part of the state, which must not depend on how numbers sort.
        for fed in np.flatnonzero(at[1, :count] < 0).tolist():
            row = at[0, fed]
            number = numbers[record.small[0, row]]
            at[1, fed] = self._engine.series(self._instruments.names[number], int(record.small[1, row]))
            self._instruments.look_up(number)

    def _written(self, record: BarRecord, numbers: IntArray, at: IntArray, floats: FloatArray, bars: Bars) -> Passed:
        step = self._engine.feed(bars)
        taken = len(step.rows)
        wide, small, used = np.empty((3, taken), np.int64), np.empty((4, taken), np.uint32), np.empty(len(numbers), np.int64)
        self._intervals[:, 2] = 0
        symbols = kernels.lay_out(step.rows, at, self._engine.all_origins, record.wide, record.small, wide, small, used, self._intervals)
        by_interval = self._intervals[:, 2].tolist()
        indicators = b""
        if taken:
            fields = self._instruments.fields
            table = [fields[number] for number in numbers[used[:symbols]].tolist()]
            columns = self._writer.write(INDICATORS, taken, wide, small, step.values.reshape(-1).view(np.int64))
            indicators = b"".join([*table, _NAMES, columns])
        signals, by_rule = self._signals(record, numbers, at, floats, step)
        rows = at[0, step.rows]
        return Passed(len(bars), step, len(numbers), rows, bars, indicators, signals, [by_interval[place] for place in self._analysed], by_rule)

    def _signals(self, record: BarRecord, numbers: IntArray, at: IntArray, floats: FloatArray, step: Step) -> tuple[bytes | None, list[int]]:
        by_rule = np.zeros(len(RULES), np.int64)
        found = len(step.crossings.row)
        if not found:
            return b"", by_rule.tolist()
        if found > MAX_ROWS:
            return None, np.bincount(step.crossings.rule, minlength=len(RULES)).tolist()
        known = self._instruments
        most = found * (_ROW_OCTETS + max(map(len, record.entries)))
        if most > len(self._out):
            self._out = np.empty(2 * most, np.uint8)
        read = (step.rows, at, floats, record.wide, record.small, numbers, known.octets, known.places)
        length = kernels.write_signals(step.crossings, step.values, *read, _RULES, _PARTS, by_rule, self._out)
        if length == kernels.UNUSUAL:
            return None, np.bincount(step.crossings.rule, minlength=len(RULES)).tolist()
        return self._out[:length].tobytes(), by_rule.tolist()
