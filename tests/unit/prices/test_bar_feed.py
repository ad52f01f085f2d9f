"""Records of bars into the store: what is none of bars is counted and passed over."""

import pytest

from services.prices.adapters.kafka import BarFeed
from services.prices.bar_store import BarStore
from services.prices.metrics import UNREADABLE_RECORDS
from services.runtime.columns import encode_bars
from services.runtime.headers import record_headers
from services.runtime.kafka import Record
from services.runtime.partitions import partition_of
from services.runtime.topics import BARS
from tests.unit.prices.bar_rows import bars

ES = "ES.XCME"
AT = partition_of(ES, 4)


def record(offset: int, opens: list[int], schema: str = BARS.message) -> Record:
    return Record(BARS.name, AT, offset, None, encode_bars(bars(ES, 60, opens)), record_headers(schema, "x") if schema else [], 0)


@pytest.mark.parametrize("schema", ["", "signalbox.events.v1.TickBatch"])
@pytest.mark.parametrize("together", [True, False])
def test_another_message_is_not_served_as_bars(schema: str, together: bool) -> None:
    store, before = BarStore(4, 100), UNREADABLE_RECORDS.labels(BARS.name)._value.get()
    records = [record(0, [0]), record(1, [60], schema), record(2, [120])]
    for part in [records] if together else [[each] for each in records]:
        BarFeed(store)(part)
    found = store.select(ES, 60, None, None, last=0, limit=None)
    assert [int(ts) // 10**9 for ts in found.rows["ts_open"]] == [0, 120]
    assert UNREADABLE_RECORDS.labels(BARS.name)._value.get() - before == 1
