"""The one partition function: murmur2 of the symbol modulo the number of partitions.

librdkafka's default partitioner and aiokafka's differ (7 of 8 symbols fell on different partitions), so every producer of ours chooses the
partition itself, with this function.
"""

from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """32-bit murmur2 as Kafka's Java client computes it. Returns 0..2**32-1. Source: org.apache.kafka.common.utils.Utils.murmur2."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little")
        k = (k * _M) & _MASK
        k ^= k >> 24
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    tail = data[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    h ^= h >> 15
    return h


@lru_cache(maxsize=65536)
def partition_of(symbol: str, partitions: int) -> int:
    """The partition of a symbol in every topic with this many partitions.

    symbol: ticker dot MIC. partitions: >= 1. Returns 0..partitions-1. Raises ValueError if partitions < 1.
    Equal to the default partitioner of Kafka's Java client for the key `symbol`.
    """
    if partitions < 1:
        raise ValueError(f"partitions: expected >= 1, was {partitions}")
    return (murmur2(symbol.encode()) & 0x7FFFFFFF) % partitions
