"""How long a tick waits for others before its batch is sent."""

#: Rows of a partition from which on a batch that is due waits as long again. A record costs each process after it the same with a hundred ticks as with
#: three hundred: at 100,000 ticks/s, twice as many records took a fifth more of two cores, and clients had their bars later.
BUSY_ROWS = 64
_BUSY_TIMES = 2


def longest_wait_s(flush_s: float, rows: int, partitions: int) -> float:
    """Seconds that the oldest of `rows` ticks for so many partitions may wait; flush_s: the same while little comes."""
    return flush_s * _BUSY_TIMES if rows >= BUSY_ROWS * max(1, partitions) else flush_s
