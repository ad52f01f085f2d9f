"""Local times to UTC, by column."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from services.prices.feeds.ports import NS, Int64Array

#: Zones change their offset at a quarter of an hour at the finest (since 1970).
_QUARTER_NS = 900 * NS
#: A local time on purpose.
_EPOCH = datetime(1970, 1, 1)


def utc_of_local(local_ns: Int64Array, zone: ZoneInfo) -> Int64Array:
    """Local wall-clock times as UTC nanoseconds.

    local_ns: nanoseconds since 1970-01-01 00:00 of the zone's own clock, shape (n,). In the hour that a zone passes twice the first passage
    is meant; a time that a zone skips is moved forward by what was skipped.
    """
    quarters, inverse = np.unique(local_ns // _QUARTER_NS, return_inverse=True)
    offsets = np.array([_offset_ns(int(quarter), zone) for quarter in quarters], dtype=np.int64)
    return local_ns - offsets[inverse]


def _offset_ns(quarter: int, zone: ZoneInfo) -> int:
    offset = (_EPOCH + timedelta(seconds=quarter * 900)).replace(tzinfo=zone).utcoffset()
    if offset is None:
        raise ValueError(f"zone {zone.key} has no offset")
    return round(offset.total_seconds()) * NS
