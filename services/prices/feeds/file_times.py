"""Times in files: ISO 8601 with or without a zone, or numbers since 1970 in seconds, milliseconds, microseconds or nanoseconds."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.prices.feeds.arrow_columns import BoolArray, cast_rows, fixed_point, int64_of, is_text, present_rows
from services.prices.feeds.zones import utc_of_local
from services.prices.sequencer import Int64Array
from services.runtime.timestamps import MAX_TIME_NS

_UTC = ZoneInfo("UTC")
_LOCAL_TYPE, _UTC_TYPE = pa.timestamp("ns"), pa.timestamp("ns", "UTC")
#: Numbers below this are seconds (until the year 5138), then milliseconds (from 1973), microseconds, nanoseconds; with the digits to nanoseconds.
_UNITS = ((10**11, "seconds", 9), (10**14, "milliseconds", 6), (10**17, "microseconds", 3), (2**63, "nanoseconds", 0))
#: Among so many first rows one must be a time.
_SAMPLE = 100


class NoTimes(ValueError):
    """The column holds no times that we can read; the message shows one value."""


class TimeReader:
    """Turns the time column of a file into UTC nanoseconds; what its times look like is settled by the first rows.

    zone: of times that carry none; None = UTC, and that is said. say: takes a sentence for the user.
    """

    def __init__(self, zone: ZoneInfo | None, say: Callable[[str], None]) -> None:
        self._zone, self._say = zone, say
        self._read: Callable[[pa.Array], tuple[Int64Array, BoolArray]] | None = None
        self._zoned = True

    def read(self, column: pa.Array) -> tuple[Int64Array, BoolArray]:
        """Shape (n,) times and shape (n,) where they are usable: readable, after 1970 began and before 2200. Raises NoTimes on the first rows."""
        self._read = self._read or self._reader_for(column)
        values, fine = self._read(column)
        fine &= (values > 0) & (values < MAX_TIME_NS)
        return np.where(fine, values, 0), fine

    def _reader_for(self, column: pa.Array) -> Callable[[pa.Array], tuple[Int64Array, BoolArray]]:
        if pa.types.is_temporal(column.type):
            return self._of_timestamps
        digits = self._epoch_digits(column)
        if digits is None:
            return self._of_texts
        if pa.types.is_floating(column.type):
            return lambda each: _of_floats(each, digits)
        return lambda each: fixed_point(each, digits)

    def _epoch_digits(self, column: pa.Array) -> int | None:
        """Digits from the numbers' unit to nanoseconds, None when the column holds ISO texts. Raises NoTimes."""
        sample = [_text(value.as_py()) for value in column.slice(0, _SAMPLE)]
        for text in filter(None, sample):
            number = _number(text)
            if number is not None:
                _refuse_calendar_numbers(text)
                unit, digits = next((unit, digits) for limit, unit, digits in _UNITS if number < limit)
                self._say(f"times like {text} are taken as {unit} since 1970 UTC")
                return digits
            if is_text(column.type) and text[:4].isdecimal() and text[4:5] == "-":
                return None
        raise NoTimes(f"expected ISO 8601 or a number since 1970, found {next(filter(None, sample), '')[:40]!r}")

    def _of_timestamps(self, column: pa.Array) -> tuple[Int64Array, BoolArray]:
        present, filled = present_rows(column)
        zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
        values = int64_of(filled.cast(_UTC_TYPE if zoned else _LOCAL_TYPE))
        return (values if zoned else self._utc(values)), present

    def _of_texts(self, column: pa.Array) -> tuple[Int64Array, BoolArray]:
        _, filled = present_rows(column)
        texts, readable = cast_rows(filled, pa.string())
        texts = pc.ascii_trim_whitespace(texts)
        values = np.zeros(len(texts), np.int64)
        left = np.ones(len(texts), np.bool_)
        # Rows of the form seen last are tried first: a cast that fails on every row is slow.
        for zoned in (self._zoned, not self._zoned):
            places = np.flatnonzero(left)
            if len(places) == 0:
                break
            found, fine = cast_rows(_take(texts, left), _UTC_TYPE if zoned else _LOCAL_TYPE)
            if len(found):
                self._zoned = zoned
            values[places[fine]] = int64_of(found) if zoned else self._utc(int64_of(found))
            left[places[fine]] = False
        full = np.zeros(len(column), np.int64)
        full[readable] = values
        readable[readable] = ~left
        return full, readable

    def _utc(self, local: Int64Array) -> Int64Array:
        if self._zone is None and len(local):
            self._say("times carry no zone and are taken as UTC; --tz names another")
            self._zone = _UTC
        return utc_of_local(local, self._zone) if self._zone else local


def _take(texts: pa.Array, wanted: BoolArray) -> pa.Array:
    if wanted.all():
        return texts
    packed = pa.py_buffer(np.packbits(wanted, bitorder="little").tobytes())
    return texts.filter(pa.Array.from_buffers(pa.bool_(), len(wanted), [None, packed]))


def _of_floats(column: pa.Array, digits: int) -> tuple[Int64Array, BoolArray]:
    present, filled = present_rows(column)
    floats = np.frombuffer(filled.cast(pa.float64()).buffers()[1], np.float64)[filled.offset : filled.offset + len(filled)]
    scaled = np.rint(floats * 10.0**digits)
    fine = present & np.isfinite(scaled) & (np.abs(scaled) < 2.0**62)
    return np.where(fine, scaled, 0.0).astype(np.int64), fine


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return "" if value is None else str(value).strip()


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < 2**63 else None


def _refuse_calendar_numbers(text: str) -> None:
    # As seconds since 1970 these would be days in August 1970, in silence.
    if len(text) in {8, 12, 14} and text.isdecimal() and text[:2] in {"19", "20"}:
        raise NoTimes(f"numbers like {text} look like dates without separators; expected ISO 8601 or a number since 1970")
