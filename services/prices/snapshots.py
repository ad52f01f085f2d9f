"""Records of market.snapshots.v1: the last trade and the watermark of each symbol, under its name as the key.

The topic is compacted: a record that cannot be used stays until its key comes again, perhaps for ever. So whoever reads it passes it over.
"""

from google.protobuf.message import DecodeError
from signalbox.events.v1.bar_batch_pb2 import Snapshot
from signalbox.events.v1.tick_batch_pb2 import SOURCE_KIND_LIVE, SOURCE_KIND_SYNTHETIC

from services.runtime.columns import WEEK_NS, InstrumentRef, checked_ref
from services.runtime.errors import BadRecord
from services.runtime.kafka import Record
from services.runtime.timestamps import MAX_TIME_NS


def symbol_of(record: Record) -> str:
    """The symbol that a record is about. Raises BadRecord."""
    try:
        symbol = (record.key or b"").decode()
    except UnicodeDecodeError as error:
        raise BadRecord(f"key: expected a symbol, was {record.key!r}") from error
    if not symbol:
        raise BadRecord("key: expected a symbol, was none")
    return symbol


def snapshot_of(record: Record) -> Snapshot:
    """What a record says of its symbol; times, digits and price are in range. Raises BadRecord."""
    symbol = symbol_of(record)
    try:
        snapshot = Snapshot.FromString(record.value)
    except DecodeError as error:
        raise BadRecord(f"not a {Snapshot.DESCRIPTOR.full_name}: {error}") from error
    item = snapshot.instrument
    checked_ref(InstrumentRef(item.symbol, item.price_digits, item.size_digits))
    if item.symbol != symbol:
        raise BadRecord(f"instrument: expected that of the key, {symbol}, was {item.symbol}")
    for name in ("ts_event", "watermark"):
        if not 0 <= getattr(snapshot, name) < MAX_TIME_NS:
            raise BadRecord(f"{name}: expected 0 to {MAX_TIME_NS - 1}, was {getattr(snapshot, name)}")
    if not SOURCE_KIND_LIVE <= snapshot.source_kind <= SOURCE_KIND_SYNTHETIC:
        raise BadRecord(f"source_kind: expected 1 to 3, was {snapshot.source_kind}")
    if abs(snapshot.replay_shift) >= MAX_TIME_NS or snapshot.replay_shift % WEEK_NS:
        raise BadRecord(f"replay_shift: expected whole weeks in ns, was {snapshot.replay_shift}")
    return snapshot
