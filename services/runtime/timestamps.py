"""UTC nanoseconds and protobuf's Timestamp, without the checks and objects that its own methods cost for each bar."""

from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.errors import InvalidArgument

_NS = 10**9
#: Times are in [0, MAX_TIME_NS): 1970 to 2200, so that no sum of a time and a bar's length overflows.
MAX_TIME_NS = 7_258_118_400 * _NS


def timestamp(ns: int) -> Timestamp:
    """UTC ns as a Timestamp."""
    seconds, nanos = divmod(ns, _NS)
    return Timestamp(seconds=seconds, nanos=nanos)


def nanoseconds(stamp: Timestamp) -> int:
    """A Timestamp as UTC ns; 0 for one that is not set."""
    return stamp.seconds * _NS + stamp.nanos


def checked_nanoseconds(field: str, stamp: Timestamp) -> int:
    """A Timestamp of a request as UTC ns. Raises InvalidArgument outside 1970 to 2199."""
    total = nanoseconds(stamp)
    if not (0 <= stamp.nanos < _NS and 0 <= total < MAX_TIME_NS):
        raise InvalidArgument(field, f"{stamp.seconds} s and {stamp.nanos} ns", "a time from 1970 to 2199")
    return total
