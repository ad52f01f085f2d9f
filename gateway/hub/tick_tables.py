"""Many records of ticks as one table: one by one they are the gateway's largest expense, and mostly for nobody."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from signalbox.events.v1.tick_batch_pb2 import TickBatch

from gateway.hub.blocks import digits, matrix
from gateway.hub.series import NO_INTERVAL, Channel
from gateway.hub.tables import Table
from services.runtime.columns import InstrumentRef, read_instruments
from services.runtime.errors import BadRecord
from services.runtime.wire import with_tables_as_bytes

_COLUMNS = ("ts_event", "ts_recv", "price", "size", "seq")
_KINDS = range(1, 4)
(_TickBatch,) = with_tables_as_bytes(TickBatch)


def table_of_ticks(values: Sequence[bytes]) -> Table:
    """The rows of all records that can be shown, in order, without their traces. Raises BadRecord when any record is bad; take them one by one then."""
    batch = _TickBatch()
    rows, entries, kinds, shifts = _merge(batch, values)
    refs = read_instruments(batch.instruments)
    place: dict[InstrumentRef, int] = {}
    renamed = np.array([place.setdefault(ref, len(place)) for ref in refs], np.uint32)
    instrument = _renamed(np.array(batch.instrument, np.int64), rows, entries, renamed)
    columns = [np.array(getattr(batch, name), np.int64) for name in _COLUMNS]
    ts_event, _, price, size, seq = columns
    if len(seq) and int(seq.min()) < 0:
        raise BadRecord("seq: expected >= 0")
    instruments = tuple(place)
    ints = matrix([*columns, np.repeat(kinds, rows), np.repeat(shifts, rows), *digits(instruments, instrument)])
    table = Table(Channel.TICKS, tuple(ref.symbol for ref in instruments), instrument.astype(np.int64), np.full(len(ints), NO_INTERVAL, np.int64), ints)
    # The rest is judged by the bar engine, which says what became of it in market.late.v1.
    return table.take((price > 0) & (size > 0) & (ts_event >= 0))


def _merge(batch: Any, values: Sequence[bytes]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Of each record: rows, entries of its table, source kind, replay shift. Protobuf merges messages by appending what is repeated in them."""
    rows, entries, kinds, shifts = [0], [0], [], []
    for value in values:
        batch.source_kind = batch.replay_shift = 0
        try:
            batch.MergeFromString(value)
        except DecodeError as error:
            raise BadRecord(f"not a {batch.DESCRIPTOR.full_name}: {error}") from error
        rows.append(len(batch.instrument))
        if any(len(getattr(batch, name)) != rows[-1] for name in _COLUMNS):
            raise BadRecord("expected columns of equal length")
        if batch.source_kind not in _KINDS:
            raise BadRecord(f"source_kind: expected 1 to 3, was {batch.source_kind}")
        entries.append(len(batch.instruments))
        kinds.append(batch.source_kind)
        shifts.append(batch.replay_shift)
    return np.diff(rows).tolist(), np.diff(entries).tolist(), kinds, shifts


def _renamed(index: NDArray[np.int64], rows: list[int], entries: list[int], renamed: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Indexes into each record's own table as indexes into the common one. Raises BadRecord for an index outside its record's table."""
    if bool((index >= np.repeat(entries, rows)).any()):
        raise BadRecord("instrument: expected indexes within the record's table")
    number: NDArray[np.uint32] = renamed[index + np.repeat(np.cumsum([0, *entries[:-1]]), rows)]
    return number
