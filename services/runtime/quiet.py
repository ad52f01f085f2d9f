"""When in a second there is time for what may wait.

Bars of every interval end at whole seconds, and are final a whole number of seconds later by default: then all symbols' bars are on their way at once,
through every process, and a tick that comes meanwhile waits for each of them.
"""

_SECOND_NS = 1_000_000_000
#: The part of each second in which chores are done.
_BEGIN_NS, _END_NS = 300_000_000, 900_000_000
#: How much of the time that is.
QUIET_SHARE = (_END_NS - _BEGIN_NS) / _SECOND_NS


def until_quiet_ns(moment_ns: int) -> int:
    """Nanoseconds from a moment of the wall clock until there is time; 0 when there is."""
    phase = moment_ns % _SECOND_NS
    if _BEGIN_NS <= phase < _END_NS:
        return 0
    return (_BEGIN_NS - phase) % _SECOND_NS
